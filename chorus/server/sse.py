"""Server-sent events: a response that ends when its client does.

Beside writing, the response listens for the client's leaving, so that a debate stops though nobody had anything to
write at that moment. A client that takes nothing for long counts as gone. However it ends, the generator that writes is
closed and `left` is called before the response returns.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

PIECE = 100
"""Events that are written at once."""

_EVENT = re.compile(r'\{"event":"(\w+)"')


class ClientGone(Exception):
    """The client closed its connection."""


class EventStream(Response):
    """Sends what a generator yields.

    Args:
        writes: the generator.
        left: is called once, when the response is over; also where the generator never began.
        stall_s: how long the client may take nothing.
        headers: of the response.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        writes: AsyncGenerator[bytes],
        left: Callable[[], object],
        *,
        stall_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # No proxy may hold the events back, and no cache may keep them.
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._writes, self._left = writes, left
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until there is no more to write, or nobody to read it."""
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not writing.done():
                writing.cancel()
            try:
                with suppress(asyncio.CancelledError, TimeoutError):
                    await writing
            finally:
                self._left()

    async def _write(self, send: Send) -> None:
        async with aclosing(self._writes) as pieces:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in pieces:
                async with asyncio.timeout(self._stall_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def message(data: Any, *, event: str | None = None, id: int | None = None) -> bytes:
    """Return one event. `data` is JSON already, or made so."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = (f"id: {id}\n" if id is not None else "") + (f"event: {event}\n" if event else "")
    # JSON holds no raw line break, so one data line is enough.
    return f"{head}data: {text}\n\n".encode("utf-8", "replace")


def pieces(events: Sequence[str], first: int) -> Iterator[bytes]:
    """Frame a debate's events, JSON already, some at a time; their numbers from `first` on are their ids."""
    for start in range(0, len(events), PIECE):
        numbered = enumerate(events[start : start + PIECE], first + start)
        yield b"".join(message(text, event=_name(text), id=number) for number, text in numbered)


def _name(event: str) -> str | None:
    found = _EVENT.match(event)
    return found.group(1) if found else None


def event_schema(*fields: str) -> dict[str, Any]:
    """Return how the OpenAPI document describes one event of a stream; each field is text, `data` holds JSON."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in fields}, "required": list(fields)}


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await some work, and cancel it when the client goes. Raises ClientGone then."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_gone(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
