"""What the servers that share a database tell each other of the debates that they hold.

    relay = Relay(database, lease_s=30)
    await relay.beat(holding={"d1"}, watching={"d9"})      # every few seconds: I am alive, and hold these
    await relay.air([("d1", 0, events)])                   # what d1 gave off so far
    await other.heard("d1", owner, start)                  # the same events, under the same numbers
    await other.wish("d1", owner, "it was cancelled")      # the next beat of its holder tells it so

Invariants:

- everything is in tables, by the database's clock; notices only wake those who wait;
- a debate under way has its events in `aired`, one that is over in its own row, and `Store.finish` turns the one into the
  other in one transaction: a reader finds every event once, in order, wherever it reads;
- a server that has not been heard of for its lease is dead: what it held is marked as cut, with the events that it aired.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chorus.record.database import Database
from chorus.record.notices import ASKED, SAID
from chorus.record.outbox import Lost, Tell, put_lost
from chorus.record.packing import packed, reasons_in, reasons_of, unpacked, unpacked_lines

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

STOPPED = "the server stopped"
"""Why a debate was cut that was under way when its server died."""

LOST = "its record was lost"
"""Why one was cut whose server is alive, but neither holds it nor has its record."""

_AIR = """
    INSERT INTO aired (debate, first, count, events)
    SELECT number, :first, :count, :events FROM debates WHERE id = :debate AND status = 'running'
    ON CONFLICT (debate, first) DO UPDATE SET count = excluded.count, events = excluded.events
"""
# A batch whose fate was unknown comes again, perhaps longer, under the same number: hence the update.

_BEAT = """
    INSERT INTO servers (id, until) VALUES (:id, now() + make_interval(secs => :lease))
    ON CONFLICT (id) DO UPDATE SET until = excluded.until
"""

NEVER = 2**31 - 1
"""No debate has so many events; no larger number can be looked for."""

Batch = tuple[str, int, Sequence[str]]
"""A debate's id, the number of the first event, and the JSON of each."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the others have to say of a debate that this server holds."""

    wish: str | None
    """Why it should end; None when nobody wants it to."""
    watched_s: float | None
    """Seconds since its events were read at another server; None when they never were."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What can be heard of a debate from some event on."""

    events: list[str]
    over: bool
    broken: str | None = None
    """Why one that is over has no decision: it was cut with its server."""


