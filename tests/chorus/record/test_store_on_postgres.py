"""The store and the keys on PostgreSQL: the URL is all that changes.

    CHORUS_TEST_POSTGRES=postgresql+psycopg://user@localhost/database pytest -m postgres

Each test has a schema of its own, which it drops.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from debates import engine, hold

from chorus.errors import StoreError
from chorus.record.database import open_database
from chorus.record.store import STOPPED, Store
from chorus.server.keys import KeyRing

SERVER = os.environ.get("CHORUS_TEST_POSTGRES", "")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not SERVER, reason="CHORUS_TEST_POSTGRES names no server"),
]

ANSWER = hold(engine()).answer
EVENTS = ['{"event":"convened"}', '{"event":"decided"}']


@pytest.fixture
def url():
    sqlalchemy = pytest.importorskip("sqlalchemy")
    schema, server = f"chorus_{secrets.token_hex(4)}", sqlalchemy.create_engine(SERVER)
    with server.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    yield f"{SERVER}{'&' if '?' in SERVER else '?'}options={quote(f'-csearch_path={schema}')}"
    with server.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    server.dispose()


@pytest.fixture
async def store(url):
    opened = await Store.open(url)
    yield opened
    await opened.aclose()


async def test_a_debates_life(store):
    for number, text in enumerate(("What is 7 * 8?", "a \0 in the middle")):
        await store.begin(f"d{number}", owner="anna", model="chorus", question=text)
        await store.finish(f"d{number}", ANSWER, EVENTS, "look" if number else None)
    stored = await store.record("d0", "anna")
    assert (stored.answer, stored.status) == (ANSWER, "done")
    assert abs(stored.created - datetime.now(UTC)) < timedelta(minutes=1)
    assert await store.events("d0", "anna") == EVENTS
    assert await store.record("d0", "bob") is None
    assert [one.id for one in await store.page("anna", before="d1")] == ["d0"]
    assert [one.id for one in await store.page("anna", needs_review=True)] == ["d1"]
    assert await store.erase("d0", "anna")
    assert await store.prune(timedelta(0)) == 1
    with pytest.raises(StoreError, match="holds no debate d1"):
        await store.finish("d1", ANSWER, EVENTS, None)


async def test_a_debate_that_a_dead_server_left_is_cut(url, store):
    await store.begin("d1", owner="anna", model="chorus", question="?")
    again = await Store.open(url)
    assert (await again.record("d1", "anna")).review == STOPPED
    await again.aclose()


async def test_many_open_an_empty_database_at_once(url):
    opened = await asyncio.gather(*(Store.open(url, serving=False) for _ in range(6)))
    await asyncio.gather(*(one.begin(f"d{n}", owner="a", model="m", question="?") for n, one in enumerate(opened)))
    assert len(await opened[0].page("a")) == 6
    for one in opened:
        await one.aclose()


async def test_charges_of_several_servers_all_count(url):
    """The first of the day among them, which several try to note at once."""
    rings = [KeyRing(await open_database(url)) for _ in range(4)]
    key, secret = await rings[0].create("Anna", tokens_per_day=100)
    assert await rings[1].check(secret) == key
    await asyncio.gather(*(ring.spend(key, 3 * 10**9) for ring in rings for _ in range(5)))
    assert f"({60 * 10**9:,} used)" in str(await rings[2].refusal(key))
    for ring in rings:
        await ring.aclose()


async def test_migrations_lead_to_the_tables_as_they_are(store):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from chorus.record.tables import METADATA

    with store._database._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


async def test_a_server_that_is_not_there_is_told_without_the_password():
    with pytest.raises(StoreError) as refused:
        await Store.open("postgresql+psycopg://anna:geheim@127.0.0.1:1/none")
    assert "geheim" not in str(refused.value)
