"""How often a key may ask: token buckets, each full with a minute's requests, in memory or in the database.

A server of its own keeps them in memory, on the monotonic clock. Servers that share a database count there, by its clock,
so that a key's rate holds over all of them; a bucket is then kept as the moment at which it will be full again (the
generic cell rate algorithm, ITU-T I.371), which one statement can test and move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from chorus.record.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

_TAKE = """
    INSERT INTO rates AS r (key, "full") VALUES (:key, now() + make_interval(secs => :each))
    ON CONFLICT (key) DO UPDATE SET "full" = greatest(r."full", now()) + make_interval(secs => :each)
    WHERE greatest(r."full", now()) + make_interval(secs => :each) <= now() + interval '1 minute'
    RETURNING 1
"""
# Nothing is further away than a minute but after the clock was set back; then the minute begins anew.
_WAIT = """
    UPDATE rates SET "full" = least("full", now() + interval '1 minute') WHERE key = :key
    RETURNING extract(epoch FROM "full" - now()) + :each - 60
"""


class Rates(Protocol):
    """Counts requests of keys."""

    async def take(self, key: str, per_minute: int) -> float:
        """Return 0 and count a request, or the seconds until there may be one. Raises StoreError."""
        ...


class OwnRates:
    """The rates of the one server.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """Key id -> requests in hand, and when that was so."""

    async def take(self, key: str, per_minute: int) -> float:
        """Return 0 and count a request, or the seconds until there may be one."""
        per_second, full, now = per_minute / 60, float(per_minute), self._clock()
        held, at = self._buckets.get(key, (full, now))
        held = min(full, held + (now - at) * per_second)
        taken = held >= 1
        self._buckets[key] = (held - taken, now)
        return 0.0 if taken else (1 - held) / per_second


class SharedRates:
    """The rates of all servers that share a database in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: str, per_minute: int) -> float:
        """Return 0 and count a request, or the seconds until there may be one. Raises StoreError."""
        from sqlalchemy import text

        asked = {"key": key, "each": 60 / per_minute}

        def write(connection: Connection) -> float:
            if connection.execute(text(_TAKE), asked).first():
                return 0.0
            return max(0.001, float(connection.execute(text(_WAIT), asked).scalar_one()))

        return await self._database.write(write)
