"""What is to be sent of debates that ended: a queue in the database, so that a server that dies loses nothing of it.

A delivery is put in with the end of its debate, in one transaction, and stays until its receiver has taken it. Whoever
takes one out to send it moves it back at once to when it is to be tried next: one that died over it, or failed, has
nothing left to do. So a delivery goes out at least once, under one id; several servers on one database don't take the same
one, unless sending it takes longer than the pause that was set. A debate that is erased takes its deliveries along. Of one
that was cut off with its server, whoever marks it so puts in what is to be sent; if it was not cut off after all, and ends,
what is to be sent of its end takes that one's place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from chorus.record.database import Database, clock, utc

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to be sent."""

    debate: str
    body: str
    attempts: int
    """Times that it was taken out, this one counted."""

    @property
    def id(self) -> str:
        """The same at every attempt, and whichever server makes it; of another message about the debate it is another."""
        return f"msg_{self.debate}_{hashlib.sha256(self.body.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Lost:
    """What is known of a debate that was cut off with its server."""

    debate: str
    owner: str
    model: str
    question: str
    why: str


Tell = Callable[[Lost], str]
"""Returns what is to be sent of such a debate."""


def put_lost(connection: Connection, lost: Iterable[Lost], tell: Tell | None) -> None:
    """Put in what is to be sent of debates that were cut off, if anything is, as part of a transaction."""
    if tell:
        for one in lost:
            put(connection, one.debate, tell(one))


def put(connection: Connection, debate: str, body: str | None) -> None:
    """Put in what is to be sent of a debate, due now, instead of what is in, as part of a transaction; None is nothing."""
    from sqlalchemy import delete, insert

    from chorus.record.tables import OUTBOX

    connection.execute(delete(OUTBOX).where(OUTBOX.c.debate == debate))
    if body is not None:
        values = {"debate": debate, "body": body, "attempts": 0, "due": clock(connection)}
        connection.execute(insert(OUTBOX).values(**values))


class Outbox:
    """The deliveries of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, most: int, pause_s: Callable[[int], float]) -> list[Delivery]:
        """Take out deliveries that are due, oldest first. Raises StoreError.

        Args:
            most: how many at most.
            pause_s: in how many seconds one is due again that was taken out so many times, unless it is removed before.
        """
        from sqlalchemy import select, update

        from chorus.record.tables import OUTBOX

        def work(connection: Connection) -> list[Delivery]:
            now = clock(connection)
            due = select(OUTBOX).where(OUTBOX.c.due <= now).order_by(OUTBOX.c.due, OUTBOX.c.debate).limit(most)
            taken = []
            for row in connection.execute(due).all():
                count = row.attempts + 1
                # Another server may have been quicker, or the debate have ended.
                same = (OUTBOX.c.debate == row.debate, OUTBOX.c.body == row.body, OUTBOX.c.attempts == row.attempts)
                mine = update(OUTBOX).where(*same)
                again = now + timedelta(seconds=pause_s(count))
                if connection.execute(mine.values(attempts=count, due=again)).rowcount:
                    taken.append(Delivery(row.debate, row.body, count))
            return taken

        return await self._database.write(work)

    async def remove(self, delivery: Delivery) -> None:
        """Let go of a delivery: it was sent, or given up. Raises StoreError."""
        from sqlalchemy import delete

        from chorus.record.tables import OUTBOX

        # Another may have taken its place meanwhile.
        gone = delete(OUTBOX).where(OUTBOX.c.debate == delivery.debate, OUTBOX.c.body == delivery.body)
        await self._database.write(lambda connection: connection.execute(gone))

    async def seconds(self) -> float | None:
        """Return in how many seconds the next delivery is due, 0 or less when one is now; None when there is none."""
        from sqlalchemy import func, select

        from chorus.record.tables import OUTBOX

        def work(connection: Connection) -> float | None:
            due = connection.execute(select(func.min(OUTBOX.c.due))).scalar_one()
            if due is None:
                return None
            return float((utc(due) - clock(connection)).total_seconds())

        return await self._database.read(work)
