"""What every request passes through: an id, a bound on its body, a look at where it comes from, and the count of it.

Plain ASGI, since Starlette's `BaseHTTPMiddleware` would hide a client's leaving from the endpoints.
"""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chorus.loopback import is_loopback
from chorus.server.meters import Meters
from chorus.server.problems import Refusal, problem

log = logging.getLogger("chorus.server")

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": PAGE_POLICY,
    "cross-origin-resource-policy": "same-origin",
}


class Gatehouse:
    """Gives a request its id, refuses what may not come in, and counts what went out.

    Args:
        app: what comes behind.
        meters: count the requests.
        max_body_bytes: longer bodies are refused.
        local: whether only requests to this machine's own names are taken, and none from another site's page.
    """

    def __init__(self, app: ASGIApp, *, meters: Meters, max_body_bytes: int, local: bool) -> None:
        self._app = app
        self._meters = meters
        self._max = max_body_bytes
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        began, status = time.monotonic(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = {"x-request-id": request_id, **HEADERS}
                if scope["path"].startswith(("/docs", "/openapi")):
                    more.pop("content-security-policy")
                has = {name for name, _ in message["headers"]}
                extra = [(n.encode(), v.encode()) for n, v in more.items() if n.encode() not in has]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            if refusal := self._refusal(request):
                await problem(refusal).response()(scope, receive, answer)
            else:
                await self._app(scope, _bounded(receive, self._max), answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - began
            self._meters.answered(route, scope["method"], status, seconds)
            user = scope.get("state", {}).get("user")
            log.info("%s %s %s %d %.3fs user=%r", request_id, scope["method"], route, status, seconds, user)

    def _refusal(self, request: Request) -> Refusal | None:
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max:
            return _too_large(self._max)
        if not self._local:
            return None
        # Without keys, a page that somebody visits must not be able to ask in their name.
        if not _here(request.headers.get("host", "")):
            return Refusal("this server answers to localhost only: make a key to serve others", status=403)
        origin = request.headers.get("origin")
        if origin and request.method not in ("GET", "HEAD") and not _here(origin.partition("://")[2]):
            return Refusal("pages of other sites may not ask this server", status=403)
        return None


def _here(netloc: str) -> bool:
    """Tell whether a host, with its port or without, is this machine."""
    return is_loopback(re.sub(r":\d+$", "", netloc))


def _too_large(most: int) -> Refusal:
    return Refusal(f"the body is larger than {most:,} bytes", status=413, code="too_large")


def _bounded(receive: Receive, most: int) -> Receive:
    """Return what stops reading a body that grows too large, whatever length it claimed."""
    seen = 0

    async def read() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > most:
                raise _too_large(most)
        return message

    return read
