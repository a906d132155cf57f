"""What a crowd of clients is answered: each request ends in an answer, in an error that says so, or in nothing.

The last must not happen: a stream that just ends raises nothing in OpenAI's clients, and its reader takes half an answer
for a whole one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import httpx

ASKED = {"messages": [{"role": "user", "content": "What is 7 * 8?"}]}
ANSWERED = "answered"
NOTHING = "no answer and no error"


async def ask(http: httpx.AsyncClient, *, model: str = "chorus") -> str:
    """Ask for one object, and return how that ended."""
    try:
        reply = await http.post("/v1/chat/completions", json={"model": model, **ASKED})
        body = reply.json()
    except (httpx.HTTPError, ValueError):
        return NOTHING
    if reply.status_code == 200:
        return ANSWERED if body["choices"][0]["message"]["content"] else NOTHING
    return f"error {reply.status_code}" if body.get("error", {}).get("message") else NOTHING


async def stream(http: httpx.AsyncClient, *, model: str = "chorus") -> tuple[str, float]:
    """Ask for a stream, and return how it ended, and the seconds to the first word of the debate (NaN: none came)."""
    began, first, content = time.perf_counter(), float("nan"), ""
    body = {"model": model, "stream": True, **ASKED}
    try:
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            if reply.status_code != 200:
                return f"error {reply.status_code}", first
            async for line in reply.aiter_lines():
                if line == "data: [DONE]":
                    return ANSWERED if content else NOTHING, first
                if not line.startswith("data: "):
                    continue
                chunk: dict[str, Any] = json.loads(line[6:])
                if chunk.get("error", {}).get("message"):
                    return "error in the stream", first
                delta = chunk["choices"][0]["delta"]
                if first != first and delta.get("reasoning"):
                    first = time.perf_counter() - began
                content += delta.get("content") or ""
    except (httpx.HTTPError, ValueError):
        pass
    return NOTHING, first


async def crowd(http: httpx.AsyncClient, requests: int, at_once: int) -> Counter[str]:
    """Ask so many times, every other one in a stream, and count how the requests ended."""
    room = asyncio.Semaphore(at_once)

    async def one(number: int) -> str:
        async with room:
            return (await stream(http))[0] if number % 2 else await ask(http)

    return Counter(await asyncio.gather(*(one(number) for number in range(requests))))


def told(ways: Counter[str]) -> str:
    """Return in words how requests ended."""
    return ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
