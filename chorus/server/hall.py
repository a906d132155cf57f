"""The debates that the server has in memory: those under way, and the newest that ended.

A debate leaves memory once it is stored. Where nothing stores it, the newest stay, within a bound on their number and on
the length of their logs, so that a server that never stops does not grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from chorus.server.live import LiveDebate
from chorus.server.policy import Policy


class Hall:
    """Holds live debates by id."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._under_way: dict[str, LiveDebate] = {}
        self._kept: dict[str, LiveDebate] = {}
        self._kept_chars = 0
        self._alarms: dict[str, asyncio.TimerHandle] = {}

    def __iter__(self) -> Iterator[LiveDebate]:
        """Go through all of them, newest first."""
        yield from reversed(self._under_way.values())
        yield from reversed(self._kept.values())

    @property
    def running(self) -> int:
        """Debates under way."""
        return sum(not live.over for live in self._under_way.values())

    def add(self, live: LiveDebate) -> None:
        """Take in a debate that begins."""
        self._under_way[live.id] = live

    def get(self, debate: str, owner: str | None) -> LiveDebate | None:
        """Return a debate of this owner's (None: anybody's), if it is in memory."""
        live = self._under_way.get(debate) or self._kept.get(debate)
        return live if live and owner in (None, live.owner) else None

    def of(self, owner: str) -> list[LiveDebate]:
        """Return this owner's debates, newest first."""
        return [live for live in self if live.owner == owner]

    def release(self, live: LiveDebate, *, keep: bool) -> None:
        """Let go of a debate that is over; `keep` when it is written down nowhere else."""
        self._under_way.pop(live.id, None)
        self._disarm(live)
        if not keep:
            return
        self._kept[live.id] = live
        self._kept_chars += live.size
        while len(self._kept) > self._policy.kept or self._kept_chars > self._policy.kept_chars:
            self.forget(next(iter(self._kept)))

    def forget(self, debate: str) -> bool:
        """Drop a debate that is over. Returns whether it was there."""
        live = self._kept.pop(debate, None)
        if live:
            self._kept_chars -= live.size
        return live is not None

    def unwatched(self, live: LiveDebate) -> None:
        """Nobody reads the debate's events now: end it when that stays so."""
        if not live.over and live.id not in self._alarms:
            self._set_alarm(live, self._policy.unwatched_s)

    def end_all(self, why: str) -> None:
        """Cancel every debate under way."""
        for live in self._under_way.values():
            live.cancel(why)

    async def empty(self) -> None:
        """Wait until every debate has ended and is written down."""
        while tasks := [live.task for live in self._under_way.values() if live.task]:
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    def _give_up(self, live: LiveDebate) -> None:
        self._alarms.pop(live.id, None)
        unwatched = asyncio.get_running_loop().time() - live.watched_elsewhere
        if live.watchers:
            return
        if unwatched < self._policy.unwatched_s:
            self._set_alarm(live, self._policy.unwatched_s - unwatched)
        else:
            live.cancel("nobody watched it")

    def _set_alarm(self, live: LiveDebate, seconds: float) -> None:
        self._alarms[live.id] = asyncio.get_running_loop().call_later(seconds, self._give_up, live)

    def _disarm(self, live: LiveDebate) -> None:
        if alarm := self._alarms.pop(live.id, None):
            alarm.cancel()
