"""One server among several that share a database: it shows them its debates, and hears of theirs.

Three tasks run beside the debates. One *beats*: it says that this server is alive, learns which of its debates others
want ended or read, and marks what dead servers left. One *airs* what the debates here gave off, a few times a second in
one transaction for all of them. One *listens* for notices, which cut short what would else be waited for. While the
database is away they try again, and so do, once it is back, the notes of debates that began meanwhile, and the writing of
those that ended: until then their records stay in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from chorus.errors import StoreError
from chorus.record.notices import ASKED, SAID, listen
from chorus.record.relay import Batch, Relay
from chorus.server.live import ERASED, LiveDebate

log = logging.getLogger("chorus.server")

AIR_S = 0.1
"""Seconds between two looks at what the debates here gave off: by so much others hear it later."""

BEATS = 6
"""Beats in a lease: so many must be missed in a row before a server counts as dead."""

BEAT_S = 5.0
"""Seconds between beats at most: a debate ends when it hears of no reader for long."""


@dataclass
class _OnAir:
    """A debate of this server's that others may follow."""

    live: LiveDebate
    noted: asyncio.Task[None]
    """The note in the store that it began; nothing can be aired before."""
    aired: int = 0
    """Events that the others can read."""
    closed: bool = False
    """Whether no more of it is shown: it is over, and being written down."""


