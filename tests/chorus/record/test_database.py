"""What is told of a database that can't be used, which is never its password."""

from __future__ import annotations

import traceback

import pytest

from chorus.errors import ConfigError, StoreError
from chorus.record.database import open_database

pytest.importorskip("sqlalchemy")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgressql://u:SECRET@db/x", "postgressql://…, can't be used: there is no such kind"),
        ("mysql+nosuch://u:SECRET@db/x", "no such kind"),
        ("mysql+mysqldb://u:SECRET@db/x", "driver is not installed"),
        ("postgresql+asyncpg://u:SECRET@db/x", "by the driver psycopg"),
        ("postgresql://u:SECRET@db:port/x", "port is no number"),
        ("postgresql://u:SECRET/x", "port is no number"),
        ("u:SECRET@db/x", "the database's URL can't be used: it can't be read"),
        ("u:SECRET@x://db", "the database's URL can't be used: it can't be read"),
    ],
)
async def test_a_url_that_can_not_be_used_is_not_repeated(url, why):
    with pytest.raises(ConfigError, match=why) as refused:
        await open_database(url)
    assert "SECRET" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("url", ["postgresql://u:SECRET@127.0.0.1:1/x", "postgresql://u@127.0.0.1:1/x?password=SECRET"])
async def test_one_that_does_not_answer_is_named_without_its_password(url):
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=r"postgresql\+psycopg://u.*@127\.0\.0\.1:1/x") as refused:
        await open_database(url)
    assert "SECRET" not in str(refused.value)
