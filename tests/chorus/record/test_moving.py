"""From one database to another: everything arrives, and the new one goes on from there."""

from __future__ import annotations

import pytest
from debates import engine, hold

from chorus.errors import StoreError
from chorus.record.moving import copy
from chorus.record.store import Store
from chorus.server.keys import KeyRing

pytest.importorskip("sqlalchemy")

ANSWER = hold(engine()).answer
EVENTS = ['{"event":"convened"}', '{"event":"decided"}']


@pytest.fixture
async def old(tmp_path):
    """A database of one server's, and the secret of a key in it."""
    old = f"sqlite:///{tmp_path / 'old.db'}"
    store, ring = await Store.open(old), await KeyRing.open(old)
    for number in range(250):
        await store.begin(f"d{number}", owner="anna", model="chorus", question="?")
    await store.finish("d7", ANSWER, EVENTS, ["look"])
    key, secret = await ring.create("Anna", tokens_per_day=10)
    await ring.spend(key, 10, "d7")
    await store.aclose()
    await ring.aclose()
    return old, secret


async def test_everything_arrives(old, url):
    source, secret = old
    assert {"debates": 250, "keys": 1, "spending": 1}.items() <= (await copy(source, url)).items()
    store, before, ring = await Store.open(url), await Store.open(source), await KeyRing.open(url)
    assert (await store.record("d7", "anna")) == (await before.record("d7", "anna"))
    assert await store.events("d7", "anna") == EVENTS
    await store.begin("next", owner="anna", model="chorus", question="?")
    assert [one.id for one in await store.page("anna", limit=2)] == ["next", "d249"]
    assert "10 tokens of today are spent" in str(await ring.refusal(await ring.check(secret)))
    for opened in (store, before, ring):
        await opened.aclose()


async def test_a_database_that_holds_something_is_left_alone(old, url):
    source, _ = old
    ring = await KeyRing.open(url)
    await ring.create("Bob")
    with pytest.raises(StoreError, match="holds keys already: name an empty one"):
        await copy(source, url)
    assert [key.name for key in await ring.list()] == ["Bob"]
    await ring.aclose()
