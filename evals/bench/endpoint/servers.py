"""`chorus serve` in a process of its own, as an operator runs it, and what can be read off it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

CAST = "skeptic,estimator,formalist"
START_S = 180.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Server:
    """One server. Made by `start`; `log` holds what it says."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""
        """`http://127.0.0.1:PORT`."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def memory_mib(self) -> float:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as an operator would; after 30 s as a crash would."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()


async def start(
    folder: Path, engine: str, *arguments: str, port: int = 0, environment: Mapping[str, str] | None = None
) -> Server:
    """Run a server in a folder, and return it once it listens. Raises RuntimeError when it doesn't.

    Args:
        folder: its working directory, where its store is unless the arguments say otherwise.
        engine: SPEC.
        *arguments: of `chorus serve`.
        port: 0 takes a free one.
        environment: variables beside those of this process.
    """
    command = [sys.executable, "-m", "chorus", "serve", "--port", str(port), "--personas", CAST, "--engine", engine]
    command += ["--drain-seconds", "1", *arguments]
    server = _begun(command, folder, os.environ | dict(environment or {}))
    try:
        async with asyncio.timeout(START_S):
            while server.process.poll() is None and not server.url:
                found = re.search(r"listens on (\S+)", server.log.read_text())
                server.url = found.group(1) if found else ""
                await asyncio.sleep(0.05)
    finally:
        if not server.url:
            server.kill()
    if not server.url:
        raise RuntimeError(f"the server did not start: {server.log.read_text()[-2000:]}")
    return server


@contextlib.asynccontextmanager
async def serving(
    script: Mapping[str, Any] | str,
    *arguments: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[tuple[Server, httpx.AsyncClient]]:
    """Run a server, and give it with a client for it.

    Args:
        script: of a scripted engine, or the SPEC of another one.
        *arguments: of `chorus serve`.
        folder: its working directory; one of its own when left out.
        environment: variables beside those of this process.
    """
    with tempfile.TemporaryDirectory(prefix="chorus-endpoint-") as scratch:
        server = await start(
            folder or Path(scratch), engine_of(script, Path(scratch)), *arguments, environment=environment
        )
        try:
            async with client(server) as http:
                yield server, http
        finally:
            server.stop()
            server.log.unlink()


def _begun(command: list[str], folder: Path, environment: Mapping[str, str]) -> Server:
    handle, log = tempfile.mkstemp(prefix="chorus-serve-", suffix=".log")
    with os.fdopen(handle, "wb") as out:
        return Server(subprocess.Popen(command, cwd=folder, stderr=out, env=environment), Path(log))


def engine_of(script: Mapping[str, Any] | str, folder: Path) -> str:
    """Return the SPEC of an engine that plays a script, which is written into the folder; a SPEC comes back as it is."""
    if isinstance(script, str):
        return script
    (folder / "script.yaml").write_text(yaml.safe_dump(dict(script)))
    return f"scripted:{folder}/script.yaml"


def client(server: Server) -> httpx.AsyncClient:
    """Return a client that opens as many connections as it is asked for."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=server.url, timeout=120, trust_env=False, limits=limits)


async def running(http: httpx.AsyncClient) -> int:
    """Return a server's engine calls in flight, by its own count."""
    found = re.findall(r"^chorus_engine_running_calls\{[^}]*\} (\S+)$", (await http.get("/metrics")).text, re.M)
    return sum(int(float(calls)) for calls in found)
