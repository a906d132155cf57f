"""A real HTTP server on loopback that speaks OpenAI's chat API, well or badly, as a test asks it to.

    async with FakeOpenAIServer(replies=[rate_limited(2), Stream("Answer: 56")]) as server:
        engine = await open_openai(f"{server.url}#fake")

Each chat call takes the next of `replies`, then `default`. The server notes what it received (`received`, `chats`) and
which calls the client hung up on (`dropped`). `in_thread` runs one beside a test that has no event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Breakage = Literal["end", "hang up", "error", "garbage", "stall"]


@dataclass(frozen=True)
class Stream:
    """A streamed answer, and how it goes wrong."""

    text: str = "Answer: 56"
    logprob: float | None = -0.25
    """Of every token; None sends no logprobs."""
    likely: tuple[tuple[str, float], ...] = ()
    """Tokens with their log-probabilities, listed beside every token for those who ask."""
    finish: str | None = "stop"
    reasoning: str = ""
    """Thinking, sent before the text in `reasoning_field`."""
    reasoning_field: str = "reasoning"
    usage: bool = True
    cached_tokens: int | None = 0
    tool_calls: tuple[tuple[Any, ...], ...] = ()
    """Chunks of tool calls, sent after the text: of each its parts, as `part` makes them."""
    first_s: float = 0.0
    """Seconds before the headers are sent."""
    per_token_s: float = 0.0
    extra_tokens: tuple[str, ...] = ()
    """Listed in the logprobs after the text's own, as servers list end tokens."""
    ignores_limits: bool = False
    """Whether `max_tokens` is overlooked."""
    breaks: Breakage | None = None
    """What happens after `break_after` tokens instead of the rest."""
    break_after: int = 2
    error: Any = field(default_factory=lambda: {"message": "engine died", "type": "server_error", "code": 500})
    garbage: str = '{"choices": ['


