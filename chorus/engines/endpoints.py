"""Several endpoints of one model behind one engine: servers (`openai:http://a/v1,http://b/v1#MODEL`) or Ray's workers.

- A call goes where its debate's prefix is cached, as long as that endpoint has room (`rendezvous`).
- One that fails a call in a way that may pass gets no more of them until it says that it is there: it is asked at
  once, and if it fails on, after pauses that double up to `MAX_PAUSE_S`. One whose calls don't end, or that nobody calls,
  is asked every `PROBE_S`. Where `GONE_AFTER` looks fail in a row, and no call had a word meanwhile, its calls in flight
  are taken from it: a server that takes calls and never answers would keep them as long as they may last.
- A call that fails before its first word is made at the next, unnoticed. After that its words are out, so the
  error is raised as one that may pass, and the debate's own retry goes elsewhere.
- Only when none is left is the engine unreachable, which debates wait out like any restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request, estimate_tokens
from chorus.engines.calls import Calls, in_its_own_task
from chorus.engines.rendezvous import first_with_room, ranking, shared_prefix
from chorus.errors import EngineError, EngineUnreachable
from chorus.types import Message

PROBE_S = 10.0
"""Seconds between two looks at an endpoint that says nothing."""

FIRST_PAUSE_S = 0.5
"""Pause before one is asked again that failed again, doubled each time."""

MAX_PAUSE_S = 30.0

GONE_AFTER = 3
"""Looks in a row that fail, after which calls in flight are made elsewhere."""


class Endpoint:
    """One of them: whether it is there, and what became of its calls.

    Args:
        name: what it is known by; a server's base URL.
        engine: speaks to it.
        look: asks whether it is there. Raises when it isn't.
        fault: why it isn't there now.
    """

    def __init__(
        self, name: str, engine: Engine, look: Callable[[], Awaitable[object]], fault: EngineError | None = None
    ) -> None:
        self.name = name
        self.engine = engine
        self.fault: Exception | None = fault
        """Why it gets no calls; None when it does."""
        self.running = 0
        """Calls in flight."""
        self.done = 0
        """Calls that it completed."""
        self.failed = 0
        """Calls that it failed."""
        self.spilled = 0
        """Calls that would have been at home here, and went elsewhere."""
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self._ask = look
        self._failures = 1 if fault else 0
        """In a row, of calls and looks, since a call was done."""
        self._silent = 0
        """Looks in a row that failed, since it gave a sign of life."""
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._news = asyncio.Event()
        if fault:
            self._news.set()

    @property
    def up(self) -> bool:
        """Whether it gets calls."""
        return self.fault is None

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError; of those that may pass it takes note."""

        def hear(piece: str) -> None:
            self._silent = 0
            emit(piece)

        self.running += 1
        try:
            completion = await in_its_own_task(self.engine.generate(request, hear), self._in_flight)
            if completion is None:
                raise EngineError(f"{self.name} took the call and fell silent: {self.fault}", retryable=True)
        except EngineError as error:
            self.failed += 1
            if error.retryable and self.up:  # calls that fail together are one failure
                self.fault = error
                self._failures += 1
                self._news.set()
            raise
        finally:
            self.running -= 1
        self.done += 1
        self.prompt_tokens += completion.usage.prompt_tokens
        self.cached_tokens += completion.usage.cached_tokens
        self._failures = self._silent = 0
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
            await self._ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, looking goes on: it may pass
            self.fault = error
            self._failures += 1
            self._silent += 1
            if self._silent >= GONE_AFTER:
                for call in tuple(self._in_flight):
                    call.cancel()
        else:
            self.fault = None
            self._silent = 0


class Endpoints:
    """The engine.

    Args:
        endpoints: at least one.
        spec: opens it again.
    """

    def __init__(self, endpoints: Sequence[Endpoint], spec: str) -> None:
        self.endpoints = tuple(endpoints)
        """In the order in which they were named."""
        self.calls = Calls()
        """What runs and what was aborted."""
        self._names = [endpoint.name for endpoint in endpoints]
        one = endpoints[0].engine.info
        self._info = dataclasses.replace(one, spec=spec, max_concurrency=one.max_concurrency * len(endpoints))
        self._watches = [asyncio.create_task(endpoint.watch()) for endpoint in endpoints]

    @property
    def info(self) -> EngineInfo:
        """What it is; constant, but for `guided`, which ends when one of them refuses `response_format`."""
        if self._info.guided and not all(endpoint.engine.info.guided for endpoint in self.endpoints):
            self._info = dataclasses.replace(self._info, guided=False)
        return self._info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages at the first endpoint that can. Raises EngineError."""
        spoke = False

        def hear(piece: str) -> None:
            nonlocal spoke
            spoke = True
            emit(piece)

        with self.calls:
            ranked = ranking(shared_prefix(request), self._names)
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
        """Return how many tokens the messages take, by the first that can say; a bound from above when none can."""
        for endpoint in self.endpoints:
            if endpoint.up:
                with contextlib.suppress(EngineError):
                    return await endpoint.engine.count(messages)
        return estimate_tokens(messages)

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
