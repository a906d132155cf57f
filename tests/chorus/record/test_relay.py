"""What servers that share a database tell each other: events, wishes, signs of life. On a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from debates import engine, hold

from chorus.errors import ConfigError, MissingExtra, StoreError
from chorus.record.notices import ASKED, SAID, listen
from chorus.record.relay import LOST, STOPPED
from chorus.record.store import Gone, Store

sqlalchemy = pytest.importorskip("sqlalchemy")
pytest.importorskip("psycopg")

pytestmark = pytest.mark.postgres

ANSWER = hold(engine()).answer
EVENTS = [f'{{"event":"noted","note":"{number}"}}' for number in range(9)] + ['{"event":"decided"}']


@pytest.fixture
def url(postgres):
    return postgres.database()


@pytest.fixture
async def two(url):
    """Two servers' stores, each signed on; a lease is a second."""
    stores = [await Store.open(url, lease_s=1, tell=lambda lost: f"{lost.owner}: {lost.why}") for _ in range(2)]
    for store in stores:
        await store.relay.beat(holding=())
    yield stores
    for store in stores:
        await store.aclose()


async def begin(store: Store, debate: str = "d1") -> None:
    await store.begin(debate, owner="anna", model="chorus", question="?")


async def heard(store: Store, start: int = 0, debate: str = "d1"):
    return await store.relay.heard(debate, "anna", start)


async def test_events_are_the_same_at_another_server_under_way_and_afterwards(two):
    here, there = two
    await begin(here)
    assert (await heard(there)).events == []
    for first, last in ((0, 3), (3, 4), (4, 9)):
        await here.relay.air([("d1", first, EVENTS[first:last])])
        for start in range(11):
            now = await heard(there, start)
            assert (now.events, now.over) == (EVENTS[start:last], False)
    await here.finish("d1", ANSWER, EVENTS)
    for start in range(11):
        now = await heard(there, start)
        assert (now.events, now.over, now.broken) == (EVENTS[start:], True, None)
    assert await there.relay.heard("d1", "bob", 0) is None


async def test_no_number_is_too_large_to_go_on_behind(two):
    here, there = two
    await begin(here)
    await here.relay.air([("d1", 0, EVENTS)])
    assert (await heard(there, 10**20)).events == []


async def test_a_batch_that_comes_again_is_there_once(two):
    """Whether the first came through was not known, and more has been said meanwhile."""
    here, there = two
    await begin(here)
    await here.relay.air([("d1", 0, EVENTS[:2])])
    for last in (4, 7):
        await here.relay.air([("d1", 2, EVENTS[2:last])])
        assert (await heard(there)).events == EVENTS[:last]


async def test_what_is_between_two_batches_is_waited_for(two):
    here, there = two
    await begin(here)
    await here.relay.air([("d1", 0, EVENTS[:2]), ("d1", 5, EVENTS[5:])])
    assert (await heard(there)).events == EVENTS[:2]


async def test_a_debate_that_is_over_or_erased_leaves_no_batch(two):
    here, there = two
    for debate in ("over", "erased", "pruned"):
        await begin(here, debate)
        await here.relay.air([(debate, 0, EVENTS[:5])])
    await here.finish("over", ANSWER, EVENTS)
    await there.erase("erased", "anna")
    await here.finish("pruned", ANSWER, EVENTS)
    await there.prune(timedelta(0))
    await here.relay.air([(debate, 5, EVENTS[5:]) for debate in ("over", "erased", "pruned")])
    assert await count(here, "aired") == 0
    with pytest.raises(Gone):
        await here.finish("erased", ANSWER, EVENTS)


async def count(store: Store, table: str) -> int:
    counted = f"SELECT count(*) FROM {table}"
    return await store._database.read(lambda connection: connection.exec_driver_sql(counted).scalar_one())


async def test_a_wish_reaches_whoever_holds_the_debate(two):
    here, there = two
    await begin(here)
    assert not await there.relay.wish("d1", "bob", "mine now")
    assert (await here.relay.beat(holding={"d1"}))["d1"].wish is None
    assert await there.relay.wish("d1", "anna", "it was cancelled")
    assert (await here.relay.beat(holding={"d1"}))["d1"].wish == "it was cancelled"
    await here.finish("d1", ANSWER, EVENTS)
    assert not await there.relay.wish("d1", "anna", "too late")


async def test_one_that_was_erased_is_missed(two):
    here, there = two
    await begin(here)
    await there.erase("d1", None)
    assert await here.relay.beat(holding={"d1"}) == {}


async def test_readers_elsewhere_are_seen(two):
    here, there = two
    await begin(here)
    assert (await here.relay.beat(holding={"d1"}))["d1"].watched_s is None
    await there.relay.beat(holding=(), watching={"d1", "never begun"})
    assert 0 <= (await here.relay.beat(holding={"d1"}))["d1"].watched_s < 5


