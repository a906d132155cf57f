"""The database behind the store and the keys: opened, brought up to date, and its faults told as ours.

SQLite and PostgreSQL are what is tested; any other URL of SQLAlchemy may do for one server. SQLite's files are opened
in WAL mode, wait for each other's writers, and overwrite what is deleted. A database in PostgreSQL several servers may
share. The schema is brought up to date by Alembic as the database is opened, by one process at a time; one that a newer
version has written is refused.

Work is done in threads of the database's own. SQLite has one writer at a time, so there is one thread that writes: writers
of this process queue up in order, and where another process holds the file, only they wait for it, and no reader does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chorus.errors import ConfigError, MissingExtra, StoreError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

T = TypeVar("T")

log = logging.getLogger("chorus.record")

BUSY_MS = 10_000
"""How long SQLite waits for another process's writer, in milliseconds."""

CLEARING_MS = 1_000
"""How long it waits for other processes' readers to clear its log of deleted text; it is tried again later."""

PRAGMAS = (
    f"busy_timeout={BUSY_MS}",  # first, for the next one takes a lock
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "secure_delete=ON",  # deleted text is overwritten with zeroes
    "journal_size_limit=0",  # a log that starts again keeps nothing of what it held
)

PATIENCE = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10}
"""How long PostgreSQL may be out of reach before a call fails: seconds, milliseconds, seconds. The URL can say otherwise."""

READERS = 4
"""Threads that read."""

_KIND = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?", re.I)
"""What stands before `://`: the kind of database, and its driver."""

_UPGRADE_LOCK = 0x6368_6F72
"""PostgreSQL's advisory lock that is held while the schema is brought up to date: any number that nobody else uses."""


class Database:
    """An open database. Made by `open_database`; safe to use from many tasks at once."""

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self.url = url
        """As it may be shown: without a password."""
        self._sqlite = engine.dialect.name == "sqlite"
        self.shared = engine.dialect.name == "postgresql"
        """Whether several servers may use it at once; then what they must agree on is kept there."""
        self._readers = ThreadPoolExecutor(READERS, "chorus-reads")
        self._writers = ThreadPoolExecutor(1 if self._sqlite else READERS, "chorus-writes")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read something, in a thread. Raises StoreError."""
        return await self._wait_for(self._readers, lambda: self.transact(work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, in a thread: all of it is written, or nothing. Raises StoreError."""
        return await self._wait_for(self._writers, lambda: self.transact(work))

    def connection_arguments(self) -> dict[str, Any]:
        """Return what the driver connects with, for connections that are used otherwise than in transactions."""
        _, arguments = self._engine.dialect.create_connect_args(self._engine.url)
        return {**PATIENCE, **arguments}

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, in this thread: for what spans two databases. Raises StoreError."""
        with _told(self.url), self._engine.begin() as connection:
            return work(connection)

    async def aclose(self) -> None:
        """Let go of all connections, once what was asked for is done."""
        for threads in (self._writers, self._readers):
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self._engine.dispose)

    async def checkpoint(self) -> None:
        """Move SQLite's log into its file as far as that makes nobody wait, so that the log's room can be used again."""
        if self._sqlite:
            await self._wait_for(self._writers, self._checkpoint)

    async def forget(self, *, compact: bool = False) -> None:
        """Leave nothing of deleted rows in SQLite's files; `compact` also gives back the room they took.

        What can't be cleared now, because another process reads or the disk is full, is logged, and tried again with
        the next deletion; no later than when the last process closes the file. Raises StoreError.
        """
        if self._sqlite:
            await self._wait_for(self._writers, lambda: self._forget(compact))

    async def _wait_for(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        doing = threads.submit(work)
        waiting = asyncio.wrap_future(doing)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # What has begun can't be stopped half-way, so a caller that is cancelled waits for it: what is written is
            # known. What still stands in the queue is taken out of it.
            if not doing.cancel():
                with contextlib.suppress(StoreError):
                    await waiting
            raise

    def _checkpoint(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        # Where the disk is too full even for that, whoever writes next is told so.
        with contextlib.suppress(SQLAlchemyError), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def _forget(self, compact: bool) -> None:
        with _told(self.url), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()  # it waits less than others, so nobody uses it again
            connection.exec_driver_sql(f"PRAGMA busy_timeout={CLEARING_MS}")
            if compact and connection.exec_driver_sql("PRAGMA freelist_count").scalar_one():
                self._compact(connection)
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if busy:
            log.warning("%s: deleted text stays in its write-ahead log until no other process reads it", self.url)

    def _compact(self, connection: Connection) -> None:
        """Give room back. What was deleted is overwritten without it, so failing at this is no failure to delete."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            connection.exec_driver_sql("VACUUM")
        except SQLAlchemyError as error:
            log.warning("%s keeps its size for now: %s", self.url, getattr(error, "orig", None) or error)