class Replica:
    """See the module's docstring.

    Args:
        relay: what the servers tell each other.
        settle: writes down a debate that is over. Raises StoreError while the database can't be used.
        note: returns the note that a debate began, made again if it failed.
    """

    def __init__(
        self,
        relay: Relay,
        settle: Callable[[LiveDebate], Awaitable[object]],
        note: Callable[[LiveDebate], asyncio.Task[None]],
    ) -> None:
        self.relay = relay
        self._settle = settle
        self._note = note
        self._on_air: dict[str, _OnAir] = {}
        self._owed: dict[str, LiveDebate] = {}
        """Debates that are over and could not be written down yet."""
        self._airing = asyncio.Lock()
        self._any = asyncio.Event()
        self._asked = asyncio.Event()
        self._followers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        """Debate of another server -> what wakes each of its readers here."""
        self._tasks: list[asyncio.Task[None]] = []
        self._alive_since: float | None = None
        """Since when no lease has passed without a beat."""
        self._last_beat = 0.0
        self._watch_known = 0.0
        """Up to when it is known, or taken for known, who reads at the other servers."""

    async def open(self) -> None:
        """Sign on. Raises StoreError when the database can't be used."""
        await self._beat()
        for work in (self._beat_on(), self._air_on(), listen(self.relay.database, self._hear)):
            self._tasks.append(asyncio.create_task(work))

    async def aclose(self) -> None:
        """Sign off. All debates are over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreError):  # else its lease runs out
            await self._pay()
            await self.relay.leave()

    def hold(self, live: LiveDebate, noted: asyncio.Task[None]) -> None:
        """Show a debate to the others while it is under way; `noted` writes into the store that it began."""
        self._on_air[live.id] = _OnAir(live, noted)
        self._any.set()

    async def let_go(self, live: LiveDebate) -> None:
        """Show no more of a debate, which is to be written down; on return nothing of it is being shown."""
        if one := self._on_air.get(live.id):
            one.closed = True
        async with self._airing:
            pass

    @property
    def owing(self) -> int:
        """Debates that are over and wait for the database, in memory only."""
        return len(self._owed)

    def forget(self, live: LiveDebate, *, owed: bool) -> None:
        """Know no more of a debate that is over; `owed` when it is still to be written down, once that can be done."""
        if owed:
            self._owed[live.id] = live
        self._on_air.pop(live.id, None)

    @contextlib.contextmanager
    def following(self, debate: str) -> Iterator[asyncio.Event]:
        """Count as a reader of another server's debate. Gives what is set when there may be news of it."""
        woken = asyncio.Event()
        self._followers[debate].add(woken)
        try:
            yield woken
        finally:
            self._followers[debate].remove(woken)
            if not self._followers[debate]:
                del self._followers[debate]

    def wake(self) -> None:
        """Have all who follow other servers' debates look up."""
        for debate in self._followers:
            self._hear(SAID, debate)

    # ---- the three tasks ---------------------------------------------------------------------------------------------

    async def _beat_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self.relay.lease_s / BEATS, BEAT_S)):
                    await self._asked.wait()
            self._asked.clear()
            try:
                await self._beat()
            except StoreError as error:
                if self._alive_since is not None:
                    log.warning("the other servers can't hear of this one: %s", error)
                self._alive_since = None
                self._hold_still()
            except Exception:
                log.exception("a beat failed")

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._alive_since is None or now - self._last_beat > self.relay.lease_s:
            self._alive_since = now
        held = [one.live for one in self._on_air.values() if _written(one.noted)]
        told = await self.relay.beat(
            holding={*self._on_air, *self._owed},
            watching=set(self._followers),
            bury=now - self._alive_since >= self.relay.lease_s,
        )
        self._last_beat = self._watch_known = now
        for live in held:
            said = told.get(live.id)
            if said is None:
                live.cancel(ERASED)
            elif said.wish:
                live.cancel(said.wish)
            elif said.watched_s is not None:
                # After an outage the others may not have had their say yet.
                live.watched_elsewhere = max(live.watched_elsewhere, now - said.watched_s)
        for one in self._on_air.values():
            if one.live.keep and not one.closed:
                one.noted = self._note(one.live)
        await self._pay()

    def _hold_still(self) -> None:
        """Nobody can say now that they read a debate that is held here: whoever did until now counts as going on."""
        now = asyncio.get_running_loop().time()
        for one in self._on_air.values():
            one.live.watched_elsewhere += now - self._watch_known
        self._watch_known = now

    async def _pay(self) -> None:
        """Write down what is owed. What can't be written goes to the end, and holds up nothing else."""
        clock = asyncio.get_running_loop().time
        until = clock() + self.relay.lease_s / BEATS
        for live in list(self._owed.values()):
            try:
                await self._settle(live)
            except Exception as error:  # whatever is wrong with this one, the others can be written
                self._owed[live.id] = self._owed.pop(live.id)
                unforeseen = not isinstance(error, StoreError)
                log.error("debate %s can't be written down yet: %s", live.id, error, exc_info=unforeseen)
                if clock() > until:  # the database is away again: the next beat must not wait for all of them
                    return
            else:
                del self._owed[live.id]

    async def _air_on(self) -> None:
        while True:
            await self._any.wait()
            await asyncio.sleep(AIR_S)
            try:
                async with self._airing:
                    await self._air()
            except StoreError as error:
                log.info("debates can't be shown to the other servers: %s", error)
                await asyncio.sleep(1)
            except Exception:
                log.exception("debates can't be shown to the other servers")
                await asyncio.sleep(1)

    async def _air(self) -> None:
        batches: list[tuple[_OnAir, Batch]] = []
        for one in self._on_air.values():
            if not one.closed and _written(one.noted) and (events := one.live.log[one.aired :]):
                batches.append((one, (one.live.id, one.aired, events)))
        if not self._on_air:
            self._any.clear()
        await self.relay.air(batch for _, batch in batches)
        for one, (_, first, aired) in batches:
            one.aired = first + len(aired)

    def _hear(self, channel: str, name: str) -> None:
        if channel == SAID:
            for debate in [name] if name else list(self._followers):
                for woken in self._followers.get(debate, ()):
                    woken.set()
        elif channel == ASKED and name in ("", self.relay.server):
            self._asked.set()


def _written(noted: asyncio.Task[None]) -> bool:
    return noted.done() and not noted.cancelled() and noted.exception() is None
