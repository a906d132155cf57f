"""An endpoint that takes its time: OpenAI's streaming API on loopback, without a model. `python -m evals.bench.simulated`.

It computes a bounded number of calls at once, as an engine does, and the others wait: a second endpoint is then worth
something. Every reply is the same text, token by token. `GET /v1/calls` tells how many calls were made, and how long ago
the first was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

MODEL = "simulated"
TOKENS = ("Seven ", "eights ", "are ", "fifty", "-six.", "\n", "Answer: ", "56")


class Simulated:
    """The endpoint.

    Args:
        slots: calls computed at once.
        first_s: seconds to the first token of a call.
        per_token_s: seconds to each further one.
    """

    def __init__(self, slots: int, first_s: float, per_token_s: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._first_s = first_s
        self._per_token_s = per_token_s
        self._calls = 0
        self._first = 0.0
        """When the first call came, on the monotonic clock."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = head.partition("content-length:")[2].split("\r\n")[0].strip()
                await reader.readexactly(int(length or 0))
                if "/models " in head:
                    self._send(writer, {"object": "list", "data": [{"id": MODEL, "max_model_len": 8192}]})
                elif "/calls " in head:
                    since_s = time.monotonic() - self._first if self._calls else 0.0
                    self._send(writer, {"calls": self._calls, "since_s": since_s})
                else:
                    self._first = self._first or time.monotonic()
                    self._calls += 1
                    await self._stream(writer)
                await writer.drain()
        writer.close()

    def _send(self, writer: asyncio.StreamWriter, body: object) -> None:
        raw = json.dumps(body).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw
        )

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        async with self._slots:
            await asyncio.sleep(self._first_s)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for number, token in enumerate(TOKENS):
                if number:
                    await asyncio.sleep(self._per_token_s)
                self._event(writer, {"choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
                await writer.drain()
        self._event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 100, "completion_tokens": len(TOKENS), "total_tokens": 100 + len(TOKENS)}
        self._event(writer, {"choices": [], "usage": usage})
        self._write(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def _event(self, writer: asyncio.StreamWriter, body: object) -> None:
        self._write(writer, b"data: " + json.dumps(body).encode() + b"\n\n")

    def _write(self, writer: asyncio.StreamWriter, raw: bytes) -> None:
        writer.write(b"%x\r\n%s\r\n" % (len(raw), raw))


def call_s(first_s: float, per_token_s: float) -> float:
    """Return the seconds that a call keeps a slot: never less, and a little more."""
    return first_s + (len(TOKENS) - 1) * per_token_s


def calls_of(url: str) -> tuple[int, float]:
    """Return how many calls were made of the endpoint at a base URL, and the seconds since the first."""
    with urllib.request.urlopen(f"{url}/calls") as response:
        said = json.load(response)
    return said["calls"], said["since_s"]


@contextlib.contextmanager
def serve(slots: int, first_s: float, per_token_s: float) -> Iterator[str]:
    """Run an endpoint in a process of its own, and yield its base URL."""
    arguments = [f"--slots={slots}", f"--first-s={first_s}", f"--per-token-s={per_token_s}"]
    command = [sys.executable, "-m", "evals.bench.simulated", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _run(slots: int, first_s: float, per_token_s: float) -> None:
    server = await asyncio.start_server(Simulated(slots, first_s, per_token_s).connected, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed; the first line printed is the base URL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--first-s", type=float, default=0.2)
    parser.add_argument("--per-token-s", type=float, default=0.03)
    options = parser.parse_args()
    asyncio.run(_run(options.slots, options.first_s, options.per_token_s))


if __name__ == "__main__":
    main()
