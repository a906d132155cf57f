"""Old debates go a few at a time: it needs little room, and what is gone stays gone when it is broken off."""

from __future__ import annotations

from datetime import timedelta

import pytest
from debates import engine, hold

from chorus.errors import StoreError
from chorus.record import store as store_module
from chorus.record.store import Store

pytest.importorskip("sqlalchemy")

ANSWER = hold(engine()).answer


@pytest.fixture
async def store(tmp_path):
    opened = await Store.open(f"sqlite:///{tmp_path / 'debates.db'}")
    yield opened
    await opened.aclose()


async def keep(store, count, chars=10):
    for number in range(count):
        await store.begin(f"d{number}", owner="anna", model="chorus", question="Mörder" * chars)
        await store.finish(f"d{number}", ANSWER, [])


def text_is_there(folder) -> bool:
    return any("Mörder".encode() in file.read_bytes() for file in folder.iterdir())


async def test_the_log_stays_short_however_much_is_deleted(store, tmp_path, monkeypatch):
    """It takes up room while old debates make way, which must not be as much as they had: the disk may be full."""
    monkeypatch.setattr(store_module, "PRUNED_AT_ONCE", 1)
    await keep(store, 20, chars=30_000)
    await store.erase("d0", None)
    log, lengths, checkpoint = tmp_path / "debates.db-wal", [], store._database.checkpoint

    async def measured():
        lengths.append(log.stat().st_size if log.exists() else 0)
        await checkpoint()

    monkeypatch.setattr(store._database, "checkpoint", measured)
    assert await store.prune(timedelta(0)) == 19
    assert 0 < max(lengths) < 1_000_000 < 19 * 210_000


async def test_the_oldest_go_first_and_a_fault_brings_none_back(store, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PRUNED_AT_ONCE", 2)
    await keep(store, 7)
    write, times = store._database.write, []

    async def fails_in_the_end(work):
        times.append(work)
        if len(times) == 3:
            raise StoreError("the disk is full")
        return await write(work)

    monkeypatch.setattr(store._database, "write", fails_in_the_end)
    with pytest.raises(StoreError, match="full"):
        await store.prune(timedelta(0))
    assert [one.id for one in await store.page(None)] == ["d6", "d5", "d4"]
    assert (await store.record("d4", None)).answer == ANSWER
    assert await store.prune(timedelta(0)) == 3
    assert not text_is_there(tmp_path)


async def test_only_what_was_asked_for_goes_and_all_of_it(store, monkeypatch):
    """More than one step's worth, among others' and running ones, which a limit must not count."""
    monkeypatch.setattr(store_module, "PRUNED_AT_ONCE", 2)
    for number in range(12):
        await store.begin(f"d{number}", owner=("anna", "bob", "cleo")[number % 3], model="chorus", question="?")
        if number % 3 != 2:
            await store.finish(f"d{number}", ANSWER, [])
    assert await store.prune(timedelta(0), owner="bob") == 4
    assert await store.prune(timedelta(0)) == 4
    assert {(one.owner, one.status) for one in await store.page(None)} == {("cleo", "running")}
