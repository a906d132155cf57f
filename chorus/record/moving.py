"""Everything that one database holds, copied into another: when one server on SQLite becomes several on PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from chorus.errors import StoreError
from chorus.record.database import open_database, utc

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

ROWS = 100
"""Rows that are in memory at once; a debate is one."""


async def copy(source: str, target: str) -> dict[str, int]:
    """Copy all rows, in one transaction, and return how many there were in each table.

    Args:
        source: URL of the database to read; no server should be writing to it.
        target: URL of one that holds nothing yet.

    Raises:
        MissingExtra, ConfigError, StoreError: one of them can't be used, or the target is not empty.
    """
    old = await open_database(source)
    try:
        new = await open_database(target)
        try:
            return await old.read(lambda of: new.transact(lambda to: _copy(of, to)))
        finally:
            await new.aclose()
    finally:
        await old.aclose()


def _copy(of: Connection, to: Connection) -> dict[str, int]:
    from sqlalchemy import select

    from chorus.record.tables import METADATA

    tables = METADATA.sorted_tables  # what is referred to comes first
    if full := [table.name for table in tables if to.execute(select(table).limit(1)).first()]:
        raise StoreError(f"the database to copy into holds {', '.join(full)} already: name an empty one")
    return {table.name: _copy_table(table, of, to) for table in tables}


def _copy_table(table: Table, of: Connection, to: Connection) -> int:
    from sqlalchemy import insert, select, text

    copied = 0
    rows = of.execute(select(table).execution_options(yield_per=ROWS))
    for some in rows.mappings().partitions():
        to.execute(insert(table), [{name: _told(value) for name, value in row.items()} for row in some])
        copied += len(some)
    numbered = table.autoincrement_column
    if copied and numbered is not None and to.dialect.name == "postgresql":
        # PostgreSQL counts on from where it counted itself.
        last = f"SELECT setval(pg_get_serial_sequence(:table, :column), max({numbered.name})) FROM {table.name}"
        to.execute(text(last), {"table": table.name, "column": numbered.name})
    return copied


def _told(value: Any) -> Any:
    return utc(value) if isinstance(value, datetime) else value
