"""Several OpenAI-compatible servers of one model, behind one engine: `openai:http://a/v1,http://b/v1#MODEL`.

- A call goes where its debate's prefix is cached, as long as that server has room (`rendezvous`).
- A server that fails a call in a way that may pass gets no more of them until it says what it serves: it is asked at
  once, and if it fails on, after pauses that double up to `MAX_PAUSE_S`. One that nobody calls is asked every `PROBE_S`.
- A call that fails before its first word is made at the next server, unnoticed. After that its words are out, so the
  error is raised as one that may pass, and the debate's own retry goes elsewhere.
- Only when no server is left is the engine unreachable, which debates wait out like any restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chorus.engines.base import Completion, Emit, EngineInfo, Request
from chorus.engines.calls import Calls
from chorus.engines.rendezvous import first_with_room, ranking, shared_prefix
from chorus.errors import ChorusError, ConfigError, EngineError, EngineUnreachable
from chorus.types import Message

if TYPE_CHECKING:
    from chorus.engines.openai_http import OpenAIEngine, Server

PROBE_S = 10.0
"""Seconds between two looks at a server that says nothing."""

PROBE_TIMEOUT_S = 5.0
"""How long a server may take to say what it serves before it counts as gone."""

FIRST_PAUSE_S = 0.5
"""Pause before a server is asked again that failed again, doubled each time."""

MAX_PAUSE_S = 30.0

MakeEngine = Callable[["Server", str, "int | None"], "OpenAIEngine"]
"""Makes the engine of one server, for a model with a context window."""


async def open_endpoints(servers: Sequence[Server], wanted: str, engine: MakeEngine) -> Endpoints:
    """Open the engine. Servers that are down join when they come up, as long as one is there now.

    Raises:
        ConfigError: a URL is not that of such a server, or they don't all serve the model.
        EngineError: none can be reached, or one refuses.
    """
    found = await asyncio.gather(*(server.find_model(wanted) for server in servers), return_exceptions=True)
    down = [one for one in found if isinstance(one, EngineError) and one.retryable]
    for one in found:
        if isinstance(one, BaseException) and (one not in down or len(down) == len(servers)):
            raise one
    there = [one for one in found if not isinstance(one, BaseException)]
    models = sorted({model for model, _ in there})
    if len(models) > 1:
        raise ConfigError(f"the endpoints serve different models ({', '.join(models)}): name one, as in URL,URL#MODEL")
    windows = [window for _, window in there if window]
    window = min(windows) if windows else None
    endpoints = [
        Endpoint(server, engine(server, models[0], window), models[0], one if isinstance(one, EngineError) else None)
        for server, one in zip(servers, found, strict=True)
    ]
    return Endpoints(endpoints, models[0])


class Endpoint:
    """One of the servers: whether it is there, and what became of its calls."""

    def __init__(self, server: Server, engine: OpenAIEngine, model: str, fault: EngineError | None) -> None:
        self.url = server.url
        self.engine = engine
        self.fault: Exception | None = fault
        """Why it gets no calls; None when it does."""
        self.done = 0
        """Calls that it completed."""
        self.failed = 0
        """Calls that it failed."""
        self.spilled = 0
        """Calls that would have been at home here, and went elsewhere."""
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self._server = server
        self._model = model
        self._failures = 1 if fault else 0
        """In a row, of calls and looks, since a call was done."""
        self._news = asyncio.Event()
        if fault:
            self._news.set()

    @property
    def up(self) -> bool:
        """Whether it gets calls."""
        return self.fault is None

    @property
    def running(self) -> int:
        """Calls in flight."""
        return self.engine.calls.running

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError; of those that may pass it takes note."""
        try:
            completion = await self.engine.generate(request, emit)
        except EngineError as error:
            self.failed += 1
            if error.retryable and self.up:  # calls that fail together are one failure
                self.fault = error
                self._failures += 1
                self._news.set()
            raise
        self.done += 1
        self.prompt_tokens += completion.usage.prompt_tokens
        self.cached_tokens += completion.usage.cached_tokens
        self._failures = 0
        return completion

    async def watch(self) -> None:
        """Look whether it is there, for ever: at once when a call has failed, now and then when none has."""
        while True:
            done = self.done
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S):
                    await self._news.wait()
            self._news.clear()
            if self.up and self.done > done:
                continue  # its calls say that it is there
            await self._look()
            while not self.up:
                await self._look()

    async def _look(self) -> None:
        """Look once, after the pause that its failures call for. A first failure calls for none."""
        if self._failures > 1:
            await asyncio.sleep(min(FIRST_PAUSE_S * 2.0 ** min(self._failures - 2, 16), MAX_PAUSE_S))
        try:
            await self._server.find_model(self._model, PROBE_TIMEOUT_S)
        except ChorusError as error:
            self.fault = error
            self._failures += 1
        else:
            self.fault = None


class Endpoints:
    """The engine. Made by `open_endpoints`."""

    def __init__(self, endpoints: Sequence[Endpoint], model: str) -> None:
        self.endpoints = tuple(endpoints)
        """The servers, in the order of the SPEC."""
        self.calls = Calls()
        """What runs and what was aborted."""
        self._urls = [endpoint.url for endpoint in endpoints]
        one = endpoints[0].engine.info
        self._info = dataclasses.replace(
            one, spec=f"openai:{','.join(self._urls)}#{model}", max_concurrency=one.max_concurrency * len(endpoints)
        )
        self._watches = [asyncio.create_task(endpoint.watch()) for endpoint in endpoints]

    @property
    def info(self) -> EngineInfo:
        """What it is; constant, but for `guided`, which ends when one of the servers refuses `response_format`."""
        if self._info.guided and not all(endpoint.engine.info.guided for endpoint in self.endpoints):
            self._info = dataclasses.replace(self._info, guided=False)
        return self._info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages at the first server that can. Raises EngineError."""
        spoke = False

        def hear(piece: str) -> None:
            nonlocal spoke
            spoke = True
            emit(piece)

        with self.calls:
            ranked = ranking(shared_prefix(request), self._urls)
            failure: EngineError | None = None
            while there := [index for index in ranked if self.endpoints[index].up]:
                chosen = first_with_room(there, [endpoint.running for endpoint in self.endpoints])
                if chosen != there[0]:
                    self.endpoints[there[0]].spilled += 1
                try:
                    return await self.endpoints[chosen].generate(request, hear)
                except EngineError as error:
                    if spoke or not error.retryable:
                        raise
                    failure = error
                    ranked.remove(chosen)
            raise failure or self._none_there()

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take, by the first server that is there."""
        there = next((endpoint for endpoint in self.endpoints if endpoint.up), self.endpoints[0])
        return await there.engine.count(messages)

    async def aclose(self) -> None:
        """Cancel the calls in flight and close the connections."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await self.calls.close()
        await asyncio.gather(*(endpoint.engine.aclose() for endpoint in self.endpoints))

    def _none_there(self) -> EngineUnreachable:
        faults = "; ".join(str(endpoint.fault) for endpoint in self.endpoints if endpoint.fault)
        return EngineUnreachable(f"none of {len(self.endpoints)} endpoints is there: {faults}")
