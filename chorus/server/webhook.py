"""The webhook: somebody else's server is told of every answer that a person should look at.

Messages are signed by the Standard Webhooks scheme (https://www.standardwebhooks.com): `webhook-signature` holds an
HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body. They wait in the store's outbox, so that one that can't
be delivered is tried again, also by the next server; after the last of `PAUSES_S` it is given up, and stays in the list of
`/v1/debates?needs_review=true`. A receiver may get a message twice, under the same `webhook-id`.

The receiver can't have the server call its own networks: see `outside`. It answers by its status, any of 2xx; what else
it says is not read, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
import json
import logging
import random
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore

from chorus.chorus import versions
from chorus.errors import ConfigError, StoreError
from chorus.record.outbox import Delivery, Lost, Outbox
from chorus.server.live import LiveDebate
from chorus.server.outside import Outside, is_public

log = logging.getLogger("chorus.server")

SECRET = "CHORUS_WEBHOOK_SECRET"
"""The variable of the environment that holds the secret, or several, while one takes another's place."""

PAUSES_S = (30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Between one attempt and the next: three days together. The first is longer than an attempt takes."""

TIMEOUT_S = 10.0
"""What one attempt may take, from looking up the name to the receiver's status."""

AT_ONCE = 8
"""Messages on their way at once."""

LOOK_S = 30.0
"""A quiet outbox is looked into every so many seconds, for what other servers left there."""

MAX_CHARS = 2000
"""Of the question, of the answer and of the reasons each. The record has them whole."""

_KEY_BYTES = range(24, 65)


def message(live: LiveDebate, reasons: Sequence[str]) -> str:
    """Return the message about a debate that is over, as JSON."""
    answer = live.answer
    came_to = {
        "answer": answer.answer[:MAX_CHARS] if answer and answer.answer is not None else None,
        "status": answer.status if answer else "failed",
        "confidence": answer.confidence if answer else None,
    }
    return _message(live.ended, live.id, live.owner, live.model, live.asked, came_to, reasons)


def message_of_lost(lost: Lost) -> str:
    """Return the message about a debate that was cut off with its server, as JSON."""
    came_to = {"answer": None, "status": "cut", "confidence": None}
    return _message(datetime.now(UTC), lost.debate, lost.owner, lost.model, lost.question, came_to, [lost.why])


def _message(
    when: datetime, debate: str, owner: str, model: str, question: str, came_to: dict[str, Any], reasons: Sequence[str]
) -> str:
    about = {"debate": debate, "owner": owner, "model": model, "question": question[:MAX_CHARS]}
    data = about | came_to | {"reasons": list(_cut(reasons))}
    # A debate that is written down twice, since nobody knew whether the first time held, has the same message twice.
    timestamp = when.isoformat(timespec="milliseconds")
    return json.dumps({"type": "answer.needs_review", "timestamp": timestamp, "data": data})


def _cut(reasons: Sequence[str]) -> Iterator[str]:
    """Give reasons as far as there is room for them."""
    room = MAX_CHARS
    for reason in reasons:
        if room > 0:
            yield reason[:room]
        room -= len(reason)


class Webhook:
    """Sends what is in an outbox to one URL.

    Args:
        url: the receiver's.
        secret: what messages are signed with, as `CHORUS_WEBHOOK_SECRET` holds it.
        outbox: where they wait.
        allow_private: send to addresses that aren't public too, and without TLS.
        pauses_s: between attempts.

    Raises:
        ConfigError: the URL or the secret can't be used.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        outbox: Outbox,
        *,
        allow_private: bool = False,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._url = _checked(url, allow_private)
        self._keys = [_key(one) for one in secret.split()]
        if not self._keys:
            raise ConfigError(f"the webhook's messages are signed: set {SECRET} to the secret that its receiver knows")
        self._outbox = outbox
        self._pauses = pauses_s
        self._news = asyncio.Event()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=AT_ONCE,
            max_keepalive_connections=0,
            network_backend=Outside(allow_private=allow_private),
        )

    def wake(self) -> None:
        """Look into the outbox now: something was put in."""
        self._news.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        try:
            while True:
                self._news.clear()
                wait_s: float | None = None
                try:
                    if due := await self._outbox.take(AT_ONCE, self._pause):
                        await asyncio.gather(*(self._send(delivery) for delivery in due))
                        continue
                    wait_s = await self._outbox.seconds()
                except StoreError as error:
                    log.error("the webhook's outbox can't be used now: %s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S if wait_s is None else min(max(wait_s, 0), LOOK_S)):
                        await self._news.wait()
        finally:
            await self._pool.aclose()

    async def _send(self, delivery: Delivery) -> None:
        """Try to deliver a message; it is due again already, in case that it fails."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._post(delivery)
            failure = None if 200 <= status < 300 else f"it answered {status}"
        except TimeoutError:
            failure = f"it took longer than {TIMEOUT_S:g} seconds"
        except Exception as error:  # noqa: BLE001 - whatever went wrong on the way, it is tried again
            failure = str(error) or type(error).__name__
        last = delivery.attempts > len(self._pauses)
        if failure:
            log.log(
                logging.ERROR if last else logging.WARNING,
                "the webhook did not take %s of debate %s, %s: %s",
                delivery.id,
                delivery.debate,
                "which is given up" if last else "which is tried again",
                failure,
            )
        if last or not failure:
            try:
                await self._outbox.remove(delivery)
            except StoreError as error:
                log.error("the webhook's message %s is sent once more: %s", delivery.id, error)

    async def _post(self, delivery: Delivery) -> int:
        """Send a message, and return the status that it got."""
        body, now = delivery.body.encode(), int(time.time())
        headers: dict[bytes | str, bytes | str] = {
            "content-type": "application/json",
            "user-agent": f"greek-chorus/{versions().get('greek-chorus', '0')}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(signature(key, delivery.id, now, body) for key in self._keys),
        }
        async with self._pool.stream("POST", self._url, headers=headers, content=body) as response:
            return response.status

    def _pause(self, attempts: int) -> float:
        """Return the seconds after an attempt; somewhat spread, so that not all come back at once."""
        return self._pauses[min(attempts, len(self._pauses)) - 1] * random.uniform(1, 1.1)


def signature(key: bytes, message: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message by the scheme's first version."""
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ConfigError(
            f"{SECRET} is no secret of a webhook: `whsec_` and the base64 of {_KEY_BYTES.start} to "
            f"{_KEY_BYTES.stop - 1} random bytes"
        )
    return key


def _sendable(url: str) -> bool:
    """Tell whether a URL can be asked for at all."""
    try:
        httpcore.URL(url)
    except (ValueError, TypeError):
        return False
    return url.isprintable() and " " not in url


def _checked(url: str, allow_private: bool) -> str:
    """Return a URL that messages may be sent to, as far as that can be known before its name is looked up."""
    if not _sendable(url):
        raise ConfigError(
            "the webhook's URL can't be used: it is written in ASCII, without blanks, its port up to 65535"
        )
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError("a webhook's URL holds no password: its messages are signed")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is no URL of a webhook: https://HOST/PATH")
    if allow_private:
        return url
    if parts.scheme != "https":
        raise ConfigError(
            "a webhook on the public internet wants https; on a network of yours, --webhook-allow-private"
        )
    with contextlib.suppress(ValueError):
        if not is_public(str(ipaddress.ip_address(parts.hostname))):
            raise ConfigError(
                f"{parts.hostname} is not on the public internet: --webhook-allow-private if the webhook is yours"
            )
    return url
