"""The tables of the store and of the keys, as they are now. `migrations` holds how they came to be so."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

METADATA = MetaData()

_RUNNING = text("status = 'running'")

DEBATES = Table(
    "debates",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(300), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("model", String(200), nullable=False),
    Column("question", Text, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("status", String(16), nullable=False),
    Column("text", Text),
    Column("confidence", Float),
    Column("review", Text),
    Column("answer", LargeBinary),
    Column("events", LargeBinary),
    Column("reply", LargeBinary),
    Column("server", String(32)),
    Column("wish", Text),
    Column("watched", DateTime(timezone=True)),
    Index("debates_by_owner", "owner", "number"),
    Index("debates_by_age", "created"),
    Index("debates_running", "server", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
)
"""One row a debate. `answer`, `events` and `reply`, which a client can ask for again, are JSON, compressed by zlib. Of one
under way where servers share the database: which of them holds it, why another wants it ended, and when its events were
last read at another."""

SERVERS = Table(
    "servers",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
)
"""Servers that share the database, each with the time until which it counts as alive if nothing more is heard of it."""

AIRED = Table(
    "aired",
    METADATA,
    Column("debate", Integer, ForeignKey("debates.number", ondelete="CASCADE"), primary_key=True),
    Column("first", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("events", LargeBinary, nullable=False),
)
"""Events of debates under way where servers share the database: batches, packed as in `debates`, that follow each other."""

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("debate", String(300), ForeignKey("debates.id", ondelete="CASCADE"), primary_key=True),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", DateTime(timezone=True), nullable=False),
    Index("outbox_by_due", "due"),
)
"""What is still to be sent of a debate; `due` is when it is tried next."""

KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("revoked", DateTime(timezone=True)),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_day", BigInteger),
)

SPENDING = Table(
    "spending",
    METADATA,
    Column("key", String(32), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("tokens", BigInteger, nullable=False),
)
"""Tokens that a key has used, by UTC day."""

CHARGES = Table("charges", METADATA, Column("id", String(300), primary_key=True))
"""Charges that were made, by name, until whoever made them knows it: one that is tried again is found here. A server that
is killed leaves its last few."""

RATES = Table(
    "rates",
    METADATA,
    Column("key", String(32), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("full", DateTime(timezone=True), nullable=False),
)
"""Where servers share the database: when a key that has asked will have all its requests of a minute in hand again."""
