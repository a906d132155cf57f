"""Debates kept in a database, and what becomes of them when it is in trouble."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from debates import engine, hold

from chorus.errors import ConfigError, StoreError
from chorus.record.store import STOPPED, Store

pytest.importorskip("sqlalchemy")

ANSWER = hold(engine()).answer
EVENTS = ['{"event":"convened"}', '{"event":"decided","text":"Ein Geheimnis"}']


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'debates.db'}"


@pytest.fixture
async def store(url):
    opened = await Store.open(url)
    yield opened
    await opened.aclose()


async def keep(store: Store, debate: str, owner: str = "anna", review: str | None = None) -> None:
    await store.begin(debate, owner=owner, model="chorus", question="What is 7 * 8?")
    await store.finish(debate, ANSWER, EVENTS, review)


async def test_a_debate_comes_back_as_it_was(store):
    await keep(store, "d1", review="the voices were split")
    stored = await store.record("d1", "anna")
    assert stored.answer == ANSWER
    assert (stored.status, stored.text, stored.review) == ("done", "56", "the voices were split")
    assert stored.created.utcoffset() == timedelta(0)
    assert await store.events("d1", "anna") == EVENTS


async def test_nobody_reads_or_erases_what_is_anothers(store):
    await keep(store, "d1")
    assert await store.record("d1", "bob") is None
    assert await store.events("d1", "bob") is None
    assert not await store.erase("d1", "bob")
    assert await store.page("bob") == []
    assert (await store.record("d1", None)).owner == "anna"


async def test_pages_run_from_the_newest_to_the_oldest(store):
    for number in range(5):
        await keep(store, f"d{number}", review="look" if number % 2 else None)
    first = await store.page("anna", limit=2)
    second = await store.page("anna", limit=2, before=first[-1].id)
    assert [one.id for one in (*first, *second)] == ["d4", "d3", "d2", "d1"]
    assert first[0].answer is None, "lists are light"
    assert [one.id for one in await store.page("anna", needs_review=True)] == ["d3", "d1"]
    assert [one.id for one in await store.page("anna", needs_review=False)] == ["d4", "d2", "d0"]


async def test_what_is_erased_leaves_no_text_behind(store, tmp_path):
    await store.begin("d1", owner="anna", model="chorus", question="Wer ist der Mörder?")
    assert any("Mörder".encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert await store.erase("d1", "anna")
    assert not any("Mörder".encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert not await store.erase("d1", "anna")


async def test_pruning_spares_the_young_and_the_running(store):
    await keep(store, "old")
    await store.begin("running", owner="anna", model="chorus", question="?")
    assert await store.prune(timedelta(days=1)) == 0
    await asyncio.sleep(0.002)
    assert await store.prune(timedelta(milliseconds=1), owner="bob") == 0
    assert await store.prune(timedelta(milliseconds=1)) == 1
    assert [one.id for one in await store.page(None)] == ["running"]


async def test_a_debate_that_a_dead_server_left_is_cut(url, store):
    await store.begin("d1", owner="anna", model="chorus", question="?")
    onlooker = await Store.open(url, serving=False)
    assert (await onlooker.record("d1", "anna")).status == "running"
    await onlooker.aclose()
    again = await Store.open(url)
    stored = await again.record("d1", "anna")
    assert (stored.status, stored.review, stored.answer) == ("cut", STOPPED, None)
    assert await again.events("d1", "anna") == []
    await again.aclose()


async def test_a_debate_erased_while_it_ran_stays_erased(store):
    await store.begin("d1", owner="anna", model="chorus", question="?")
    await store.erase("d1", "anna")
    with pytest.raises(StoreError, match="holds no debate d1"):
        await store.finish("d1", ANSWER, EVENTS, None)
    assert await store.page(None) == []


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


async def test_two_processes_share_a_store(url):
    """Both open it while it is still empty, and both write."""
    others = [await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER, url, name) for name in ("a", "b")]
    assert [await other.wait() for other in others] == [0, 0]
    store = await Store.open(url)
    assert len(await store.page(None, limit=100)) == 40
    await store.aclose()


class TestTrouble:
    async def test_a_file_that_is_no_database(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("Dear diary, " * 100)
        with pytest.raises(StoreError, match="not a database: it is another kind of file"):
            await Store.open(f"sqlite:///{path}")
        assert path.read_text().startswith("Dear diary")

    async def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(StoreError, match="is there a folder of that name"):
            await Store.open(f"sqlite:///{tmp_path}/none/debates.db")

    @pytest.mark.parametrize("url", ["debates.db", "mongodb://x", "sqlite://", "sqlite:///:memory:", ""])
    async def test_a_url_that_is_none(self, url):
        with pytest.raises(ConfigError):
            await Store.open(url)

    async def test_a_schema_of_the_future(self, url, store, tmp_path):
        with sqlite3.connect(tmp_path / "debates.db") as database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.close()
        with pytest.raises(StoreError, match="newer version of greek-chorus"):
            await Store.open(url)

    async def test_a_full_disk_leaves_nothing_half_written(self, url, store, tmp_path):
        """The file may not grow: SQLite says that the disk is full."""
        await keep(store, "d1")
        connection = store._database._engine.raw_connection()
        pages = connection.cursor().execute("PRAGMA page_count").fetchone()[0]
        connection.cursor().execute(f"PRAGMA max_page_count={pages}")
        connection.close()
        with pytest.raises(StoreError, match="full"):
            await store.begin("big", owner="anna", model="chorus", question="?" * 1_000_000)
        assert [one.id for one in await store.page(None)] == ["d1"]

    async def test_a_store_that_another_process_locks(self, store, tmp_path, monkeypatch):
        monkeypatch.setattr("chorus.record.database.BUSY_MS", 100)
        with sqlite3.connect(tmp_path / "debates.db", isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            connection = store._database._engine.raw_connection()
            connection.cursor().execute("PRAGMA busy_timeout=100")
            connection.close()
            with pytest.raises(StoreError, match="locked: another process has been writing"):
                await store.begin("d1", owner="anna", model="chorus", question="?")
            other.execute("ROLLBACK")
        other.close()
        await keep(store, "d1")

    async def test_a_damaged_record(self, store, tmp_path):
        await keep(store, "d1")
        with sqlite3.connect(tmp_path / "debates.db") as database:
            database.execute("UPDATE debates SET answer = x'00', events = x'00'")
        database.close()
        with pytest.raises(StoreError, match="damaged"):
            await store.record("d1", "anna")
        with pytest.raises(StoreError, match="damaged"):
            await store.events("d1", "anna")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    async def test_a_file_that_may_not_be_written(self, url, store, tmp_path):
        Path(tmp_path / "debates.db").chmod(0o400)
        with pytest.raises(StoreError):
            await store.begin("d1", owner="anna", model="chorus", question="?")


async def test_migrations_lead_to_the_tables_as_they_are(url, store):
    """What `tables` says and what the steps make are one schema."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from chorus.record.tables import METADATA

    with store._database._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
