"""API keys: who may ask, how often, and for how many tokens.

A key's secret is shown once, when it is made; what is kept is its SHA-256. That is enough: a secret is 32 random bytes,
not a password, so no slow hash is needed to make guessing hopeless. Secrets are compared in constant time.

What was spent of a day's tokens is in the database, by UTC date; `rates` counts requests. So a clock that jumps can move
a day's budget, and hardly a rate.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from chorus.errors import ConfigError, StoreError
from chorus.record.database import Database, open_database, utc
from chorus.server.rates import OwnRates, Rates, SharedRates

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

PREFIX = "sk-chorus-"
MOST = 10**15
"""No bound on a key is higher: it would bound nothing, and not fit into every database."""
_SECRET = re.compile(rf"{PREFIX}([0-9a-f]{{12}})-([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without its secret."""

    id: str
    name: str
    created: datetime
    revoked: datetime | None = None
    requests_per_minute: int | None = None
    """`None` is no bound."""
    tokens_per_day: int | None = None
    """Prompt and completion tokens of a UTC day; `None` is no bound."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a key may not ask now."""

    reason: str
    retry_after_s: float

    def __str__(self) -> str:
        return self.reason


class KeyRing:
    """The keys of one database. Made by `KeyRing.open`."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._rates: Rates = SharedRates(database) if database.shared else OwnRates(clock)
        self._now = now
        self._known: list[str] = []
        """Charges that are known to have been made: nobody asks for them again, and the next one takes them out."""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the keys in a database. Raises MissingExtra, ConfigError, StoreError."""
        return cls(await open_database(url))

    async def aclose(self) -> None:
        """Let go of the database."""
        await self._database.aclose()

    async def create(
        self, name: str, *, requests_per_minute: int | None = None, tokens_per_day: int | None = None
    ) -> tuple[Key, str]:
        """Make a key, and return it with its secret, which is not kept. Raises ConfigError, StoreError."""
        from sqlalchemy import insert

        from chorus.record.tables import KEYS

        for what, bound in (("requests per minute", requests_per_minute), ("tokens per day", tokens_per_day)):
            if bound is not None and not 1 <= bound <= MOST:
                raise ConfigError(f"a key's {what} must be from 1 to {MOST:,}, not {bound:,}")
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise ConfigError("a key needs a name of 1 to 200 characters that can be printed")
        key_id = secrets.token_hex(6)
        secret = f"{PREFIX}{key_id}-{secrets.token_urlsafe(32)}"
        key = Key(key_id, name.strip(), self._now(), None, requests_per_minute, tokens_per_day)
        values = {
            "id": key.id,
            "name": key.name,
            "sha256": _digest(secret),
            "created": key.created,
            "requests_per_minute": requests_per_minute,
            "tokens_per_day": tokens_per_day,
        }
        await self._database.write(lambda connection: connection.execute(insert(KEYS).values(**values)))
        return key, secret

    async def check(self, secret: str) -> Key | None:
        """Return the key of a secret; None when it is unknown or was revoked. Raises StoreError."""
        match = _SECRET.fullmatch(secret)
        row = await self._row(match.group(1)) if match else None
        # Something is compared in any case, so that a key that exists takes no longer to refuse.
        known = row.sha256 if row is not None else "0" * 64
        same = hmac.compare_digest(known, _digest(secret))
        return _key(row) if row is not None and same and row.revoked is None else None

    async def list(self) -> list[Key]:
        """Return all keys, oldest first, revoked ones too. Raises StoreError."""
        from sqlalchemy import select

        from chorus.record.tables import KEYS

        asked = select(KEYS).order_by(KEYS.c.created, KEYS.c.id)
        return [_key(row) for row in await self._database.read(lambda connection: connection.execute(asked).all())]

    async def revoke(self, key_id: str) -> bool:
        """Make a key useless from now on. Returns whether there was one that was not. Raises StoreError."""
        from sqlalchemy import update

        from chorus.record.tables import KEYS

        revoked = update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked.is_(None)).values(revoked=self._now())
        return bool(await self._database.write(lambda connection: connection.execute(revoked).rowcount))

    async def refusal(self, key: Key) -> Refused | None:
        """Count a request of a key, or say why it may not be made now. Raises StoreError."""
        if key.tokens_per_day is not None and (spent := await self._spent(key)) >= key.tokens_per_day:
            now = self._now()
            midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            budget = f"{key.tokens_per_day:,} tokens of today are spent ({spent:,} used)"
            reason = f"the key's {budget}: they come back at 0:00 UTC"
            return Refused(reason, (midnight - now).total_seconds())
        if key.requests_per_minute is None:
            return None
        wait = await self._rates.take(key.id, key.requests_per_minute)
        return Refused(f"the key's {key.requests_per_minute} requests per minute are used", wait) if wait else None

    async def spend(self, key: Key, tokens: int, charge: str) -> None:
        """Charge a key for tokens.

        Args:
            key: the key.
            tokens: prompt and completion tokens.
            charge: names the charge, which counts once however often this is called.

        Raises:
            StoreError: it may have been charged or not. Call it again.
        """
        from sqlalchemy import delete, insert, select, update
        from sqlalchemy.exc import IntegrityError

        from chorus.record.tables import CHARGES, SPENDING

        day = self._now().date().isoformat()
        known, self._known = self._known, []

        def write(connection: Connection) -> None:
            connection.execute(delete(CHARGES).where(CHARGES.c.id.in_(known)))
            if connection.execute(select(CHARGES).where(CHARGES.c.id == charge)).first():
                return
            connection.execute(insert(CHARGES).values(id=charge))
            mine = (SPENDING.c.key == key.id, SPENDING.c.day == day)
            added = update(SPENDING).where(*mine).values(tokens=SPENDING.c.tokens + tokens)
            if not connection.execute(added).rowcount:
                connection.execute(insert(SPENDING).values(key=key.id, day=day, tokens=tokens))

        try:
            try:
                await self._database.write(write)
            except StoreError as error:
                # On some databases another server may put the day's first charge in between the two: then there is a row
                # now. Or this charge was under way there still when the connection to it was lost.
                if not isinstance(error.__cause__, IntegrityError):
                    raise
                await self._database.write(write)
        except BaseException:
            self._known += known
            raise
        self._known.append(charge)

    async def _spent(self, key: Key) -> int:
        from sqlalchemy import select

        from chorus.record.tables import SPENDING

        day = self._now().date().isoformat()
        asked = select(SPENDING.c.tokens).where(SPENDING.c.key == key.id, SPENDING.c.day == day)
        return await self._database.read(lambda connection: connection.execute(asked).scalar()) or 0

    async def _row(self, key_id: str) -> Row[Any] | None:
        from sqlalchemy import select

        from chorus.record.tables import KEYS

        asked = select(KEYS).where(KEYS.c.id == key_id)
        return await self._database.read(lambda connection: connection.execute(asked).one_or_none())


def _key(row: Row[Any]) -> Key:
    revoked = None if row.revoked is None else utc(row.revoked)
    return Key(row.id, row.name, utc(row.created), revoked, row.requests_per_minute, row.tokens_per_day)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