def clock(connection: Connection) -> datetime:
    """Return the time by which servers of this database go: its own where they share it, so that theirs needn't agree."""
    from sqlalchemy import func, select

    if connection.dialect.name == "postgresql":
        return connection.execute(select(func.now())).scalar_one().astimezone(UTC)
    return datetime.now(UTC)


def utc(at: datetime) -> datetime:
    """Return a time that was read, in UTC. SQLite gives times back without their zone; all that are written are UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


async def open_database(url: str) -> Database:
    """Open a database and bring its schema up to date.

    Raises:
        MissingExtra: SQLAlchemy, or PostgreSQL's driver, is not installed.
        ConfigError: the URL is none, or its driver is not installed. The message doesn't repeat it: it may hold a password.
        StoreError: the database can't be opened, or a newer version has written it.
    """
    try:
        import alembic  # noqa: F401 - only whether it is there
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError as error:
        raise MissingExtra("the store", "serve") from error
    try:
        engine = _engine(url)
    except NoSuchModuleError:
        raise _unusable(url, "there is no such kind of database") from None
    except ArgumentError:
        raise _unusable(url, "it can't be read") from None
    except ValueError:
        raise _unusable(url, "its port is no number") from None
    except ImportError as error:
        raise _unusable(url, f"its driver is not installed: {error}") from None
    # The driver takes a password among the query's words too.
    database = Database(engine, engine.url.set(query={}).render_as_string(hide_password=True))
    try:
        await asyncio.to_thread(_upgrade, engine, database.url)
    except BaseException:
        await database.aclose()
        raise
    return database


def _unusable(url: str, why: str) -> ConfigError:
    kind, separator, _ = url.partition("://")
    named = f"the database's URL, {kind}://…," if separator and _KIND.fullmatch(kind) else "the database's URL"
    return ConfigError(f"{named} can't be used: {why}. For instance sqlite:///debates.db")


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, event, make_url

    made = make_url(url)
    if made.get_backend_name() in ("postgres", "postgresql"):
        return _postgresql(made)
    if made.get_backend_name() != "sqlite":
        return create_engine(made, pool_pre_ping=True)
    if made.database in (None, "", ":memory:"):
        raise ConfigError("a store in memory would be empty in every connection: name a file, or use --no-store")
    engine = create_engine(made, connect_args={"timeout": BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _postgresql(url: URL) -> Engine:
    from sqlalchemy import create_engine

    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ConfigError(f"PostgreSQL is used by the driver psycopg, not as {url.drivername}: write postgresql://…")
    patience = {name: bound for name, bound in PATIENCE.items() if name not in url.query}
    try:
        return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=patience)
    except ImportError as error:
        raise MissingExtra("a store in PostgreSQL", "postgres") from error


def _upgrade(engine: Engine, url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    with _told(url), engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # two processes that open it at once take turns
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise StoreError(
                f"{url} was written by a newer version of greek-chorus (schema {current}): upgrade this one"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Tell a fault of the database as StoreError."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, UnicodeError, OverflowError) as error:  # drivers raise the latter as they are
        cause = getattr(error, "orig", None) or error
        raise StoreError(f"the store {url}: {' '.join(str(cause).split())[:300]}{_remedy(str(cause))}") from error


def _remedy(cause: str) -> str:
    if "unable to open" in cause:
        return ": is there a folder of that name, and may it be written to?"
    if "not a database" in cause:
        return ": it is another kind of file"
    if "locked" in cause:
        return ": another process has been writing to it for long"
    if "readonly" in cause:
        return ": may its file and its folder be written to?"
    if "is full" in cause:
        return ": make room; a little is enough to delete old debates with `chorus store prune`"
    return ""
