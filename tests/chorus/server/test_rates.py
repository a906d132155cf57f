"""Rates: in memory by a clock that tests move (`test_keys`), and here in the database that servers share."""

from __future__ import annotations

import asyncio

import pytest

from chorus.record.database import open_database
from chorus.server.keys import KeyRing

pytest.importorskip("psycopg")

pytestmark = pytest.mark.postgres


@pytest.fixture
async def rings(postgres):
    """The keys as four servers see them."""
    url = postgres.database()
    databases = [await open_database(url) for _ in range(4)]
    yield [KeyRing(database) for database in databases]
    for database in databases:
        await database.aclose()


async def test_a_rate_holds_over_all_servers(rings):
    key, _ = await rings[0].create("Anna", requests_per_minute=10)
    asked = await asyncio.gather(*(ring.refusal(key) for ring in rings for _ in range(8)))
    refused = [one for one in asked if one]
    assert len(asked) - len(refused) == 10
    assert all(0 < one.retry_after_s <= 6 for one in refused)
    assert "10 requests per minute" in str(refused[0])


async def test_it_fills_up_again_with_time(rings):
    key, _ = await rings[0].create("Anna", requests_per_minute=60)
    while not (refused := await rings[1].refusal(key)):
        pass
    assert refused.retry_after_s <= 1
    await asyncio.sleep(refused.retry_after_s)
    assert await rings[2].refusal(key) is None


async def test_a_database_clock_that_is_set_back_locks_nobody_out(rings):
    """For longer than it takes to fill up from nothing."""
    key, _ = await rings[0].create("Anna", requests_per_minute=1)
    assert await rings[0].refusal(key) is None
    later = "UPDATE rates SET \"full\" = now() + interval '1 day'"
    await rings[0]._database.write(lambda connection: connection.exec_driver_sql(later))
    assert (await rings[1].refusal(key)).retry_after_s <= 60


async def test_charges_of_several_servers_all_count(rings):
    """The first of the day among them, which several try to note at once."""
    key, secret = await rings[0].create("Anna", tokens_per_day=100)
    assert await rings[1].check(secret) == key
    await asyncio.gather(*(ring.spend(key, 3 * 10**9, f"d{m}.{n}") for m, ring in enumerate(rings) for n in range(5)))
    assert f"({60 * 10**9:,} used)" in str(await rings[2].refusal(key))


async def test_a_key_that_is_revoked_at_one_is_useless_at_all(rings):
    key, secret = await rings[0].create("Anna")
    assert await rings[1].revoke(key.id)
    assert [await ring.check(secret) for ring in rings] == [None] * 4
