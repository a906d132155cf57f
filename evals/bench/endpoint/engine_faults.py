"""Faults of the engine: it dies and comes back, it fails every fifth call."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from evals.bench.endpoint.aftermath import Line, line, warmed
from evals.bench.endpoint.clients import crowd
from evals.bench.endpoint.load import LIKE_A_MODEL
from evals.bench.endpoint.servers import Server, engine_of, serving, start

FAILING = {
    **LIKE_A_MODEL,
    "default": {
        **LIKE_A_MODEL["default"],
        "fail": {"share": 0.2, "after_tokens": 3, "retryable": True, "message": "the engine failed"},
    },
}
BROKEN = {
    **LIKE_A_MODEL,
    "default": {**LIKE_A_MODEL["default"], "fail": {"share": 0.2, "message": "the engine failed"}},
}


async def killed(at_once: int) -> Line:
    """An engine in a process of its own, killed three times while debates are held, and started again."""
    with tempfile.TemporaryDirectory(prefix="chorus-engine-") as scratch:
        folder = Path(scratch)
        script = engine_of(LIKE_A_MODEL, folder)
        # An OpenAI-compatible server as the engine: ours will do, with one voice and no store.
        engine = await start(folder, script, "--no-store")
        try:
            async with serving(f"openai:{engine.url}/v1#chorus-solo", "--calls-at-once", "64") as (server, http):
                before, over = await warmed(server, http), asyncio.Event()
                load = asyncio.create_task(_until(over, http, at_once))
                for _ in range(3):
                    await asyncio.sleep(2)
                    _gone(engine)
                    await asyncio.sleep(1)
                    engine = await start(folder, script, "--no-store", port=engine.port)
                over.set()
                fault = "engine killed and started again three times under load"
                return await line(fault, await load, server, http, before)
        finally:
            _gone(engine)


async def failing(requests: int, *, passing: bool) -> Line:
    """A fifth of the calls fails; where that may pass, amid their words, and they are made again."""
    async with serving(FAILING if passing else BROKEN, "--calls-at-once", "2048") as (server, http):
        before = await warmed(server, http)
        ways = await crowd(http, requests, at_once=50)
        kind = "amid their words, and may be made again" if passing else "for good"
        return await line(f"20% of the calls fail, {kind}", ways, server, http, before)


async def _until(over: asyncio.Event, http: httpx.AsyncClient, at_once: int) -> Counter[str]:
    """Keep so many requests going until it is over, and count how they ended."""
    ways: Counter[str] = Counter()

    async def one(number: int) -> None:
        while not over.is_set():
            ways.update(await crowd(http, 1 + number % 2, at_once=1))

    await asyncio.gather(*(one(number) for number in range(at_once)))
    return ways


def _gone(engine: Server) -> None:
    engine.kill()
    engine.log.unlink()
