"""Any server that speaks OpenAI's chat API: vLLM, llama.cpp, a hosted service.

- A call is one streamed chat completion. Cancelling the task that awaits it closes the connection at once, which is
  how such servers learn to stop computing.
- Request fields that a server refuses (`logprobs`, `stream_options`, `seed`, `response_format`, `tools`) are left out
  from then on, so a plain server works as well as a full one, and says less (`openai_dialect`).
- Nothing is retried here: an error says whether a retry may help.
- An engine belongs to the event loop that opened it.

The SDK takes a second to import, so that waits until an engine is opened.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chorus.engines.base import Completion, Emit, EngineInfo, Request, estimate_tokens
from chorus.engines.calls import Calls
from chorus.engines.openai_dialect import Dialect, blame_schema
from chorus.engines.openai_faults import clip, html_in, status_of, translate, wire_errors
from chorus.engines.openai_models import CONNECT_TIMEOUT_S, find_model
from chorus.engines.openai_stream import Reading
from chorus.engines.tool_calls import Ear
from chorus.errors import EngineError
from chorus.loopback import is_loopback
from chorus.types import Message, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

RUNAWAY_CHARS = 100
"""A reply with more characters than this for each token allowed comes from a server that ignores `max_tokens`."""


class Server:
    """An address, and the client that knocks there."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.client = _client(url, timeout_s)

    async def find_model(self, wanted: str, timeout_s: float | None = None) -> tuple[str, int | None]:
        """Return the model's id and its context window. Raises ConfigError and EngineError, as `find_model` does."""
        return await find_model(self.client, self.url, wanted, timeout_s or self.timeout_s)


def _client(url: str, timeout_s: float) -> AsyncOpenAI:
    import openai

    here = is_loopback(urlsplit(url).hostname or "")
    return openai.AsyncOpenAI(
        base_url=url,
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
        # A server that has been reached has as long to take a connection as to answer: the clock runs on while this
        # process is too busy to notice that it was taken, and then a short limit mistakes us for a server that is gone.
        timeout=openai.Timeout(timeout_s, connect=max(timeout_s, CONNECT_TIMEOUT_S)),
        max_retries=0,
        # A proxy that the environment names can't reach this machine's own servers.
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if here else None,
    )


class OpenAIEngine:
    """A model behind an OpenAI-compatible server. Opened by `open_openai`, in `openai_opening`."""

    def __init__(self, server: Server, info: EngineInfo, *, model: str, dialect: Dialect) -> None:
        self._client = server.client
        self._info = info
        self._model = model
        self._timeout_s = server.timeout_s
        self._url = server.url
        self._dialect = dialect
        self._can_tokenize = True
        self._loop = asyncio.get_running_loop()
        self.calls = Calls()
        """What runs and what was aborted."""

    @property
    def info(self) -> EngineInfo:
        """What it is; constant, but for `guided`, which ends when the server refuses `response_format`."""
        if self._info.guided and "response_format" in self._dialect.refused:
            self._info = dataclasses.replace(self._info, guided=False)
        return self._info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError; ContextTooLong when the server says that they don't fit."""
        if asyncio.get_running_loop() is not self._loop:
            raise EngineError(f"the engine for {self._url} was opened in another event loop: open one in this loop")
        with self.calls:
            started, reading, ear = self._loop.time(), Reading(), Ear(request, emit)
            async with aclosing(self._chunks(request)) as chunks:
                async for chunk in chunks:
                    if piece := reading.take(chunk):
                        ear.take(piece)
                    if reading.length > RUNAWAY_CHARS * (request.sampling.max_tokens + 100):
                        reading.finish = "length"
                        break
            if reading.finish is None:
                raise EngineError(f"{self._url}: the stream ended without a finish reason", retryable=True)
            completion = Completion(
                text=reading.text,
                finish="tool_calls" if reading.tool_calls else reading.finish,
                usage=await self._usage(reading, request, started),
                logprobs=reading.logprobs(),
                openings=reading.openings(request.openings),
                tool_calls=reading.tool_calls,
            )
            return ear.finish(completion)

    async def count(self, messages: Sequence[Message]) -> int:
        """Return the prompt's tokens by the server's own count (vLLM's `/tokenize`), else a bound from above."""
        if self._can_tokenize:
            root = self._url.removesuffix("/v1")
            body = {"model": self._model, "messages": self._dialect.messages(Request(tuple(messages)))}
            try:
                answer = await self._client.post(f"{root}/tokenize", body=body, cast_to=object)
            except wire_errors() as error:
                self._can_tokenize = status_of(error) not in (401, 403, 404, 405, 501)
                return estimate_tokens(messages)
            count = answer.get("count") if isinstance(answer, dict) else None
            if isinstance(count, int):
                return count
            self._can_tokenize = False
        return estimate_tokens(messages)

    async def aclose(self) -> None:
        """Cancel the calls in flight and close the connections."""
        await self.calls.close()
        await self._client.close()

    async def _chunks(self, request: Request) -> AsyncGenerator[Any, None]:
        """Give the stream's chunks, with every fault on the way told as EngineError."""
        try:
            async with await self._create(request) as stream:
                await self._check_type(stream.response)
                async for chunk in stream:
                    yield chunk
        except wire_errors() as error:
            if status_of(error) == 400 and self._dialect.sends_schema(request):
                blame_schema(error)
            raise translate(error, self._url, self._timeout_s) from error

    async def _create(self, request: Request) -> Any:
        """Send the request, again without what the server refuses, until it takes it."""
        create: Any = self._client.chat.completions.create
        while True:
            body = self._dialect.body(request)
            try:
                return await create(model=self._model, stream=True, **body)
            except wire_errors() as error:
                if not self._dialect.learn(error, body):
                    raise

    async def _check_type(self, response: Any) -> None:
        """Refuse a page or a single object where a stream is due: the SDK would read nothing from it."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/json"):
            await response.aread()
            said = html_in(response.text) or repr(clip(response.text))
            raise EngineError(f"{self._url} answered with {said} where a stream was due")

    async def _usage(self, reading: Reading, request: Request, started: float) -> Usage:
        """Return the server's count, else our own."""
        given = reading.usage
        details = getattr(given, "prompt_tokens_details", None)
        said = Message(role="assistant", content=reading.reasoning + reading.text)
        prompt = _number(given, "prompt_tokens")
        completion = _number(given, "completion_tokens")
        return Usage(
            calls=1,
            prompt_tokens=await self.count(request.messages) if prompt is None else prompt,
            cached_tokens=_number(details, "cached_tokens") or 0,
            completion_tokens=(reading.tokens_listed or await self.count([said])) if completion is None else completion,
            wall_s=self._loop.time() - started,
        )


def _number(given: Any, name: str) -> int | None:
    value = getattr(given, name, None)
    return value if isinstance(value, int) and value >= 0 else None
