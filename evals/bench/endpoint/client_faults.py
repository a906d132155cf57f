"""Faults of the clients: they read slowly, they vanish."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import statistics
import time
from collections import Counter

import httpx

from evals.bench.endpoint.aftermath import Line, line, warmed
from evals.bench.endpoint.clients import ANSWERED, NOTHING, ask, stream
from evals.bench.endpoint.load import LIKE_A_MODEL
from evals.bench.endpoint.servers import Server, running, serving

LONG = {
    **LIKE_A_MODEL,
    "context_window": 1 << 20,
    "turns": [{"contains": "everything", "repeat": {"char": "words ", "times": 10_000}, "latency": {"first": 0.1}}],
}
"""Sixty thousand characters a turn where everything is asked for."""

EVERYTHING = {"model": "chorus", "stream": True, "messages": [{"role": "user", "content": "Tell me everything."}]}
CHUNK = 16_384
"""Bytes that a slow reader takes at once, and about what its socket holds."""


async def slow(readers: int) -> Line:
    """Streams of most of a megabyte, read at 160 KB a second; and what others notice of them."""
    async with serving(LONG, "--calls-at-once", "2048", "--max-tokens", "20000") as (server, http):
        before = await warmed(server, http)
        alone = [await _timed(http) for _ in range(10)]
        reading = [asyncio.create_task(_read_slowly(server)) for _ in range(readers)]
        await asyncio.sleep(2)
        meanwhile = [await _timed(http) for _ in range(10)]
        behind = sum(not reader.done() for reader in reading)
        ways = Counter(await asyncio.gather(*reading))
        told = (
            f"{behind} slow readers still behind, a quick one's `chorus-solo` takes {statistics.median(meanwhile):.2f} s, "
            f"{statistics.median(alone):.2f} s without them"
        )
        return await line(f"{readers} slow readers of long debates", ways, server, http, before, told)


async def vanishing(clients: int) -> Line:
    """Clients that open a stream and drop it at any moment; and how long their calls go on."""
    async with serving(LIKE_A_MODEL, "--calls-at-once", "2048") as (server, http):
        before, draw = await warmed(server, http), random.Random(0)

        async def vanish() -> str:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(draw.uniform(0.01, 2.0)):
                    return (await stream(http))[0]
            return "left"

        ways: Counter[str] = Counter()
        for _ in range(clients // 100):
            ways.update(await asyncio.gather(*(vanish() for _ in range(100))))
        left = time.perf_counter()
        while await running(http):  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.02)
        told = f"{time.perf_counter() - left:.2f} s after the last client vanished no call ran any more (aim: 1 s)"
        return await line(f"{clients} clients that vanish", ways, server, http, before, told)


async def _timed(http: httpx.AsyncClient) -> float:
    began = time.perf_counter()
    await ask(http, model="chorus-solo")
    return time.perf_counter() - began


async def _read_slowly(server: Server) -> str:
    """Ask over a socket that holds little, take a little at a time, and return how the stream ended."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=CHUNK)
    body = json.dumps(EVERYTHING).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body)
    last = b""
    with contextlib.suppress(OSError):
        while piece := await reader.read(CHUNK):
            last = (last + piece)[-CHUNK:]
            await asyncio.sleep(0.1)
    writer.close()
    if b"data: [DONE]" in last:
        return ANSWERED
    return "error in the stream" if b'data: {"error"' in last else NOTHING