class Relay:
    """One server among those that share a database.

    Args:
        database: which they share.
        lease_s: after so many seconds without a beat this server counts as dead.
        tell: what goes into the outbox of debates that dead servers left; None puts nothing in.
    """

    def __init__(self, database: Database, *, lease_s: float, tell: Tell | None = None) -> None:
        self.database = database
        self.lease_s = lease_s
        self._tell = tell
        self.server = secrets.token_hex(8)
        """The name it goes by; a process has a new one each time."""

    async def beat(
        self, *, holding: Collection[str], watching: Collection[str] = (), bury: bool = False
    ) -> dict[str, Held]:
        """Say that this server is alive, and learn what the others want of it.

        Args:
            holding: debates that are under way here, or not written down yet.
            watching: debates of other servers whose events are read here.
            bury: whether to mark what dead servers left. Only who was alive for a lease itself can tell: after a time
                without a database everybody looks dead.

        Returns:
            For each debate of `holding`, what is said of it; those that are missing were erased.

        Raises:
            StoreError: the database can't be used.
        """
        return await self.database.write(lambda connection: self._beat(connection, holding, watching, bury))

    async def air(self, batches: Iterable[Batch]) -> None:
        """Show the others what debates gave off. Those that the store doesn't hold as running are left out."""
        from sqlalchemy import text

        rows: list[dict[str, Any]] = [
            {"debate": debate, "first": first, "count": len(events), "events": packed("\n".join(events))}
            for debate, first, events in batches
        ]

        def write(connection: Connection) -> None:
            connection.execute(text(_AIR), rows)
            _notify(connection, SAID, [row["debate"] for row in rows])

        if rows:
            await self.database.write(write)

    async def heard(self, debate: str, owner: str | None, start: int) -> Heard | None:
        """Return what a debate gave off from an event on; None when there is none of that owner. Raises StoreError."""
        from sqlalchemy import select

        from chorus.record.tables import AIRED, DEBATES

        record = DEBATES.c.answer.is_not(None).label("record")
        start = min(start, NEVER)
        columns = (DEBATES.c.number, DEBATES.c.status, DEBATES.c.review, DEBATES.c.events, record)

        def read(connection: Connection) -> Heard | None:
            row = connection.execute(select(*columns).where(*_mine(debate, owner))).one_or_none()
            if row is None:
                return None
            if row.status != "running":
                broken = None if row.record else "; ".join(reasons_in(row.review)) or STOPPED
                return Heard(unpacked_lines(debate, row.events)[start:], over=True, broken=broken)
            later = (AIRED.c.debate == row.number, AIRED.c.first + AIRED.c.count > start)
            found: list[str] = []
            for batch in connection.execute(select(AIRED).where(*later).order_by(AIRED.c.first)):
                at = start + len(found)
                if batch.first > at:
                    break  # what is between them comes later
                found += unpacked_lines(debate, batch.events)[at - batch.first :]
            return Heard(found, over=False)

        return await self.database.read(read)

    async def wish(self, debate: str, owner: str | None, why: str) -> bool:
        """Ask whoever holds a debate to end it. Returns whether it is under way. Raises StoreError."""
        from sqlalchemy import update

        from chorus.record.tables import DEBATES

        running = (*_mine(debate, owner), DEBATES.c.status == "running")
        asked = update(DEBATES).where(*running).values(wish=why).returning(DEBATES.c.server)

        def write(connection: Connection) -> bool:
            servers = connection.execute(asked).scalars().all()
            _notify(connection, ASKED, [server for server in servers if server])
            return bool(servers)

        return await self.database.write(write)

    async def leave(self) -> None:
        """Say that this server ends: whatever it still holds is cut at once. Raises StoreError."""
        from sqlalchemy import delete

        from chorus.record.tables import DEBATES, SERVERS

        def write(connection: Connection) -> None:
            self._cut(connection, DEBATES.c.server == self.server, STOPPED)
            connection.execute(delete(SERVERS).where(SERVERS.c.id == self.server))

        await self.database.write(write)

    def _beat(
        self, connection: Connection, holding: Collection[str], watching: Collection[str], bury: bool
    ) -> dict[str, Held]:
        from sqlalchemy import delete, extract, func, select, text, update

        from chorus.record.tables import DEBATES, SERVERS

        connection.execute(text(_BEAT), {"id": self.server, "lease": self.lease_s})
        if watching:
            watched = update(DEBATES).where(DEBATES.c.number.in_(_running(DEBATES.c.id.in_(watching))))
            connection.execute(watched.values(watched=func.now()))
        if bury:
            alive = select(SERVERS.c.id).where(SERVERS.c.until >= func.now())
            self._cut(connection, DEBATES.c.server.is_(None) | DEBATES.c.server.not_in(alive), STOPPED)
            connection.execute(delete(SERVERS).where(SERVERS.c.until < func.now()))
            # None of these can be one that has just begun and isn't among `holding` yet.
            old = DEBATES.c.created < func.now() - timedelta(seconds=self.lease_s)
            self._cut(connection, (DEBATES.c.server == self.server) & DEBATES.c.id.not_in(holding) & old, LOST)
        since = extract("epoch", func.now() - DEBATES.c.watched)
        told = connection.execute(select(DEBATES.c.id, DEBATES.c.wish, since).where(DEBATES.c.id.in_(holding)))
        return {debate: Held(wish, None if ago is None else float(ago)) for debate, wish, ago in told}

    def _cut(self, connection: Connection, which: ColumnElement[bool], why: str) -> None:
        """Mark debates under way as broken off, with the events that they aired."""
        from sqlalchemy import select, update

        from chorus.record.tables import AIRED, DEBATES

        known = (DEBATES.c.id, DEBATES.c.owner, DEBATES.c.model, DEBATES.c.question)
        for number, debate, owner, model, question in connection.execute(_running(which).add_columns(*known)).all():
            batches = connection.execute(select(AIRED.c.events).where(AIRED.c.debate == number).order_by(AIRED.c.first))
            events = packed("\n".join(unpacked(debate, batch) for batch in batches.scalars()))
            left = {"status": "cut", "review": reasons_of([why]), "events": events}
            connection.execute(update(DEBATES).where(DEBATES.c.number == number).values(**left))
            put_lost(connection, [Lost(debate, owner, model, question, why)], self._tell)
            settle(connection, debate)


def settle(connection: Connection, debate: str) -> None:
    """Let go of a debate's batches, since its row now holds its events, and wake those who follow it."""
    from sqlalchemy import delete, select

    from chorus.record.tables import AIRED, DEBATES

    number = select(DEBATES.c.number).where(DEBATES.c.id == debate)
    connection.execute(delete(AIRED).where(AIRED.c.debate == number.scalar_subquery()))
    _notify(connection, SAID, [debate])


def _notify(connection: Connection, channel: str, names: Sequence[str]) -> None:
    """Give notice once the transaction is through."""
    from sqlalchemy import text

    told = "SELECT pg_notify(:channel, name) FROM unnest(CAST(:names AS text[])) AS name"
    connection.execute(text(told), {"channel": channel, "names": list(names)})


def _running(which: ColumnElement[bool]) -> Select[Any]:
    """Select the numbers of debates under way, and hold them; those that somebody else writes to are left to them."""
    from sqlalchemy import select

    from chorus.record.tables import DEBATES

    chosen = select(DEBATES.c.number).where(DEBATES.c.status == "running", which)
    return chosen.with_for_update(skip_locked=True, key_share=True)


def _mine(debate: str, owner: str | None) -> list[ColumnElement[bool]]:
    from chorus.record.tables import DEBATES

    return [DEBATES.c.id == debate] + ([] if owner is None else [DEBATES.c.owner == owner])
