"""API keys: made once, checked, bounded, revoked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chorus.errors import ConfigError, StoreError
from chorus.record.database import open_database
from chorus.server.keys import KeyRing
from chorus.server.rates import OwnRates

IntegrityError = pytest.importorskip("sqlalchemy.exc").IntegrityError


class Clock:
    """Both clocks of a key ring, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.at = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'debates.db'}"
    return request.getfixturevalue("postgres").database()


@pytest.fixture
async def ring(url, clock):
    database = await open_database(url)
    ring = KeyRing(database, clock=lambda: clock.seconds, now=lambda: clock.at)
    ring._rates = OwnRates(lambda: clock.seconds)  # `test_rates` is about those that servers share
    yield ring
    await database.aclose()


async def test_a_secret_opens_and_is_kept_nowhere(ring, tmp_path):
    key, secret = await ring.create("Anna")
    assert secret.startswith("sk-chorus-")
    assert await ring.check(secret) == key
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())  # SQLite's


@pytest.mark.parametrize(
    "change", [str.upper, lambda s: s + "x", lambda s: s[:-1], lambda s: "", lambda s: "\udc80" + s]
)
async def test_nothing_else_does(ring, change):
    _, secret = await ring.create("Anna")
    assert await ring.check(change(secret)) is None


async def test_one_keys_secret_with_anothers_name_does_not(ring):
    (_, anna), (bob, _) = await ring.create("Anna"), await ring.create("Bob")
    forged = anna.replace(anna.removeprefix("sk-chorus-").partition("-")[0], bob.id)
    assert await ring.check(forged) is None


@pytest.mark.parametrize("same", [True, False])
async def test_what_compares_in_constant_time_decides_and_is_asked_of_unknown_keys_too(ring, monkeypatch, same):
    key, secret = await ring.create("Anna")
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda *pair: compared.append(pair) or same)
    assert await ring.check(secret) == (key if same else None)
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    assert await ring.check(wrong) == (key if same else None)
    assert await ring.check(secret.replace(key.id, "0" * 12)) is None
    assert [len(one) for pair in compared for one in pair] == [64] * 6


async def test_a_revoked_key_is_useless_at_once(ring):
    key, secret = await ring.create("Anna")
    assert await ring.revoke(key.id)
    assert await ring.check(secret) is None
    assert not await ring.revoke(key.id)
    assert not await ring.revoke("nobody")
    assert [one.revoked is not None for one in await ring.list()] == [True]


async def test_a_rate_fills_up_again_with_time(ring, clock):
    key, _ = await ring.create("Anna", requests_per_minute=2)
    assert [await ring.refusal(key) for _ in range(2)] == [None, None]
    refused = await ring.refusal(key)
    assert "2 requests per minute" in str(refused)
    assert refused.retry_after_s == pytest.approx(30)
    clock.seconds += 30
    assert await ring.refusal(key) is None
    assert await ring.refusal(key) is not None


async def test_a_wall_clock_that_jumps_moves_no_rate(ring, clock):
    key, _ = await ring.create("Anna", requests_per_minute=1)
    await ring.refusal(key)
    clock.at += timedelta(days=3)
    assert await ring.refusal(key) is not None


async def test_a_days_tokens_come_back_at_midnight(ring, clock):
    key, _ = await ring.create("Anna", tokens_per_day=100)
    await ring.spend(key, 60, "d1")
    assert await ring.refusal(key) is None
    await ring.spend(key, 60, "d2")
    refused = await ring.refusal(key)
    assert "100 tokens of today are spent (120 used)" in str(refused)
    assert refused.retry_after_s == 12 * 3600
    clock.at += timedelta(hours=12)
    assert await ring.refusal(key) is None


async def test_what_was_spent_outlives_the_process(url, ring, clock):
    key, secret = await ring.create("Anna", tokens_per_day=10)
    await ring.spend(key, 10, "d1")
    database = await open_database(url)
    again = KeyRing(database, now=lambda: clock.at)
    assert await again.refusal(await again.check(secret)) is not None
    await database.aclose()


@pytest.mark.parametrize(
    "bad",
    [
        {"name": " "},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"name": "\udc80"},
        {"requests_per_minute": 0},
        {"tokens_per_day": -1},
        {"tokens_per_day": 10**30},
    ],
)
async def test_a_key_that_could_do_nothing_is_not_made(ring, bad):
    with pytest.raises(ConfigError):
        await ring.create(**({"name": "Anna"} | bad))


async def test_charges_that_come_at_once_all_count(ring):
    """The first of the day among them: each finds no row, or one that another has just made."""
    key, _ = await ring.create("Anna", tokens_per_day=10**12)
    await asyncio.gather(*(ring.spend(key, 3 * 10**9, f"d{n}") for n in range(20)))
    assert await ring.refusal(key) is None
    await ring.spend(key, 10**12, "last")
    assert f"({10**12 + 60 * 10**9:,} used)" in str(await ring.refusal(key))


async def test_a_charge_that_another_server_forestalls_counts(ring, monkeypatch):
    """Both find no row for today; the other one's is there first."""
    key, _ = await ring.create("Anna", tokens_per_day=100)
    write, made = ring._database.write, []

    async def forestalled(work):
        if not made:
            made.append(True)
            raise StoreError("not unique") from IntegrityError("INSERT", {}, Exception())
        return await write(work)

    monkeypatch.setattr(ring._database, "write", forestalled)
    await ring.spend(key, 100, "d1")
    assert "(100 used)" in str(await ring.refusal(key))


async def test_a_charge_counts_once_and_is_remembered_until_that_is_known(ring, monkeypatch):
    key, _ = await ring.create("Anna", tokens_per_day=1)
    write = ring._database.write

    async def cut_off(work):
        await write(work)
        raise StoreError("the connection was lost")

    monkeypatch.setattr(ring._database, "write", cut_off)
    for _ in range(3):
        with pytest.raises(StoreError):
            await ring.spend(key, 100, "d1")
    monkeypatch.setattr(ring._database, "write", write)
    for charge in ("d1", "d2", "d3"):
        await ring.spend(key, 100, charge)
    assert "(300 used)" in str(await ring.refusal(key))
    left = await ring._database.read(lambda connection: connection.exec_driver_sql("SELECT id FROM charges").all())
    assert left == [("d3",)]
