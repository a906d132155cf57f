"""An engine whose calls are counted.

A retry is known by what it is: a task that makes the call of a debate's turn again, right after the engine failed it.
Nobody has to announce it, and the same debate held twice, even at once, is not taken for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from chorus.engines.base import Completion, Emit, Engine, Request
from chorus.errors import EngineError
from chorus.telemetry.counters import Counters, Outcome
from chorus.telemetry.passage import Passage


def metered(engine: Engine, counters: Counters) -> Engine:
    """Return the engine, with its calls counted. Everything else about it is as it was, its own attributes too.

    Of an engine with several servers behind it (its `endpoints`), each has series of its own as well, until it is closed.
    """
    servers = getattr(engine, "endpoints", None)
    return _Metered(engine, counters, counters.follow(servers, engine.info.spec) if servers else None)


class _Metered(Passage):
    def __init__(self, engine: Engine, counters: Counters, unfollow: Callable[[], None] | None) -> None:
        super().__init__(engine)
        self._series = counters.of(engine.info.spec)
        self._unfollow = unfollow
        self._failed: WeakKeyDictionary[asyncio.Task[Any], tuple[str, str]] = WeakKeyDictionary()
        """Of each task whose last call failed: the debate and the turn."""

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        series, clock = self._series, asyncio.get_running_loop().time
        self._count_retry(request)
        started, silent = clock(), True

        def hear(piece: str) -> None:
            nonlocal silent
            if silent:
                silent = False
                series.first_token_seconds.observe(clock() - started)
            emit(piece)

        outcome: Outcome = "failed"
        series.running.inc()
        try:
            completion = await self._engine.generate(request, hear)
            outcome = "done"
        except asyncio.CancelledError:
            outcome = "aborted"
            series.aborts.inc()
            raise
        except EngineError:
            self._remember_failure(request)
            raise
        finally:
            series.running.dec()
            series.calls[outcome].inc()
        series.call_seconds.observe(clock() - started)
        series.prompt_tokens.inc(completion.usage.prompt_tokens)
        series.cached_tokens.inc(completion.usage.cached_tokens)
        series.completion_tokens.inc(completion.usage.completion_tokens)
        return completion

    async def aclose(self) -> None:
        """Close the engine inside, whose servers have no series from then on."""
        await super().aclose()
        unfollow, self._unfollow = self._unfollow, None
        if unfollow:
            unfollow()

    def _remember_failure(self, request: Request) -> None:
        if task := asyncio.current_task():
            self._failed[task] = request.debate, request.id

    def _count_retry(self, request: Request) -> None:
        if not self._failed:  # as on nearly every call
            return
        task = asyncio.current_task()
        if task and self._failed.pop(task, None) == (request.debate, request.id):
            self._series.retries.inc()
