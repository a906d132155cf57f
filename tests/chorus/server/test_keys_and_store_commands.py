"""`chorus keys` and `chorus store`, as an operator uses them."""

import asyncio
import sqlite3

import pytest
from command_line import Command

from chorus.record.store import Store

pytest.importorskip("sqlalchemy")


@pytest.fixture
def chorus(tmp_path, monkeypatch, capsys):
    return Command(tmp_path, monkeypatch, capsys)


def test_a_keys_secret_is_all_that_is_printed(chorus):
    made = chorus("keys", "create", "Anna", "--tokens-per-day", "1000")
    assert made.code == 0
    assert made.out.startswith("sk-chorus-")
    key = made.err.split()[1]
    assert chorus("keys", "list").out.split("  ")[0::2] == [key, "Anna"]
    assert chorus("keys", "revoke", key).code == 0
    assert "revoked" in chorus("keys", "list").out
    again = chorus("keys", "revoke", key)
    assert (again.code, "chorus keys list" in again.err) == (2, True)


def test_old_debates_are_pruned_and_one_is_erased(chorus, tmp_path):
    async def begin() -> None:
        store = await Store.open(f"sqlite:///{tmp_path / 'chorus.db'}")
        await store.begin("d1", owner="local", model="chorus", question="?")
        await store.aclose()

    asyncio.run(begin())
    assert chorus("store", "prune", "--older-than", "30d").out == "0 debates deleted\n"
    assert chorus("store", "erase", "d1").out == "d1 deleted\n"
    assert chorus("store", "erase", "d1").code == 2


@pytest.mark.parametrize("age", ["3y", "d", "-1d", "1.5h", ""])
def test_an_age_that_is_none(chorus, age):
    assert chorus("store", "prune", "--older-than", age).code == 2


def test_a_store_that_cant_be_opened(chorus):
    ran = chorus("keys", "list", "--store", "sqlite:////no/such/folder/chorus.db")
    assert (ran.code, ran.err.count("\n")) == (3, 1)


def test_a_time_before_the_calendar(chorus):
    assert chorus("store", "prune", "--older-than", "999999w").out == "0 debates deleted\n"


@pytest.mark.parametrize("arguments", [("--tokens-per-day", "1" + "0" * 30), ("--requests-per-minute", "0")])
def test_a_bound_that_bounds_nothing(chorus, arguments):
    ran = chorus("keys", "create", "Anna", *arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_a_store_of_a_newer_version_is_left_alone(chorus, tmp_path):
    chorus("keys", "create", "Anna")
    with sqlite3.connect(tmp_path / "chorus.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for command in (("keys", "list"), ("store", "prune", "--older-than", "1d")):
        ran = chorus(*command)
        assert (ran.code, "newer version" in ran.err) == (3, True)
