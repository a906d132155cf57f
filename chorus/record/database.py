"""The database behind the store and the keys: opened, brought up to date, and its faults told as ours.

Any URL of SQLAlchemy will do; SQLite is what is tested with every change. Its files are opened in WAL mode, wait for
each other's writers, and overwrite what is deleted. The schema is brought up to date by Alembic as the database is
opened; one that a newer version has written is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chorus.errors import ConfigError, MissingExtra, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

BUSY_MS = 10_000
"""How long SQLite waits for another process's writer, in milliseconds."""

PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON", "secure_delete=ON")


class Database:
    """An open database. Made by `open_database`; safe to use from many tasks at once."""

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self.url = url
        """As it may be shown: without a password."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, in a thread: all of it is written, or nothing. Raises StoreError."""
        # A thread can't be stopped half-way, so a caller that is cancelled waits for it: what it wrote is then known.
        return await asyncio.shield(asyncio.to_thread(self._transact, work))

    async def aclose(self) -> None:
        """Let go of all connections."""
        await asyncio.to_thread(self._engine.dispose)

    async def forget(self, *, compact: bool = False) -> None:
        """Leave nothing of deleted rows in SQLite's write-ahead log; `compact` also gives back the room they took."""
        if self._engine.dialect.name == "sqlite":
            steps = [*(["VACUUM"] if compact else []), "PRAGMA wal_checkpoint(TRUNCATE)"]
            await asyncio.to_thread(self._forget, steps)

    def _forget(self, steps: list[str]) -> None:
        with _told(self.url), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for step in steps:
                connection.exec_driver_sql(step)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with _told(self.url), self._engine.begin() as connection:
            return work(connection)


async def open_database(url: str) -> Database:
    """Open a database and bring its schema up to date.

    Raises:
        MissingExtra: SQLAlchemy is not installed.
        ConfigError: the URL is none, or its driver is not installed.
        StoreError: the database can't be opened, or a newer version has written it.
    """
    try:
        import alembic  # noqa: F401 - only whether it is there
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError as error:
        raise MissingExtra("the store", "serve") from error
    try:
        engine = _engine(url)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"{url!r} is no database that can be used: {error}. For instance sqlite:///debates.db"
        ) from error
    database = Database(engine, engine.url.render_as_string(hide_password=True))
    try:
        await asyncio.to_thread(_upgrade, engine, database.url)
    except BaseException:
        await database.aclose()
        raise
    return database


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, event, make_url

    made = make_url(url)
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
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise StoreError(f"the store {url}: {' '.join(str(cause).split())[:300]}{_remedy(str(cause))}") from error


def _remedy(cause: str) -> str:
    if "unable to open" in cause:
        return ": is there a folder of that name, and may it be written to?"
    if "not a database" in cause:
        return ": it is another kind of file"
    if "locked" in cause:
        return ": another process has been writing to it for long"
    return ""
