"""Debates kept in a database: every one that a server held, for whoever asked for it.

    store = await Store.open("sqlite:///debates.db")
    await store.begin(debate_id, owner="local", model="chorus", question="What is 7 * 8?")
    await store.finish(debate_id, answer, events, review=["low confidence: 31%"])

A debate is written twice: that it began, and how it ended, each in one transaction. What is found half-way when the
database is opened was cut off with its server, and is marked so; where several servers share the database, `relay` tells
who is alive. A reader sees its own debates only; `owner=None` is for the command line, which sees all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from chorus.errors import StoreError
from chorus.record import jsonl
from chorus.record.database import Database, clock, open_database, utc
from chorus.record.outbox import Lost, Outbox, Tell, put, put_lost
from chorus.record.packing import packed, reasons_in, reasons_of, storable, unpacked, unpacked_lines
from chorus.record.relay import STOPPED, Relay, settle
from chorus.types import Answer

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

PRUNED_AT_ONCE = 20
"""Debates deleted in one transaction. SQLite notes in its log all that it overwrites, and other writers wait meanwhile."""


class Gone(StoreError):
    """The store holds no such debate: it was erased, or never begun."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A debate as it is kept."""

    id: str
    owner: str
    model: str
    question: str
    created: datetime
    """UTC."""
    status: str
    """`running`, or that of the record: `done`, `cut`, `failed`."""
    text: str | None
    """The answer."""
    confidence: float | None
    review: tuple[str, ...]
    """Why a person should look at it."""
    answer: Answer | None = None
    """The whole record; None in lists, and of a debate that never ended."""


@dataclass(frozen=True, slots=True)
class Replied:
    """What the client of a debate was answered."""

    text: str
    """JSON."""
    over: bool
    """Whether the debate is."""
    broken: str | None
    """Why the answer will never come: the debate was cut with its server."""


