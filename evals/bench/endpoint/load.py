"""Load: what the server costs over the engine, hundreds of debates at once, and its throughput on a real vLLM."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import httpx

from chorus.chorus import Chorus
from evals.bench import served
from evals.bench.driving import Noting, replay
from evals.bench.endpoint.clients import ANSWERED, ASKED, stream
from evals.bench.endpoint.servers import CAST, Server, serving

AT_ONCE = {"default": {"text": "Answer: 56", "confidence": 0.9}, "real_time": True}
LIKE_A_MODEL: dict[str, Any] = {
    "real_time": True,
    "max_concurrency": 4096,
    "latency": {"first": 0.3, "per_token": 0.02, "jitter": 0.5},
    "default": {"text": "seven sevens are forty-nine and one more seven makes it Answer: 56", "confidence": 0.9},
}

Row = Sequence[Any]


async def overhead(requests: int) -> list[Row]:
    """What a request costs over the engine call in it, which takes no time here; and what any answer costs."""
    async with serving(AT_ONCE, "--no-store") as (server, http):
        body = {"model": "chorus-solo", **ASKED}
        walls, cpu = await _one_by_one(lambda: http.post("/v1/chat/completions", json=body), server, requests)
        bare, least = await _one_by_one(lambda: http.get("/health"), server, requests)
    return [
        ("chorus-solo, wall over an engine that takes no time, p50", f"{statistics.median(walls):.1f} ms", "3 ms"),
        ("the same, p99", f"{_at(walls, 0.99):.1f} ms", "10 ms"),
        ("the same, CPU of the server, mean", f"{cpu:.1f} ms", "–"),
        (
            "`/health` of the same server, which does nothing: wall p50 and p99, CPU",
            f"{statistics.median(bare):.1f} ms, {_at(bare, 0.99):.1f} ms, {least:.1f} ms",
            "–",
        ),
    ]


async def held(debates: int) -> list[Row]:
    """Debates held at once, each streamed to a client, three times over: what is kept would add up."""
    async with serving(LIKE_A_MODEL, "--calls-at-once", "2048") as (server, http):
        alone = [(await stream(http))[1] for _ in range(5)]
        before, after = server.memory_mib(), []
        async with _watched(server) as most:
            began, cpu = time.perf_counter(), server.cpu_s()
            came = await asyncio.gather(*(stream(http) for _ in range(debates)))
            wall, cpu = time.perf_counter() - began, server.cpu_s() - cpu
            after.append(server.memory_mib())
            for _ in range(2):
                came += await asyncio.gather(*(stream(http) for _ in range(debates)))
                after.append(server.memory_mib())
        answered = sum(way == ANSWERED for way, _ in came)
        firsts = sorted(first for _, first in came[:debates])
        spread = sorted(await _arriving(http, debates, seconds=debates / 40))
        return [
            (f"{debates} debates streamed at once, three times: answered", f"{answered} of {3 * debates}", "all"),
            ("the same: wall, CPU of the server, the first time", f"{wall:.1f} s, {cpu:.1f} s", "–"),
            (
                "first event of a debate alone, median of 5",
                f"{statistics.median(alone):.2f} s",
                "the first token's time",
            ),
            (f"of {debates} that come within one moment, p50 and p95", _quantiles(firsts), "–"),
            (f"of {debates} that come at 40 a second, p50 and p95", _quantiles(spread), "the first token's time"),
            ("memory before, at most, after each of the three times", _mib(before, most[0], *after), "bounded"),
        ]


async def on_vllm(questions: int, model: str) -> list[Row]:
    """The same single-voice calls given to a vLLM server: by a bare client, and by way of `chorus serve`."""
    # Open questions: whatever is said is an answer, so that no call is a failure.
    asked = [f"Tell me about a day in the life of a cat that is {number + 1} years old." for number in range(questions)]
    with served.serve(model) as vllm:
        spec = f"openai:{vllm.url}#{model}"
        async with Chorus(engine=spec, personas=CAST, mode="solo", max_tokens=32) as chorus:
            noting = Noting(await chorus.open())
            solo = Chorus(noting, personas=CAST, mode="solo", max_tokens=32)
            await asyncio.gather(*(solo.aask(question) for question in asked))
        bare, by_way = [], []
        async with serving(spec, "--no-store", "--max-tokens", "32", "--calls-at-once", "2048") as (_, http):
            for _ in range(3):
                vllm.reset()
                bare.append(await replay(vllm.url, model, noting.calls, None))
                vllm.reset()
                before, began = vllm.counters(), time.perf_counter()
                await asyncio.gather(*(_solo(http, question) for question in asked))
                by_way.append(time.perf_counter() - began)
                used = served.since(before, vllm.settled())
    tokens = sum(call.completion.usage.completion_tokens for call in noting.calls)
    ratios = [one / other for one, other in zip(bare, by_way, strict=True)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
    return [
        (
            f"{questions} single-voice calls at once on vLLM, bare client",
            f"{tokens / statistics.median(bare):.0f} tokens/s",
            "–",
        ),
        (
            "the same by way of chorus-solo",
            f"{used['completion_tokens'] / statistics.median(by_way):.0f} tokens/s",
            "–",
        ),
        ("throughput over the bare client's, median of 3 pairs", spread, "1"),
    ]


async def _one_by_one(
    ask: Callable[[], Awaitable[httpx.Response]], server: Server, requests: int
) -> tuple[list[float], float]:
    """Return what requests took, ranked, and the mean of the server's CPU for one, both in ms."""
    walls = []
    for number in range(requests + 50):
        if number == 50:  # the first ones warm up
            before = server.cpu_s()
        began = time.perf_counter()
        (await ask()).raise_for_status()
        walls.append(1000 * (time.perf_counter() - began))
    return sorted(walls[50:]), 1000 * (server.cpu_s() - before) / requests


async def _solo(http: httpx.AsyncClient, question: str) -> None:
    body = {"model": "chorus-solo", "messages": [{"role": "user", "content": question}]}
    (await http.post("/v1/chat/completions", json=body)).raise_for_status()


async def _arriving(http: httpx.AsyncClient, debates: int, seconds: float) -> list[float]:
    """Return the seconds to the first event of debates that begin one after another."""

    async def one(number: int) -> float:
        await asyncio.sleep(seconds * number / debates)
        return (await stream(http))[1]

    return list(await asyncio.gather(*(one(number) for number in range(debates))))


@contextlib.asynccontextmanager
async def _watched(server: Server) -> AsyncGenerator[list[float]]:
    """Give a list whose one figure is the most memory that the server had, in MiB."""
    most = [0.0]

    async def watch() -> None:
        while True:
            most[0] = max(most[0], server.memory_mib())
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield most
    finally:
        watching.cancel()


def _mib(*figures: float) -> str:
    return ", ".join(f"{figure:.0f}" for figure in figures) + " MiB"


def _quantiles(ranked: Sequence[float]) -> str:
    return f"{_at(ranked, 0.5):.2f} s and {_at(ranked, 0.95):.2f} s"


def _at(ranked: Sequence[float], share: float) -> float:
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)] if ranked else float("nan")
