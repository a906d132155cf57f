"""One server among several, on a clock that jumps: what it does while the database is away. See also `test_replicas`."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace

import pytest
from debates import in_virtual_time

pytest.importorskip("fastapi")

from chorus.errors import StoreError
from chorus.record.relay import Held
from chorus.server.replica import Replica


class Relay:
    """What the other servers say: nothing while `away`."""

    lease_s = 30.0

    def __init__(self) -> None:
        self.away, self.watched_s = False, 0.0

    async def beat(self, *, holding, watching, bury):
        if self.away:
            raise StoreError("the database is away")
        return {debate: Held(None, self.watched_s if debate == "read" else None) for debate in holding}


def debate(name):
    return SimpleNamespace(id=name, watched_elsewhere=-math.inf, cancel=lambda why: None, keep=True)


async def noted(failing=False):
    async def note():
        if failing:
            raise StoreError("the database is away")

    task = asyncio.create_task(note())
    await asyncio.wait([task])
    return task


def test_while_the_database_is_away_who_read_a_debate_elsewhere_counts_as_reading_on():
    async def run():
        relay, clock = Relay(), asyncio.get_running_loop().time
        done = await noted()
        replica = Replica(relay, lambda _: None, lambda _: done)
        read, unread = debate("read"), debate("unread")
        for one in (read, unread):
            replica.hold(one, done)
        beating = asyncio.create_task(replica._beat_on())
        await asyncio.sleep(6)
        relay.away = True
        ages = []
        for _ in range(20):
            await asyncio.sleep(5)
            ages.append(clock() - read.watched_elsewhere)
        relay.away, relay.watched_s = False, 100.0  # as the database remembers it
        await asyncio.sleep(6)
        ages.append(clock() - read.watched_elsewhere)
        beating.cancel()
        return ages, unread.watched_elsewhere

    ages, unread = in_virtual_time(run())
    assert max(ages) < 20
    assert unread == -math.inf


def test_a_debate_that_can_not_be_written_holds_up_no_other():
    async def run():
        written = []

        async def settle(live):
            if live.id == "bad":
                raise StoreError("value too long")
            written.append(live.id)

        replica = Replica(Relay(), settle, lambda _: None)
        for name in ("bad", "one", "two"):
            replica.forget(debate(name), owed=True)
        await replica._beat()
        return written, replica.owing

    assert in_virtual_time(run()) == (["one", "two"], 1)


def test_a_debate_that_began_without_the_database_is_noted_while_it_runs():
    async def run():
        relay, wrote, shown = Relay(), [], []
        failed, done = await noted(failing=True), await noted()

        async def air(batches):
            shown.extend(name for name, *_ in batches)

        relay.air = air
        replica = Replica(relay, lambda _: None, lambda live: wrote.append(live.id) or done)
        for name, keep in (("here", True), ("erased", False)):
            live = debate(name)
            live.log, live.keep = ["{}"], keep
            replica.hold(live, failed)
        await replica._air()
        assert shown == []
        await replica._beat()
        await replica._air()
        return wrote, shown

    assert in_virtual_time(run()) == (["here"], ["here"])