class Store:
    """See the module's docstring. Made by `Store.open`."""

    def __init__(self, database: Database, relay: Relay | None = None) -> None:
        self._database = database
        self.relay = relay
        """Where servers may share the database: what they tell each other."""
        self.outbox = Outbox(database)
        """What is to be sent of debates that ended."""

    @classmethod
    async def open(cls, url: str, *, serving: bool = True, lease_s: float = 30.0, tell: Tell | None = None) -> Self:
        """Open a store by its database's URL.

        Args:
            url: of any database that SQLAlchemy knows.
            serving: whether debates are begun there. Where servers can't share the database, this is the only one:
                what it finds under way was left by its predecessor, and is marked as cut.
            lease_s: where they can, after so many seconds without a beat this one counts as dead.
            tell: what goes into the outbox of debates that are marked as cut; None puts nothing in.

        Raises:
            MissingExtra, ConfigError, StoreError: it can't be opened.
        """
        database = await open_database(url)
        shared = serving and database.shared
        store = cls(database, Relay(database, lease_s=lease_s, tell=tell) if shared else None)
        if serving and not shared:
            await store._cut_off(tell)
        return store

    async def answers(self) -> bool:
        """Tell whether the database can be read."""
        from sqlalchemy import select

        try:
            await self._database.read(lambda connection: connection.execute(select(1)))
        except StoreError:
            return False
        return True

    async def aclose(self) -> None:
        """Let go of the database."""
        await self._database.aclose()

    async def begin(self, debate: str, *, owner: str, model: str, question: str, reply: str | None = None) -> None:
        """Note that a debate began; one that is noted already stays as it is. Raises StoreError.

        Args:
            debate: its id.
            owner: whose it is.
            model: the way of answering that was asked for.
            question: as lists show it.
            reply: what the client is answered so far, as JSON, where that can be asked for later.
        """
        from sqlalchemy import insert
        from sqlalchemy.exc import IntegrityError

        from chorus.record.tables import DEBATES

        values: dict[str, Any] = {"id": debate, "owner": owner, "model": model, "question": storable(question)}
        values |= {"status": "running"} | ({"server": self.relay.server} if self.relay else {})

        def write(connection: Connection) -> None:
            begun = None if reply is None else packed(reply)
            connection.execute(insert(DEBATES).values(**values, reply=begun, created=clock(connection)))

        try:
            await self._database.write(write)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise

    async def finish(
        self,
        debate: str,
        answer: Answer,
        events: Sequence[str],
        review: Sequence[str] = (),
        *,
        reply: str | None = None,
        message: str | None = None,
    ) -> None:
        """Write down how a debate ended.

        Args:
            debate: its id.
            answer: the record.
            events: the JSON of each event, in order.
            review: why a person should look at it; empty where nobody needs to.
            reply: what the client was answered, as JSON, where that can be asked for later.
            message: what goes into the outbox with it, in the place of what another server put in that took it for lost.

        Raises:
            Gone: it was erased meanwhile, or never begun.
            StoreError: it can't be written.
        """
        from sqlalchemy import update

        from chorus.record.tables import DEBATES

        def write(connection: Connection) -> bool:
            # Here, since packing millions of characters would hold up the event loop.
            values = {
                "status": answer.status,
                "text": None if answer.answer is None else storable(answer.answer),
                "confidence": answer.confidence,
                "review": reasons_of(review),
                "answer": packed(jsonl.dumps(answer)),
                "events": packed("\n".join(events)),
                "reply": None if reply is None else packed(reply),
            }
            written = connection.execute(update(DEBATES).where(DEBATES.c.id == debate).values(**values)).rowcount
            if written:
                put(connection, debate, message)
            if written and self._database.shared:
                settle(connection, debate)
            return bool(written)

        if not await self._database.write(write):
            raise Gone(f"the store holds no debate {debate}: it was erased, or never begun")

    async def record(self, debate: str, owner: str | None) -> Stored | None:
        """Return a debate with its record; None when there is none of that owner. Raises StoreError."""

        def read(connection: Connection) -> Stored | None:
            row = _row(connection, debate, owner)
            if row is None:
                return None
            return _stored(row, None if row.answer is None else _answer(debate, row.answer))

        return await self._database.read(read)

    async def events(self, debate: str, owner: str | None) -> list[str] | None:
        """Return a debate's events as JSON, in order; none of one that never ended. None when there is no such debate."""

        def read(connection: Connection) -> list[str] | None:
            row = _row(connection, debate, owner)
            if row is None:
                return None
            return unpacked_lines(debate, row.events)

        return await self._database.read(read)

    async def reply(self, debate: str, owner: str | None) -> Replied | None:
        """Return what the client was answered, so far or for good; None where that is not kept. Raises StoreError."""
        from sqlalchemy import select

        from chorus.record.tables import DEBATES

        ended = DEBATES.c.answer.is_not(None).label("ended")
        columns = (DEBATES.c.reply, DEBATES.c.status, DEBATES.c.review, ended)
        asked = select(*columns).where(DEBATES.c.id == debate, DEBATES.c.reply.is_not(None), *_owned(owner))

        def read(connection: Connection) -> Replied | None:
            row = connection.execute(asked).one_or_none()
            if row is None:
                return None
            over = row.status != "running"
            broken = "; ".join(reasons_in(row.review)) if over and not row.ended else None
            return Replied(unpacked(debate, row.reply), over, broken)

        return await self._database.read(read)

    async def page(
        self, owner: str | None, *, needs_review: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[Stored]:
        """Return debates, newest first, without their records.

        Args:
            owner: whose; None for everybody's.
            needs_review: only those that a person should look at, or only the others.
            limit: how many at most.
            before: the id that the page before ended with.
        """
        from sqlalchemy import select

        from chorus.record.tables import DEBATES

        light = [column for column in DEBATES.c if column.name not in ("answer", "events", "reply")]
        asked = select(*light).where(*_owned(owner)).order_by(DEBATES.c.number.desc()).limit(limit)
        if needs_review is not None:
            asked = asked.where(DEBATES.c.review.is_not(None) if needs_review else DEBATES.c.review.is_(None))
        if before is not None:
            last = select(DEBATES.c.number).where(DEBATES.c.id == before).scalar_subquery()
            asked = asked.where(DEBATES.c.number < last)
        rows = await self._database.read(lambda connection: connection.execute(asked).all())
        return [_stored(row) for row in rows]

    async def erase(self, debate: str, owner: str | None) -> bool:
        """Delete a debate and its text. Returns whether there was one. Raises StoreError."""
        from sqlalchemy import delete

        from chorus.record.tables import DEBATES

        erased = delete(DEBATES).where(DEBATES.c.id == debate, *_owned(owner))
        found = bool(await self._database.write(lambda connection: connection.execute(erased).rowcount))
        if found:
            await self._database.forget()
        return found

    async def prune(self, older_than: timedelta, *, owner: str | None = None) -> int:
        """Delete debates that began longer ago than this, and return how many there were.

        They go a few at a time, oldest first, so that a disk that is almost full has room for it, and a server that
        writes to the same database hardly waits. What is gone stays gone if it is broken off.

        Raises:
            StoreError: not all of them can be deleted.
        """
        from sqlalchemy import delete, select

        from chorus.record.tables import DEBATES

        try:
            oldest = await self._database.read(clock) - older_than
        except OverflowError:  # before the year 1
            return 0
        old = select(DEBATES.c.number).where(DEBATES.c.created < oldest, DEBATES.c.status != "running", *_owned(owner))
        # A table of its own, for MySQL takes no limit right inside the IN.
        some = old.order_by(DEBATES.c.number).limit(PRUNED_AT_ONCE).subquery()
        pruned = delete(DEBATES).where(DEBATES.c.number.in_(select(some.c.number)))
        gone = 0
        try:
            await self._database.checkpoint()
            while count := await self._database.write(lambda connection: connection.execute(pruned).rowcount):
                gone += count
                await self._database.checkpoint()
        finally:
            await self._database.forget(compact=True)  # also of what an earlier deletion could not clear
        return gone

    async def _cut_off(self, tell: Tell | None) -> None:
        """Mark the debates that a server left half-way."""
        from sqlalchemy import select, update

        from chorus.record.tables import DEBATES

        running = DEBATES.c.status == "running"
        known = select(DEBATES.c.id, DEBATES.c.owner, DEBATES.c.model, DEBATES.c.question).where(running)

        def write(connection: Connection) -> None:
            put_lost(connection, [Lost(*row, STOPPED) for row in connection.execute(known)], tell)
            connection.execute(update(DEBATES).where(running).values(status="cut", review=reasons_of([STOPPED])))

        await self._database.write(write)


def _row(connection: Connection, debate: str, owner: str | None) -> Row[Any] | None:
    from sqlalchemy import select

    from chorus.record.tables import DEBATES

    return connection.execute(select(DEBATES).where(DEBATES.c.id == debate, *_owned(owner))).one_or_none()


def _owned(owner: str | None) -> list[ColumnElement[bool]]:
    from chorus.record.tables import DEBATES

    return [] if owner is None else [DEBATES.c.owner == owner]


def _stored(row: Row[Any], answer: Answer | None = None) -> Stored:
    return Stored(
        id=row.id,
        owner=row.owner,
        model=row.model,
        question=row.question,
        created=utc(row.created),
        status=row.status,
        text=row.text,
        confidence=row.confidence,
        review=reasons_in(row.review),
        answer=answer,
    )


def _answer(debate: str, data: bytes) -> Answer:
    try:
        return Answer.model_validate(json.loads(unpacked(debate, data)))
    except (ValueError, ValidationError) as error:
        raise StoreError(f"the record of {debate} in the store is damaged: {str(error)[:200]}") from error
