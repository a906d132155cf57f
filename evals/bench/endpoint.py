"""The endpoint under load and trouble. Run `python -m evals.bench.endpoint` (extras `serve` and `openai`).

A real server in a process of its own, on the scripted engine with delays like those of a model, and clients over loopback.
Measured: what `chorus-solo` costs over the engine call in it; hundreds of debates held at once, and how soon each
says its first word; clients that vanish; calls that fail; the memory before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from evals import report

AT_ONCE = {"default": {"text": "Answer: 56", "confidence": 0.9}, "real_time": True}
LIKE_A_MODEL = {
    "real_time": True,
    "max_concurrency": 4096,
    "latency": {"first": 0.3, "per_token": 0.02, "jitter": 0.5},
    "default": {"text": "seven sevens are forty-nine and one more seven makes it Answer: 56", "confidence": 0.9},
}
FAILING = {
    **LIKE_A_MODEL,
    "turns": [{"turn": "*.skeptic", "text": "Answer: 56", "fail": {"message": "the engine failed", "after_tokens": 0}}],
}
"""Every call of one voice in three fails."""

CAST = "skeptic,estimator,formalist"
ASK = {"messages": [{"role": "user", "content": "What is 7 * 8?"}]}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Server:
    """`chorus serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def memory_mib(self) -> float:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def running(self, http: httpx.AsyncClient) -> int:
        """Return its engine calls in flight."""
        found = re.findall(r"^chorus_engine_running_calls\{[^}]*\} (\S+)$", (await http.get("/metrics")).text, re.M)
        return int(float(found[0])) if found else 0


@contextlib.asynccontextmanager
async def serving(script: dict[str, Any], *arguments: str) -> AsyncGenerator[tuple[Server, httpx.AsyncClient]]:
    """Run a server, and give it with a client for it."""
    with tempfile.TemporaryDirectory(prefix="chorus-endpoint-") as folder:
        (Path(folder) / "script.yaml").write_text(yaml.safe_dump(script))
        command = [sys.executable, "-m", "chorus", "serve", "--port", "0", "--personas", CAST, "--drain-seconds", "1"]
        command += ["--engine", f"scripted:{folder}/script.yaml", *arguments]
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)  # noqa: ASYNC220
        try:
            assert process.stderr
            while not (found := re.search(r"listens on (\S+)", line := process.stderr.readline())):
                if not line:
                    raise RuntimeError("the server did not start")
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=found.group(1), timeout=300, trust_env=False, limits=limits) as http:
                yield Server(process, found.group(1)), http
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


async def overhead(requests: int) -> list[Sequence[Any]]:
    """What a request costs over the engine call in it, which takes no time here."""
    async with serving(AT_ONCE, "--no-store") as (server, http):
        walls, cpus = [], []
        for number in range(requests + 50):
            before, began = server.cpu_s(), time.perf_counter()
            (await http.post("/v1/chat/completions", json={"model": "chorus-solo", **ASK})).raise_for_status()
            if number >= 50:  # the first ones warm up
                walls.append(1000 * (time.perf_counter() - began))
                cpus.append(1000 * (server.cpu_s() - before))
        # A tick of the CPU clock is 10 ms, so single requests can't be told apart: the mean can.
        ranked = sorted(walls)
        return [
            ("chorus-solo, wall over an engine that takes no time, p50", f"{statistics.median(walls):.1f} ms", "3 ms"),
            ("the same, p99", f"{ranked[int(0.99 * len(ranked))]:.1f} ms", "10 ms"),
            ("the same, CPU of the server, mean", f"{statistics.mean(cpus):.1f} ms", "–"),
        ]


async def held(debates: int) -> list[Sequence[Any]]:
    """Debates held at once, each streamed to a client."""
    async with serving(LIKE_A_MODEL, "--no-store", "--calls-at-once", "2048") as (server, http):
        await _stream(http)
        before, firsts, peak = server.memory_mib(), [], 0.0

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, server.memory_mib())
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        results = await asyncio.gather(*(_stream(http) for _ in range(debates)), return_exceptions=True)
        wall = time.perf_counter() - began
        watching.cancel()
        firsts = sorted(result for result in results if isinstance(result, float))
        return [
            (f"{debates} debates streamed at once: answered", f"{len(firsts)} of {debates}", "all"),
            ("the same: wall", f"{wall:.1f} s", "–"),
            ("the same: first event, p50 and p95", f"{_at(firsts, 0.5):.2f} s and {_at(firsts, 0.95):.2f} s", "–"),
            (
                "the same: memory before, most, after",
                f"{before:.0f}, {peak:.0f}, {server.memory_mib():.0f} MiB",
                "bounded",
            ),
        ]


async def vanishing(clients: int) -> list[Sequence[Any]]:
    """Clients that open a stream and drop it."""
    async with serving(LIKE_A_MODEL, "--no-store", "--calls-at-once", "2048") as (server, http):
        await _stream(http)
        before, draw = server.memory_mib(), random.Random(0)

        async def vanish() -> None:
            with contextlib.suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(draw.uniform(0.01, 2.0)):
                    await _stream(http)

        for _ in range(clients // 100):
            await asyncio.gather(*(vanish() for _ in range(100)))
        left = time.perf_counter()
        while await server.running(http):  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.02)
        stopped = time.perf_counter() - left
        return [
            (f"{clients} clients that vanish: until no call runs any more", f"{stopped:.2f} s", "1 s"),
            ("the same: memory before and after", f"{before:.0f}, {server.memory_mib():.0f} MiB", "back to its start"),
        ]


async def failing(debates: int) -> list[Sequence[Any]]:
    """Calls that fail: one voice in three can't speak, whatever is tried."""
    async with serving(FAILING, "--calls-at-once", "2048") as (server, http):

        async def ask() -> str:
            reply = await http.post("/v1/chat/completions", json={"model": "chorus", **ASK})
            return "answered" if reply.status_code == 200 else str(reply.json()["error"]["code"])

        results = await asyncio.gather(*(ask() for _ in range(debates)), return_exceptions=True)
        told = {str(kind): results.count(kind) for kind in dict.fromkeys(results)}
        listed = (await http.get("/v1/debates", params={"limit": 200, "needs_review": True})).json()["data"]
        return [
            (f"{debates} debates in which a third of the calls fails", json.dumps(told), "an answer or a clear error"),
            ("the same: marked for a person's eye", f"{len(listed)} of the newest 200", "all"),
            ("the same: engine calls left running", str(await server.running(http)), "0"),
        ]


async def _stream(http: httpx.AsyncClient) -> float:
    """Ask in a stream, read it to its end, and return the seconds to the first event of the debate."""
    began, first = time.perf_counter(), None
    async with http.stream("POST", "/v1/chat/completions", json={"model": "chorus", "stream": True, **ASK}) as reply:
        reply.raise_for_status()
        async for line in reply.aiter_lines():
            if first is None and '"reasoning"' in line:
                first = time.perf_counter() - began
    if first is None:
        raise RuntimeError("the stream held no debate")
    return first


def _at(ranked: Sequence[float], share: float) -> float:
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)] if ranked else float("nan")


async def measure(options: argparse.Namespace) -> list[Sequence[Any]]:
    """Return all rows."""
    rows: list[Sequence[Any]] = []
    for part in (
        overhead(options.requests),
        held(options.debates),
        vanishing(options.clients),
        failing(options.debates // 5),
    ):
        rows += await part
        for row in rows[-4:]:
            print(*row, sep=" | ")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write `endpoint.json` and `endpoint.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--debates", type=int, default=500)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=report.RESULTS)
    options = parser.parse_args(arguments)
    rows = asyncio.run(measure(options))
    path = report.write(
        "endpoint",
        "The endpoint under load and trouble, scripted engine, clients on the same machine",
        "python -m evals.bench.endpoint",
        ("what", "figure", "aimed at"),
        rows,
        seed=0,
        notes=[
            "a debate is three voices over two rounds; a call takes 0.15–0.45 s to its first token, then 10–30 ms a token",
            "server and clients share two cores, so walls hold the clients' work too",
        ],
        folder=options.folder,
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
