"""Faults of the machine: the store is locked, its disk is full, the clock jumps, the server itself is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from evals.bench.endpoint.aftermath import Line, line, not_run, warmed
from evals.bench.endpoint.clients import crowd, told
from evals.bench.endpoint.load import LIKE_A_MODEL
from evals.bench.endpoint.servers import client, engine_of, serving, start

LOCKED_S = 15
"""Longer than the store waits for another process."""

DISK_BYTES = 8 << 20
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""Debian's package `libfaketime`."""


async def locked(requests: int) -> Line:
    """Another process holds the store's write lock for as long as the load lasts."""
    with tempfile.TemporaryDirectory(prefix="chorus-locked-") as scratch:
        async with serving(LIKE_A_MODEL, "--calls-at-once", "2048", folder=Path(scratch)) as (server, http):
            before = await warmed(server, http)
            other = sqlite3.connect(Path(scratch) / "chorus.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            load = asyncio.create_task(crowd(http, requests, at_once=50))
            await asyncio.sleep(LOCKED_S)
            other.execute("ROLLBACK")
            other.close()
            return await line(f"store locked for {LOCKED_S} s by another process", await load, server, http, before)


async def full(requests: int) -> Line:
    """The disk under the store is full while the load lasts."""
    fault = "the store's disk full"
    with tempfile.TemporaryDirectory(prefix="chorus-full-") as scratch:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", scratch]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:  # noqa: ASYNC221 - short
            return not_run(fault, "it takes root to mount a small disk")
        try:
            async with serving(LIKE_A_MODEL, "--calls-at-once", "2048", folder=Path(scratch)) as (server, http):
                before = await warmed(server, http)
                ballast = Path(scratch) / "ballast"
                _fill(ballast)
                ways = await crowd(http, requests, at_once=50)
                ballast.unlink()
                ways += await crowd(http, 10, at_once=10)
                return await line(fault, ways, server, http, before)
        finally:
            subprocess.run(["umount", scratch], check=True)  # noqa: ASYNC221 - short


async def jumping(requests: int) -> Line:
    """The wall clock goes a day forward, then two back."""
    fault = "clock jumps a day forward, then two back"
    if not FAKETIME.exists():
        return not_run(fault, "libfaketime is not installed")
    with tempfile.TemporaryDirectory(prefix="chorus-clock-") as scratch:
        clock = Path(scratch) / "clock"
        clock.write_text("+0")
        environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        async with serving(LIKE_A_MODEL, "--calls-at-once", "2048", environment=environment) as (server, http):
            before, ways = await warmed(server, http), Counter[str]()
            for jump in ("+1d", "-1d"):
                load = asyncio.create_task(crowd(http, requests // 2, at_once=50))
                await asyncio.sleep(0.5)
                clock.write_text(jump)
                ways += await load
            return await line(fault, ways, server, http, before)


async def crashing(debates: int) -> Line:
    """The server is killed with debates under way, and started again on its store."""
    with tempfile.TemporaryDirectory(prefix="chorus-crash-") as scratch:
        folder, more = Path(scratch), ("--calls-at-once", "2048")
        server = await start(folder, engine_of(LIKE_A_MODEL, folder), *more)
        async with client(server) as http:
            await crowd(http, debates, at_once=debates)
            load = asyncio.create_task(crowd(http, debates, at_once=debates))
            await asyncio.sleep(0.7)
            server.kill()
            lost = await load
        again = await start(folder, engine_of(LIKE_A_MODEL, folder), *more, port=server.port)
        try:
            async with client(again) as http:
                ways = await crowd(http, debates, at_once=debates)
                fault = "server killed (SIGKILL) and started again; requests after it"
                said = f"of the {debates} requests that were under way when the server was killed: {told(lost)}"
                return await line(fault, ways, again, http, None, said)
        finally:
            again.stop()
            for one in (server, again):
                one.log.unlink()


def _fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)
