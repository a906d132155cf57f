"""A real vLLM server on the packaged model, on this machine, for as long as a test module runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

MODEL = "smollm2-135m"
START_S = 480.0
PATIENCE_S = 60.0
"""How long it may take over a question about itself: where it is busy, and so is the machine, that is seconds."""


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class VllmServer:
    """Serves the checkpoint in a folder under the name `MODEL`, with prefix caching. `more` are arguments of vLLM's own."""

    def __init__(self, folder: Path, log: Path, *more: str, max_model_len: int, port: int | None = None) -> None:
        port = port or free_port()
        self.port = port
        self.root = f"http://127.0.0.1:{port}"
        self.log = log
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--model", str(folder), "--served-model-name", MODEL, "--dtype", "float32"]
        command += ["--enforce-eager", "--max-model-len", str(max_model_len), "--max-num-seqs", "32"]
        command += ["--kv-cache-memory-bytes", str(1 << 30), "--block-size", "32", "--no-enable-chunked-prefill"]
        command += ["--enable-prefix-caching", "--enable-prompt-tokens-details", *more]
        self._command = command
        self.start()

    def start(self) -> None:
        """Start it; after its end again, on the same port."""
        self._killed = False
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self) -> None:
        """Return once it answers; raise with the end of its log when it ends instead."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                self._get("/health")
            except OSError:
                time.sleep(0.5)
            else:
                return
        self.stop()
        raise RuntimeError("the vLLM server did not start:\n" + self.log.read_text("utf-8", "replace")[-3000:])

    def running(self) -> int:
        """Return how many requests its scheduler holds, running or waiting."""
        found = re.findall(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\} ([\d.]+)", self._get("/metrics"), re.M)
        assert found
        return int(sum(map(float, found)))

    def death(self) -> str | None:
        """Return the end of its log when it has ended of itself."""
        if self._process.poll() is None or self._killed:
            return None
        return self.log.read_text("utf-8", "replace")[-3000:]

    def revive(self) -> None:
        """Start it again when it has ended, and return once it answers."""
        if self._process.poll() is not None:
            self.start()
        self.wait()

    def kill(self) -> None:
        """End it and its processes as a crash would: at once, without a word."""
        self._killed = True
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it and its processes: those that it leaves behind when it is asked to go amid its start too."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _get(self, path: str) -> str:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.root + path, timeout=PATIENCE_S) as answer:
            return answer.read().decode()
