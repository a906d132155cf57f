"""Any server that speaks OpenAI's chat API: vLLM, llama.cpp, a hosted service.

- A call is one streamed chat completion. Cancelling the task that awaits it closes the connection at once, which is
  how such servers learn to stop computing.
- Request fields that a server refuses (`logprobs`, `stream_options`, `seed`) are left out from then on, so a plain
  server works as well as a full one, and says less.
- Nothing is retried here: an error says whether a retry may help.
- An engine belongs to the event loop that opened it.

The SDK takes a second to import, so that waits until an engine is opened.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chorus.engines.base import Completion, Emit, EngineInfo, Request, estimate_tokens
from chorus.engines.calls import Calls
from chorus.engines.openai_faults import clip, complaint, html_in, is_too_long, status_of, translate, wire_errors
from chorus.engines.openai_models import find_model, is_loopback, split_address
from chorus.engines.openai_stream import Reading
from chorus.errors import ConfigError, EngineError
from chorus.types import Message, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPTIONAL_FIELDS = ("logprobs", "stream_options", "seed")
"""What a request can do without."""

CONNECT_TIMEOUT_S = 5.0
DEFAULT_CONTEXT_WINDOW = 8192

RUNAWAY_CHARS = 100
"""A reply with more characters than this for each token allowed comes from a server that ignores `max_tokens`."""


async def open_openai(
    rest: str,
    *,
    timeout_s: float = 120.0,
    context_window: int | None = None,
    max_concurrency: int = 16,
    send_seed: bool = True,
    extra_body: Mapping[str, Any] | None = None,
) -> OpenAIEngine:
    """Open the engine of `openai:BASE_URL#MODEL`; MODEL may be left out where the server serves just one.

    The key is read from OPENAI_API_KEY; servers that want none get a placeholder.

    Args:
        rest: `BASE_URL#MODEL`.
        timeout_s: Seconds that the server may stay silent before a call fails.
        context_window: Tokens of prompt and completion together; `None` asks the server; 8192 if it won't say.
        max_concurrency: Calls at once that the server serves well.
        send_seed: Whether seeds are passed on. Some servers fall over them (vLLM on a CPU, when it chunks prompts).
        extra_body: Fields of the server's own that go into every request (vLLM's `top_k`, `ignore_eos` …).

    Raises:
        ConfigError: the URL, the model or an option can't be used.
        EngineError: the server can't be reached, or refuses.
    """
    url, wanted = split_address(rest)
    for name, value in (
        ("timeout_s", timeout_s),
        ("max_concurrency", max_concurrency),
        ("context_window", context_window),
    ):
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise ConfigError(f"the engine option {name} must be a number above 0, not {value!r}")
    if extra_body is not None and not isinstance(extra_body, Mapping):
        raise ConfigError(f"the engine option extra_body must be a table of fields, not {extra_body!r}")
    client = _client(url, timeout_s)
    try:
        model, window = await find_model(client, url, wanted, timeout_s)
    except BaseException:
        await client.close()
        raise
    info = EngineInfo(
        spec=f"openai:{url}#{model}",
        context_window=context_window or window or DEFAULT_CONTEXT_WINDOW,
        max_concurrency=max_concurrency,
    )
    dialect = _Dialect(refused=set() if send_seed else {"seed"}, extra=dict(extra_body or {}))
    return OpenAIEngine(client, info, model=model, timeout_s=timeout_s, dialect=dialect)


def _client(url: str, timeout_s: float) -> AsyncOpenAI:
    import openai

    return openai.AsyncOpenAI(
        base_url=url,
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
        timeout=openai.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        max_retries=0,
        # A proxy that the environment names can't reach this machine's own servers.
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if is_loopback(url) else None,
    )


class OpenAIEngine:
    """A model behind an OpenAI-compatible server. Made by `open_openai`."""

    def __init__(
        self, client: AsyncOpenAI, info: EngineInfo, *, model: str, timeout_s: float, dialect: _Dialect
    ) -> None:
        self._client = client
        self._info = info
        self._model = model
        self._timeout_s = timeout_s
        self._url = str(client.base_url).rstrip("/")
        self._dialect = dialect
        self._can_tokenize = True
        self._loop = asyncio.get_running_loop()
        self.calls = Calls()
        """What runs and what was aborted."""

    @property
    def info(self) -> EngineInfo:
        """What it is; constant."""
        return self._info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError; ContextTooLong when the server says that they don't fit."""
        if asyncio.get_running_loop() is not self._loop:
            raise EngineError(f"the engine for {self._url} was opened in another event loop: open one in this loop")
        with self.calls:
            started, reading = self._loop.time(), Reading()
            async with aclosing(self._chunks(request)) as chunks:
                async for chunk in chunks:
                    if piece := reading.take(chunk):
                        emit(piece)
                    if len(reading.text) + len(reading.reasoning) > RUNAWAY_CHARS * (request.sampling.max_tokens + 100):
                        reading.finish = "length"
                        break
            if reading.finish is None:
                raise EngineError(f"{self._url}: the stream ended without a finish reason", retryable=True)
            return Completion(
                text=reading.text,
                finish=reading.finish,
                usage=await self._usage(reading, request, started),
                logprobs=reading.logprobs(),
            )

    async def count(self, messages: Sequence[Message]) -> int:
        """Return the prompt's tokens by the server's own count (vLLM's `/tokenize`), else a bound from above."""
        if self._can_tokenize:
            root = self._url.removesuffix("/v1")
            body = {"model": self._model, "messages": _messages(messages)}
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
            raise translate(error, self._url, self._timeout_s) from error

    async def _create(self, request: Request) -> Any:
        """Send the request, again without what the server refuses, until it takes it."""
        create: Any = self._client.chat.completions.create
        while True:
            body = self._dialect.body(request)
            try:
                return await create(model=self._model, messages=_messages(request.messages), stream=True, **body)
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


@dataclass(slots=True)
class _Dialect:
    """Which request fields the server takes, learnt from its refusals."""

    refused: set[str] = field(default_factory=set)
    length_field: str = "max_tokens"
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self, request: Request) -> dict[str, Any]:
        """Return the request's fields but for the model and the messages."""
        sampling = request.sampling
        # Both are sent even at OpenAI's default: vLLM's own default is whatever the checkpoint recommends.
        body: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        body[self.length_field] = sampling.max_tokens
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self.extra:
            body["extra_body"] = self.extra
        optional = {"logprobs": True, "stream_options": {"include_usage": True}, "seed": sampling.seed}
        return body | {
            name: value for name, value in optional.items() if name not in self.refused and value is not None
        }

    def learn(self, error: Exception, sent: dict[str, Any]) -> bool:
        """Note what the server refused of what was sent; False when the refusal is about something else."""
        if status_of(error) not in (400, 422) or is_too_long(error):
            return False
        named = {str(getattr(error, "param", None)), *re.findall(r"\w+", complaint(error))}
        if "max_tokens" in sent and "max_completion_tokens" in named:
            self.length_field = "max_completion_tokens"
            return True
        unwanted = {name for name in OPTIONAL_FIELDS if name in sent and name in named}
        self.refused |= unwanted
        return bool(unwanted)


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    # Half a surrogate pair has no UTF-8 form, and no request could carry it.
    return [{"role": m.role, "content": m.content.encode("utf-8", "replace").decode()} for m in messages]


def _number(given: Any, name: str) -> int | None:
    value = getattr(given, name, None)
    return value if isinstance(value, int) and value >= 0 else None
