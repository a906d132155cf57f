"""What is left once a fault is over: one line of the fault table."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from evals.bench.endpoint.clients import NOTHING, crowd, told
from evals.bench.endpoint.servers import Server, running

COLUMNS = (
    "fault",
    "how the requests ended",
    "neither answer nor error (aim: 0)",
    "engine calls left running (aim: 0)",
    "debates stored, and of these not whole (aim: 0)",
    "memory before and after, MiB",
)

IDLE_S = 15.0
"""How long the last calls and writes may take once the load is off."""

WARMING = 60
"""Requests before the memory is read for the first time: they load what is loaded once."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fault."""

    cells: tuple[Any, ...]
    said: str = ""
    """What else there is to say of it, below the table."""


async def warmed(server: Server, http: httpx.AsyncClient) -> float:
    """Return the memory of a server that has answered some requests, in MiB."""
    await crowd(http, WARMING, at_once=20)
    await _idle(http)
    return server.memory_mib()


async def line(
    fault: str, ways: Counter[str], server: Server, http: httpx.AsyncClient, before: float | None, said: str = ""
) -> Line:
    """Return a fault's line.

    Args:
        fault: in words.
        ways: how the requests under it ended.
        server: that suffered it.
        http: a client of it.
        before: its memory before; None where another process had it.
        said: what else there is to say.
    """
    await _idle(http)
    left = await running(http)
    stored, broken = await _stored(http)
    memory = f"{server.memory_mib():.0f}"
    memory = f"{before:.0f}, {memory}" if before is not None else f"–, {memory}"
    return Line((fault, told(ways), ways[NOTHING], left, f"{stored}, {broken}", memory), said)


def not_run(fault: str, why: str) -> Line:
    """Return the line of a fault that can't be made here."""
    return Line((fault, f"not run: {why}", *["–"] * (len(COLUMNS) - 2)))


async def _idle(http: httpx.AsyncClient) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(IDLE_S):
            while await running(http) or await _writing(http):  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.1)


async def _writing(http: httpx.AsyncClient) -> bool:
    return any(row["status"] == "running" for row in (await _page(http, None))["data"])


async def _stored(http: httpx.AsyncClient) -> tuple[int, int]:
    """Return how many debates the server lists, and how many of them are not whole: still running, or unreadable."""
    stored, broken, before = 0, 0, None
    while True:
        page = await _page(http, before)
        for row in page["data"]:
            stored += 1
            broken += row["status"] == "running" or not await _whole(http, row["id"], row["status"])
        if not page["has_more"]:
            return stored, broken
        before = page["data"][-1]["id"]


async def _whole(http: httpx.AsyncClient, debate: str, status: str) -> bool:
    """Tell whether a debate's record and events can be read. One that died with its server has neither, and says so."""
    record = await http.get(f"/v1/debates/{debate}")
    if record.status_code == 404:
        return status == "cut"
    events = await http.get(f"/v1/debates/{debate}/events")
    taken = 0 <= record.json()["usage"]["wall_s"] < 600
    return taken and events.status_code == 200 and "event: decided" in events.text


async def _page(http: httpx.AsyncClient, before: str | None) -> dict[str, Any]:
    reply = await http.get("/v1/debates", params={"limit": 200, **({"before": before} if before else {})})
    reply.raise_for_status()
    page: dict[str, Any] = reply.json()
    return page