class TestDeath:
    async def test_a_dead_servers_debates_are_cut_with_what_they_aired(self, two):
        here, there = two
        await begin(here)
        await here.relay.air([("d1", 0, EVENTS[:4])])
        await asyncio.sleep(1.2)
        await there.relay.beat(holding=(), bury=True)
        stored = await there.record("d1", "anna")
        assert (stored.status, stored.review, stored.answer) == ("cut", (STOPPED,), None)
        assert await there.events("d1", "anna") == EVENTS[:4]
        now = await heard(there, 2)
        assert (now.events, now.over, now.broken) == (EVENTS[2:4], True, STOPPED)
        (told,) = await there.outbox.take(9, lambda attempts: 60)
        assert (told.debate, told.body) == ("d1", f"anna: {STOPPED}")

    async def test_a_live_ones_are_not(self, two):
        here, there = two
        await begin(here)
        for _ in range(4):
            await asyncio.sleep(0.4)
            await here.relay.beat(holding={"d1"})
            await there.relay.beat(holding=(), bury=True)
        assert not (await heard(there)).over

    async def test_who_may_not_bury_buries_nobody(self, two):
        here, there = two
        await begin(here)
        await asyncio.sleep(1.2)
        await there.relay.beat(holding=())
        assert not (await heard(there)).over

    async def test_one_that_was_only_asleep_has_the_last_word(self, two):
        here, there = two
        await begin(here)
        await asyncio.sleep(1.2)
        await there.relay.beat(holding=(), bury=True)
        assert (await heard(there)).broken == STOPPED
        await here.finish("d1", ANSWER, EVENTS)
        assert (await there.record("d1", "anna")).answer == ANSWER
        assert (await heard(there)).events == EVENTS

    async def test_one_that_leaves_in_good_order_leaves_nothing_running(self, two):
        here, there = two
        await begin(here)
        await here.relay.leave()
        assert (await heard(there)).broken == STOPPED
        assert await count(there, "servers") == 1

    async def test_a_record_that_its_own_server_lost_is_told(self, two):
        """It could not be written, and had to make room in memory."""
        here, there = two
        await begin(here)
        await begin(here, "kept")
        await asyncio.sleep(1.2)
        await here.relay.beat(holding={"kept"}, bury=True)
        assert (await heard(there)).broken == LOST
        assert not (await heard(there, debate="kept")).over


async def test_notices_come_and_are_taken_up_after_the_server_restarted(postgres, two):
    here, there = two
    notices: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listening = asyncio.create_task(listen(there._database, lambda *notice: notices.put_nowait(notice)))
    try:
        for restarted in (False, True):
            if restarted:
                await asyncio.to_thread(postgres.stop)
                await asyncio.to_thread(postgres.start)
            async with asyncio.timeout(20):
                assert {await notices.get() for _ in range(2)} == {(SAID, ""), (ASKED, "")}
                await begin(here)
                await here.relay.air([("d1", 0, EVENTS[:1])])
                assert await notices.get() == (SAID, "d1")
                await here.relay.wish("d1", "anna", "why not")
                assert await notices.get() == (ASKED, here.relay.server)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def test_many_open_an_empty_database_at_once(url):
    opened = await asyncio.gather(*(Store.open(url, serving=False) for _ in range(6)))
    await asyncio.gather(*(one.begin(f"d{n}", owner="a", model="m", question="?") for n, one in enumerate(opened)))
    assert len(await opened[0].page("a")) == 6
    for one in opened:
        await one.aclose()


async def test_servers_go_by_the_databases_clock(two, monkeypatch):
    here, _ = two
    monkeypatch.setattr("chorus.record.database.datetime", None)  # theirs
    await begin(here)
    await here.finish("d1", ANSWER, EVENTS, ["look"], message="look")
    assert await here.outbox.seconds() <= 0
    assert [one.debate for one in await here.outbox.take(9, lambda attempts: 60)] == ["d1"]
    assert 50 < await here.outbox.seconds() <= 60
    assert await here.prune(timedelta(minutes=1)) == 0
    assert await here.prune(timedelta(0)) == 1


async def test_times_are_utc_whatever_the_server_thinks(postgres, url):
    store = await Store.open(f"{url}&options=-ctimezone%3DAsia/Kathmandu")
    await begin(store)
    assert abs((await store.record("d1", "anna")).created - datetime.now(UTC)) < timedelta(minutes=1)
    assert (await store.record("d1", "anna")).created.utcoffset() == timedelta(0)
    await store.aclose()


async def test_a_server_that_is_not_there_is_told_without_the_password():
    with pytest.raises(StoreError) as refused:
        await Store.open("postgresql://anna:geheim@127.0.0.1:1/none")
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2", "psycopg_async"])
async def test_another_driver_is_refused_by_name(driver):
    with pytest.raises(ConfigError, match=f"not as postgresql.{driver}: write postgresql://"):
        await Store.open(f"postgresql+{driver}://anna@127.0.0.1/none")


async def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"greek-chorus\[postgres\]"):
        await Store.open("postgresql://anna@127.0.0.1/none")
