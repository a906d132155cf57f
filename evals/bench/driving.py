"""Engines between a debate and a server, for benchmarks: they set lengths, hold rounds back, agree, and take note.

Each is an engine around another one, so that the debate under measurement is the real one and only what its name says is
changed. `replay` gives the calls that were noted to the server once more, with nothing of ours around them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chorus.engines.base import Completion, Emit, Engine, Request

LONGEST = 8 / 3
"""No turn is longer than this, in mean lengths."""

AGREEMENT = "\nAnswer: 56"
"""What `Agreeing` has every voice say in the end."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it went. Times are seconds on the performance counter."""

    request: Request
    completion: Completion
    began: float
    first: float
    ended: float


class Wrapper:
    """Passes everything on to the engine inside."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.info = engine.info
        self.count = engine.count
        self.aclose = engine.aclose

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Call the engine."""
        return await self.engine.generate(request, emit)


class Noting(Wrapper):
    """Notes every call that was answered, and counts all, those that were cancelled too."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.calls: list[Call] = []
        self.begun = 0

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Call the engine and take the times."""
        self.begun += 1
        began, first = time.perf_counter(), math.nan

        def hear(piece: str) -> None:
            nonlocal first
            first = time.perf_counter() if math.isnan(first) else first
            emit(piece)

        completion = await self.engine.generate(request, hear)
        self.calls.append(Call(request, completion, began, first, time.perf_counter()))
        return completion


class Paced(Wrapper):
    """Gives every turn the length that is set for it, whatever the debate's own bound. Stop strings are left out."""

    def __init__(self, engine: Engine, lengths: Mapping[str, int]) -> None:
        super().__init__(engine)
        self._lengths = lengths

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Call the engine for that many tokens; the server must be told to ignore the end token."""
        sampling = dataclasses.replace(request.sampling, max_tokens=self._lengths[request.id], stop=())
        return await self.engine.generate(dataclasses.replace(request, sampling=sampling), emit)


class Barrier(Wrapper):
    """Holds each round of a debate back until the whole round before it has been spoken."""

    def __init__(self, engine: Engine, seats: int) -> None:
        super().__init__(engine)
        self._seats = seats
        self._spoken: dict[tuple[str, int], int] = {}
        self._changed = asyncio.Condition()

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Wait for the round before, then call the engine."""
        round_ = int(request.id.partition(".")[0])
        before = (request.debate, round_ - 1)
        async with self._changed:
            await self._changed.wait_for(lambda: round_ == 1 or self._spoken.get(before, 0) >= self._seats)
        try:
            return await self.engine.generate(request, emit)
        finally:
            # A call that fails opens the barrier as well: the debate goes on without it, and says so.
            async with self._changed:
                self._spoken[request.debate, round_] = self._spoken.get((request.debate, round_), 0) + 1
                self._changed.notify_all()


class Agreeing(Wrapper):
    """Ends every turn with the same answer, so that a vote settles as soon as it can."""

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Call the engine and add the answer."""
        completion = await self.engine.generate(request, emit)
        return dataclasses.replace(completion, text=completion.text + AGREEMENT, logprobs=())


def lengths(turns: Iterable[str], tokens: int, *, spread: float = 0.0, seed: int = 0) -> dict[str, int]:
    """Return a length for every turn, in tokens.

    Args:
        turns: their ids.
        tokens: the mean length.
        spread: coefficient of variation of a lognormal distribution; 0 makes all equal. Lengths stay between a quarter
            of the mean and `LONGEST` times the mean: 12 to 128 for 48.
        seed: draws them.
    """
    draw = random.Random(seed)
    sigma = math.sqrt(math.log(1 + spread**2))
    drawn = {turn: tokens * draw.lognormvariate(-(sigma**2) / 2, sigma) for turn in sorted(turns)}
    return {turn: max(1, round(min(max(length, tokens / 4), LONGEST * tokens))) for turn, length in drawn.items()}


async def replay(url: str, model: str, calls: Sequence[Call], heard: Mapping[str, Sequence[str]] | None) -> float:
    """Give noted calls to the server once more, by a bare HTTP client, and return the seconds that took.

    Args:
        url: the server's, with `/v1`.
        model: served there.
        calls: noted; their completions say how long each was.
        heard: turn id -> the turns that it waits for, within its debate; None starts all at once.
    """
    import httpx

    tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
    waits = heard or {}

    async def speak(client: Any, call: Call) -> None:
        request = call.request
        earlier = [tasks[request.debate, turn] for turn in waits.get(request.id, ()) if (request.debate, turn) in tasks]
        if earlier:
            await asyncio.wait(earlier)
        body = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_tokens": call.completion.usage.completion_tokens,
            "temperature": request.sampling.temperature,
            "ignore_eos": True,
        }
        (await client.post(f"{url}/chat/completions", json=body)).raise_for_status()

    async with httpx.AsyncClient(timeout=None, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
        began = time.perf_counter()
        for call in sorted(calls, key=lambda call: int(call.request.id.partition(".")[0])):
            tasks[call.request.debate, call.request.id] = asyncio.create_task(speak(client, call))
        await asyncio.gather(*tasks.values())
        return time.perf_counter() - began
