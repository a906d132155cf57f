"""Notices of PostgreSQL: servers of one database wake each other.

A notice says that there is something to read, never what: all that counts is in tables, and whoever waits for a notice
looks there every now and then in any case. So one that is lost, with its connection or in a pooler that doesn't pass
them on, costs a moment's delay and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from chorus.record.database import Database

log = logging.getLogger("chorus.record")

SAID = "chorus_said"
"""The channel on which a debate is named that gave off events, or is over."""

ASKED = "chorus_asked"
"""The channel on which a server is named of which something is wanted."""

AGAIN_S = 1.0
"""Seconds between tries to listen again."""


async def listen(database: Database, hear: Callable[[str, str], None]) -> None:
    """Call `hear(channel, name)` for every notice until cancelled, and `hear(channel, "")` where some may be lost."""
    while True:
        try:
            await _listen(database.connection_arguments(), hear)
        except Exception as error:  # noqa: BLE001 - whatever ended it, readers look into the tables meanwhile
            log.debug("%s: no notices for now: %s", database.url, error)
        await asyncio.sleep(AGAIN_S)


async def _listen(arguments: dict[str, Any], hear: Callable[[str, str], None]) -> None:
    import psycopg

    async with await psycopg.AsyncConnection.connect(**arguments, autocommit=True) as connection:
        for channel in (SAID, ASKED):
            await connection.execute(f"LISTEN {channel}")
            hear(channel, "")
        async for notice in connection.notifies():
            hear(notice.channel, notice.payload)
