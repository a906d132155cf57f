"""Debates kept in a database: the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest
from debates import engine, hold

from chorus.record.store import Gone, Replied, Store
from chorus.types import well_formed

pytest.importorskip("sqlalchemy")

ANSWER = hold(engine()).answer
EVENTS = ['{"event":"convened"}', '{"event":"decided","text":"Ein Geheimnis"}']


@pytest.fixture
async def store(url):
    opened = await Store.open(url)
    yield opened
    await opened.aclose()


async def keep(store: Store, debate: str, owner: str = "anna", review: Sequence[str] = ()) -> None:
    await store.begin(debate, owner=owner, model="chorus", question="What is 7 * 8?")
    await store.finish(debate, ANSWER, EVENTS, review)


async def test_a_debate_comes_back_as_it_was(store):
    await keep(store, "d1", review=["the voices were split; one of them twice", "low confidence"])
    stored = await store.record("d1", "anna")
    assert stored.answer == ANSWER
    assert (stored.status, stored.text) == ("done", "56")
    assert stored.review == ("the voices were split; one of them twice", "low confidence")
    assert stored.created.utcoffset() == timedelta(0)
    assert await store.events("d1", "anna") == EVENTS


@pytest.mark.parametrize("odd", ["half a \ud83d pair", "a \0 in the middle", "\U0001f3ad\u202e"])
async def test_no_text_is_too_odd_to_be_kept(store, odd):
    """What a client or a model writes must not keep a debate from being stored."""
    mended = well_formed(odd)  # a record is so from the start
    said = ANSWER.model_copy(update={"answer": mended})
    await store.begin("d1", owner="anna", model="chorus", question=odd)
    await store.finish("d1", said, [f'{{"text":"{odd}"}}'], [odd])
    stored = await store.record("d1", "anna")
    assert stored.answer.answer == mended
    assert stored.question == stored.text == stored.review[0] == mended.replace("\0", "\ufffd")
    assert await store.events("d1", "anna") == [f'{{"text":"{mended}"}}']


async def test_a_reason_that_an_earlier_version_wrote_in_words_is_one_reason(store):
    await keep(store, "d1", review=["look"])
    older = "UPDATE debates SET review = 'a tie was broken: by confidence; voices failed: skeptic'"
    await store._database.write(lambda connection: connection.exec_driver_sql(older))
    (listed,) = await store.page("anna", needs_review=True)
    assert listed.review == ("a tie was broken: by confidence; voices failed: skeptic",)


async def test_what_a_client_is_answered_can_be_read_from_the_start(url, store):
    await store.begin("d1", owner="anna", model="chorus", question="?", reply='{"so": "far"}')
    assert await store.reply("d1", "bob") is None
    assert await store.reply("d1", "anna") == Replied('{"so": "far"}', over=False, broken=None)
    await store.finish("d1", ANSWER, EVENTS, reply='{"for": "good"}')
    assert await store.reply("d1", "anna") == Replied('{"for": "good"}', over=True, broken=None)
    await keep(store, "a chat")
    assert await store.reply("a chat", "anna") is None


async def test_a_debate_without_events_has_none(store):
    await store.begin("d1", owner="anna", model="chorus", question="?")
    await store.finish("d1", ANSWER, [])
    assert await store.events("d1", "anna") == []


async def test_nobody_reads_or_erases_what_is_anothers(store):
    await keep(store, "d1")
    assert await store.record("d1", "bob") is None
    assert await store.events("d1", "bob") is None
    assert not await store.erase("d1", "bob")
    assert await store.page("bob") == []
    assert (await store.record("d1", None)).owner == "anna"


async def test_pages_run_from_the_newest_to_the_oldest(store):
    for number in range(5):
        await keep(store, f"d{number}", review=["look"] * (number % 2))
    first = await store.page("anna", limit=2)
    second = await store.page("anna", limit=2, before=first[-1].id)
    assert [one.id for one in (*first, *second)] == ["d4", "d3", "d2", "d1"]
    assert first[0].answer is None, "lists are light"
    assert [one.id for one in await store.page("anna", needs_review=True)] == ["d3", "d1"]
    assert [one.id for one in await store.page("anna", needs_review=False)] == ["d4", "d2", "d0"]


async def test_pruning_what_is_older_than_the_calendar(store):
    await keep(store, "d1")
    assert await store.prune(timedelta(weeks=999_999)) == 0
    assert await store.prune(timedelta.max) == 0


async def test_pruning_spares_the_young_and_the_running(store):
    await keep(store, "old")
    await store.begin("running", owner="anna", model="chorus", question="?")
    assert await store.prune(timedelta(days=1)) == 0
    await asyncio.sleep(0.002)
    assert await store.prune(timedelta(milliseconds=1), owner="bob") == 0
    assert await store.prune(timedelta(milliseconds=1)) == 1
    assert [one.id for one in await store.page(None)] == ["running"]


async def test_a_debate_erased_while_it_ran_stays_erased(store):
    await store.begin("d1", owner="anna", model="chorus", question="?")
    await store.erase("d1", "anna")
    with pytest.raises(Gone, match="holds no debate d1"):
        await store.finish("d1", ANSWER, EVENTS)
    assert await store.page(None) == []


async def test_a_debate_that_is_noted_twice_is_one(store):
    """Whether the first note came through can't always be told."""
    for question in ("What is 7 * 8?", "again"):
        await store.begin("d1", owner="anna", model="chorus", question=question)
    assert [one.question for one in await store.page("anna")] == ["What is 7 * 8?"]


async def test_many_tasks_write_at_once(store):
    await asyncio.gather(*(keep(store, f"d{number}") for number in range(50)))
    assert len(await store.page("anna", limit=100)) == 50


OTHER = """
import asyncio, sys
from chorus.record.store import Store

async def write(url, name):
    store = await Store.open(url, serving=False)
    for number in range(20):
        await store.begin(f"{name}-{number}", owner="anna", model="chorus", question="?")
    await store.aclose()

asyncio.run(write(*sys.argv[1:]))
"""


async def test_what_was_asked_for_is_written_before_the_store_closes(url):
    store = await Store.open(url)
    writers = [asyncio.create_task(store.begin(f"d{n}", owner="a", model="chorus", question="?")) for n in range(9)]
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.gather(*writers)
    again = await Store.open(url)
    assert len(await again.page("a")) == 9
    await again.aclose()


async def test_two_processes_share_a_store(url):
    """Both open it while it is still empty, and both write."""
    others = [await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER, url, name) for name in ("a", "b")]
    assert [await other.wait() for other in others] == [0, 0]
    store = await Store.open(url)
    assert len(await store.page(None, limit=100)) == 40
    await store.aclose()


async def test_migrations_lead_to_the_tables_as_they_are(url, store):
    """What `tables` says and what the steps make are one schema."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from chorus.record.tables import METADATA

    with store._database._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