@dataclass(frozen=True)
class Refusal:
    """An answer that is no stream."""

    status: int
    body: Any
    """Text is sent as it is, anything else as JSON."""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def part(index: int | None, name: str | None = None, arguments: str | None = None, id: str | None = None) -> Any:
    """A part of a tool call, with nothing in it that is None."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {key: value for key, value in (("index", index), ("id", id), ("function", function)) if value is not None}


def error(status: int, message: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Refusal:
    return Refusal(
        status, {"error": {"message": message, "type": "error", "param": None, "code": None} | fields}, headers or {}
    )


def rate_limited(retry_after: object) -> Refusal:
    return error(429, "slow down", headers={"retry-after": str(retry_after)})


def html(status: int = 200) -> Refusal:
    page = "<!doctype html><html><head><title>Welcome to nginx</title></head><body>…</body></html>"
    return Refusal(status, page, content_type="text/html; charset=utf-8")


def context_too_long(window: int = 2048) -> Refusal:
    words = f"This model's maximum context length is {window} tokens. However, you requested 9000 tokens."
    return error(
        400, f"'max_tokens' or 'max_completion_tokens' is too large: 900. {words}", type="BadRequestError", code=400
    )


@dataclass
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    dropped: bool = False
    """The client hung up before the answer was complete."""


@dataclass
class FakeOpenAIServer:
    """See the module's docstring. Every field may be changed while it runs."""

    replies: list[Stream | Refusal] = field(default_factory=list)
    default: Stream | Refusal = field(default_factory=Stream)
    models: tuple[str, ...] | Refusal = ("fake",)
    max_model_len: int | None = 2048
    tokenize: bool | Refusal = True
    """Whether `/tokenize` counts: one token a word, and one a message."""
    refuses: frozenset[str] = frozenset()
    """Request fields that are answered 400."""
    wants_max_completion_tokens: bool = False
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Any]:
        """The bodies of the chat calls."""
        return [request.body for request in self.received if request.path == "/v1/chat/completions"]

    @property
    def dropped(self) -> int:
        return sum(request.dropped for request in self.received)

    async def until_asked(self, count: int = 1) -> None:
        """Wait until so many chat calls have come in."""
        await self._until(lambda: len(self.chats) >= count)

    async def until_dropped(self, count: int = 1) -> None:
        """Wait until the client has hung up on so many calls."""
        await self._until(lambda: self.dropped >= count)

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not reached():
                self._news.clear()
                await self._news.wait()

    async def __aenter__(self) -> FakeOpenAIServer:
        self._handlers: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            request = await _read_request(reader)
            if request is not None:
                self.received.append(request)
                self._news.set()
                await self._answer(request, _Wire(request, reader, writer))
        except (ConnectionError, _HungUp, asyncio.CancelledError):
            pass
        finally:
            self._news.set()
            self._handlers.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, request: Received, wire: _Wire) -> None:
        match request.path:
            case "/v1/models":
                await wire.send(self.models if isinstance(self.models, Refusal) else Refusal(200, self._models()))
            case "/tokenize" if self.tokenize:
                count = sum(1 + len(message["content"].split()) for message in request.body["messages"])
                await wire.send(self.tokenize if isinstance(self.tokenize, Refusal) else Refusal(200, {"count": count}))
            case "/v1/chat/completions":
                reply = self._refusal(request.body) or (self.replies.pop(0) if self.replies else self.default)
                await (wire.send(reply) if isinstance(reply, Refusal) else self._stream(request.body, reply, wire))
            case _:
                await wire.send(Refusal(404, {"detail": "Not Found"}))

    def _models(self) -> dict[str, Any]:
        assert not isinstance(self.models, Refusal)
        extra = {} if self.max_model_len is None else {"max_model_len": self.max_model_len}
        return {"object": "list", "data": [{"id": name, "object": "model"} | extra for name in self.models]}

    def _refusal(self, body: dict[str, Any]) -> Refusal | None:
        for name in sorted(self.refuses & set(body)):
            return error(400, f"Unrecognized request argument supplied: {name}")
        if self.wants_max_completion_tokens and "max_tokens" in body:
            return error(400, "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
        return None

    async def _stream(self, body: dict[str, Any], reply: Stream, wire: _Wire) -> None:
        await wire.pause(reply.first_s)
        await wire.start_stream()
        await wire.chunk({"role": "assistant", "content": ""})
        for token in _tokens(reply.reasoning):
            await wire.chunk({reply.reasoning_field: token, "content": None}, _entries(reply, [token]))
        tokens = _tokens(reply.text)
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or len(tokens)
        limit = len(tokens) if reply.ignores_limits else limit
        for number, token in enumerate(tokens[:limit]):
            if reply.breaks and number == reply.break_after:
                break
            await wire.chunk({"content": token}, _entries(reply, [token]))
            await wire.pause(reply.per_token_s)
        if reply.breaks:
            await self._break(reply, wire)
            return
        for parts in reply.tool_calls:
            await wire.chunk({"tool_calls": list(parts)})
        finish = "length" if limit < len(tokens) else reply.finish
        await wire.chunk({"content": ""}, _entries(reply, reply.extra_tokens), finish=finish)
        if reply.usage and body.get("stream_options", {}).get("include_usage"):
            await wire.event({"choices": [], "usage": _usage(body, reply, min(limit, len(tokens)))})
        await wire.data("[DONE]")
        await wire.end()

    async def _break(self, reply: Stream, wire: _Wire) -> None:
        match reply.breaks:
            case "hang up":
                wire.writer.transport.abort()
            case "stall":
                await wire.pause(60)
            case "error":
                await wire.event({"error": reply.error})
                await wire.end()
            case "garbage":
                await wire.data(reply.garbage)
                await wire.end()
            case _:
                await wire.end()


class _HungUp(Exception):
    """The client closed the connection."""


class _Wire:
    """One connection, on which one answer is sent."""

    def __init__(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request, self.reader, self.writer = request, reader, writer

    async def pause(self, seconds: float) -> None:
        """Wait, unless the client hangs up: nothing else can come from it while it waits for an answer."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.reader.read(1)
                self.request.dropped = True
                raise _HungUp

    async def send(self, refusal: Refusal) -> None:
        body = refusal.body if isinstance(refusal.body, str) else json.dumps(refusal.body)
        raw = body.encode()
        headers = {"content-type": refusal.content_type, "content-length": len(raw)} | refusal.headers
        self._head(refusal.status, headers)
        self.writer.write(raw)
        await self.writer.drain()

    async def start_stream(self) -> None:
        self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        await self.writer.drain()

    async def chunk(self, delta: dict[str, Any], entries: list[Any] | None = None, finish: str | None = None) -> None:
        logprobs = {"content": entries} if entries is not None else None
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        await self.event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})

    async def event(self, body: Any) -> None:
        await self.data(json.dumps(body))

    async def data(self, text: str) -> None:
        raw = f"data: {text}\n\n".encode()
        self.writer.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def _head(self, status: int, headers: dict[str, Any]) -> None:
        lines = [
            f"HTTP/1.1 {status} Status",
            "connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = first.split()
    return Received(method, path, headers, json.loads(raw) if raw else None)


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _entries(reply: Stream, tokens: list[str] | tuple[str, ...]) -> list[Any] | None:
    if reply.logprob is None:
        return None
    return [
        {
            "token": token,
            "logprob": reply.logprob,
            "bytes": list(token.encode()),
            "top_logprobs": [{"token": likely, "logprob": value, "bytes": None} for likely, value in reply.likely],
        }
        for token in tokens
    ]


def _usage(body: dict[str, Any], reply: Stream, completion_tokens: int) -> dict[str, Any]:
    prompt_tokens = sum(1 + len(message["content"].split()) for message in body["messages"])
    completion_tokens += len(_tokens(reply.reasoning))
    details = None if reply.cached_tokens is None else {"cached_tokens": reply.cached_tokens}
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": details,
    }


@contextlib.contextmanager
def in_thread(server: FakeOpenAIServer) -> Iterator[FakeOpenAIServer]:
    """Run the server on a loop of its own thread, for tests of code that starts its own loop or process."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(5), "the fake server did not start"
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(5)
        loop.close()
