"""A real server in a process of its own, on loopback, for tests: `with serving(...) as server:`."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from command_line import start

START_S = 120.0

SCRIPT = {
    "real_time": True,
    "turns": [
        {"turn": "1.skeptic", "text": "Seven sevens are 49, and some more. Answer: 54", "confidence": 0.25},
        {"turn": "1.formalist", "text": "70 less 14 is 56, <b>surely</b>. Answer: 56", "confidence": 0.45},
        {"turn": "2.skeptic", "text": "My 54 had no ground. Answer: 56", "confidence": 0.45},
    ],
    "default": {"text": "Answer: 56", "confidence": 0.4},
    "latency": {"first": 0.02, "per_token": 0.005},
}
"""Three voices; the skeptic changes its mind. None is so sure that the others would not be waited for."""

CAST = "skeptic,estimator,formalist"


@dataclass
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[str]
    said: list[str]

    @property
    def base(self) -> str:
        """OpenAI's base URL."""
        return f"{self.url}/v1"

    def client(self, **options: Any) -> httpx.Client:
        """A plain HTTP client for it."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30, **options)

    def running(self) -> int:
        """Engine calls in flight, by the server's own count."""
        with self.client() as http:
            found = re.findall(r"^chorus_engine_running_calls\{[^}]*\} (\S+)$", http.get("/metrics").text, re.M)
        return int(float(found[0])) if found else 0

    def stop(self) -> int:
        """End it as an operator would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, script: dict[str, Any] | None = None, engine: str = "") -> Iterator[Server]:
    """Run `chorus serve` in a folder until the block is left."""
    if not engine:
        (folder / "script.yaml").write_text(yaml.safe_dump(script or SCRIPT))
        engine = f"scripted:{folder / 'script.yaml'}"
    options = ("serve", "--port", "0", "--engine", engine, "--personas", CAST)
    process = start(*options, *arguments, cwd=folder)
    said: list[str] = []
    listening = threading.Event()

    def read() -> None:
        for line in process.stderr or ():
            said.append(line)
            if "listens on" in line:
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listening.wait(START_S), said
        found = re.search(r"listens on (\S+)", "".join(said))
        assert found, said
        yield Server(found.group(1), process, said)
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def sse(text: str) -> list[dict[str, Any]]:
    """The messages of a server-sent stream: id, event and data, which is read as JSON."""
    messages = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":") and ": " in line)
        if "data" in fields and fields["data"] != "[DONE]":
            messages.append({**fields, "data": json.loads(fields["data"])})
    return messages
