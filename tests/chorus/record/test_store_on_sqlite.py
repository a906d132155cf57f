"""SQLite's own: one writer at a time, text that is overwritten, and files that are in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import timedelta

import pytest
from debates import engine, hold

from chorus.errors import ConfigError, StoreError
from chorus.record.store import STOPPED, Replied, Store

pytest.importorskip("sqlalchemy")

ANSWER = hold(engine()).answer
EVENTS = ['{"event":"convened"}', '{"event":"decided"}']


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'debates.db'}"


@pytest.fixture
async def store(url):
    opened = await Store.open(url)
    yield opened
    await opened.aclose()


async def keep(store: Store, debate: str, owner: str = "anna", review: Sequence[str] = ()) -> None:
    await store.begin(debate, owner=owner, model="chorus", question="What is 7 * 8?")
    await store.finish(debate, ANSWER, EVENTS, review)


async def test_what_is_erased_leaves_no_text_behind(store, tmp_path):
    await store.begin("d1", owner="anna", model="chorus", question="Wer ist der Mörder?")
    assert any("Mörder".encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert await store.erase("d1", "anna")
    assert not any("Mörder".encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert not await store.erase("d1", "anna")


async def test_what_another_process_still_reads_is_cleared_later(url, tmp_path, caplog, monkeypatch):
    """It holds on to the log that the text is in. The deletion stands, and the text goes once nobody holds it."""
    monkeypatch.setattr("chorus.record.database.CLEARING_MS", 10)

    def holds_text() -> bool:
        return any("Mörder".encode() in file.read_bytes() for file in tmp_path.iterdir())

    store = await Store.open(url)
    await store.begin("d1", owner="anna", model="chorus", question="Wer ist der Mörder?")
    reader = sqlite3.connect(tmp_path / "debates.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT question FROM debates").fetchall()
    assert await store.erase("d1", "anna")
    assert holds_text()
    assert "until no other process reads it" in caplog.text
    reader.close()
    assert await store.prune(timedelta(days=1)) == 0, "nothing to delete"
    assert not holds_text(), "but something to clear"
    await store.aclose()


async def test_a_stores_file_has_a_write_ahead_log(store, tmp_path):
    """So readers don't wait for writers. The mode is the file's own: anybody who opens it finds it so."""
    onlooker = sqlite3.connect(tmp_path / "debates.db")
    assert onlooker.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    onlooker.close()


async def test_pruning_gives_room_back(store, tmp_path):
    for number in range(20):
        await store.begin(f"d{number}", owner="anna", model="chorus", question="?" * 20_000)
        await store.finish(f"d{number}", ANSWER, EVENTS)
    await store.erase("none", "anna")
    file = tmp_path / "debates.db"
    with sqlite3.connect(file) as onlooker:
        onlooker.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    onlooker.close()
    full = file.stat().st_size
    assert await store.prune(timedelta(0)) == 20
    assert file.stat().st_size < full / 4


async def test_a_debate_that_a_dead_server_left_is_cut(url, store):
    await store.begin("d1", owner="anna", model="chorus", question="?", reply='{"so": "far"}')
    onlooker = await Store.open(url, serving=False)
    assert (await onlooker.record("d1", "anna")).status == "running"
    await onlooker.aclose()
    again = await Store.open(url)
    stored = await again.record("d1", "anna")
    assert (stored.status, stored.review, stored.answer) == ("cut", (STOPPED,), None)
    assert await again.events("d1", "anna") == []
    assert await again.reply("d1", "anna") == Replied('{"so": "far"}', over=True, broken=STOPPED)
    await again.aclose()


@pytest.mark.parametrize("message", ["a tie", None])
async def test_a_debate_that_ends_though_it_was_taken_for_lost_is_told_of_as_it_ended(url, store, message):
    await store.begin("d1", owner="anna", model="chorus", question="?")
    again = await Store.open(url, tell=lambda lost: lost.why)
    (lost,) = await store.outbox.take(9, lambda attempts: 0)
    await store.finish("d1", ANSWER, EVENTS, [message] if message else [], message=message)
    await store.outbox.remove(lost)
    told = await store.outbox.take(9, lambda attempts: 60)
    assert (lost.body, [one.body for one in told]) == (STOPPED, [message] if message else [])
    assert lost.id not in [one.id for one in told]
    assert (await store.record("d1", "anna")).status == "done"
    await again.aclose()


@pytest.fixture
def locked(tmp_path, store):
    """Another process writes, until the returned function is called."""
    other = sqlite3.connect(tmp_path / "debates.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield lambda: other.execute("ROLLBACK")
    other.close()


async def test_readers_dont_wait_behind_writers(store, locked):
    """Keys are looked up, and debates read, while everything that is to be written waits for another process."""
    writers = [asyncio.create_task(store.begin(f"d{n}", owner="anna", model="chorus", question="?")) for n in range(40)]
    await asyncio.sleep(0)
    assert await store.page("anna") == []
    assert not any(writer.done() for writer in writers)
    locked()
    await asyncio.gather(*writers)
    assert len(await store.page("anna")) == 40


async def test_who_gives_up_while_writing_knows_what_is_written(store, locked):
    """A transaction under way can't be taken back, so its caller is let go when it has ended."""
    writer = asyncio.create_task(store.begin("d1", owner="anna", model="chorus", question="?"))
    await asyncio.sleep(0.05)
    writer.cancel()
    await asyncio.sleep(0.05)
    assert not writer.done()
    locked()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert (await store.record("d1", "anna")).status == "running"


async def test_who_gives_up_in_the_queue_is_let_go_at_once(store, locked):
    """Nothing of it is written: a store that is locked for long holds nobody who won't wait."""
    writers = [asyncio.create_task(store.begin(f"d{n}", owner="anna", model="chorus", question="?")) for n in range(3)]
    await asyncio.sleep(0.05)
    for writer in writers[1:]:
        writer.cancel()
    await asyncio.wait(writers[1:], timeout=2)
    assert [writer.done() for writer in writers] == [False, True, True]
    locked()
    await writers[0]
    assert [one.id for one in await store.page("anna")] == ["d0"]


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
        with pytest.raises(StoreError, match="full: make room"):
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

    async def test_a_file_that_may_only_be_read(self, store, tmp_path):
        with pytest.raises(StoreError, match="readonly database: may its file and its folder be written to"):
            await Store.open(f"sqlite:///file:{tmp_path / 'debates.db'}?mode=ro&uri=true")

    async def test_a_name_that_no_database_takes(self, store):
        with pytest.raises(StoreError, match="surrogates not allowed"):
            await store.record("\udc80", "anna")

    async def test_a_disk_too_full_to_give_room_back(self, store, caplog, monkeypatch):
        """What was to be deleted is deleted all the same."""
        from sqlalchemy.exc import OperationalError

        def full(connection):
            raise OperationalError("VACUUM", {}, Exception("database or disk is full"))

        await keep(store, "d1")
        await store.begin("big", owner="anna", model="chorus", question="?" * 100_000)
        await store.finish("big", ANSWER, EVENTS)
        run = type(store._database._engine.connect()).exec_driver_sql
        monkeypatch.setattr(
            "sqlalchemy.engine.Connection.exec_driver_sql",
            lambda self, statement, *rest: full(self) if statement == "VACUUM" else run(self, statement, *rest),
        )
        assert await store.prune(timedelta(0)) == 2
        assert "keeps its size for now: database or disk is full" in caplog.text
