"""A vLLM server of one's own, for as long as a benchmark runs: on a CPU or a GPU, with prefixes cached.

Needs an environment with vLLM. `counters` reads what the server itself has counted, so that whoever calls it is measured
alike; `reset` empties the prefix cache between two measurements.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from chorus import checkpoints

START_S = 600.0
"""A large model on a GPU may take minutes to load and compile."""

CPU_ARGUMENTS = ("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "32", "--block-size", "32")
"""What suits a CPU; FACTS: bfloat16 is slower there, and a seeded request whose prompt is cut up kills the engine."""

COUNTERS = {
    "prompt_tokens": "vllm:prompt_tokens_total",
    "completion_tokens": "vllm:generation_tokens_total",
    "cached_tokens": "vllm:prefix_cache_hits_total",
    "calls": "vllm:request_success_total",
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
}


class Served:
    """One server. Made by `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], root: str, model: str, log: Path) -> None:
        self._process = process
        self.root = root
        """`http://127.0.0.1:PORT`."""
        self.url = f"{root}/v1"
        self.model = model
        self.log = log

    def counters(self) -> dict[str, float]:
        """Return what the server has counted since it started, by the names of `COUNTERS`."""
        text = self._ask("/metrics")
        return {
            name: sum(float(value) for value in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", text, re.M))
            for name, metric in COUNTERS.items()
        }

    def reset(self) -> None:
        """Empty the prefix cache. The server takes it only while nothing runs, so that is waited for."""
        while (now := self.counters())["running"] or now["waiting"]:
            time.sleep(0.05)
        self._ask("/reset_prefix_cache", method="POST")

    def _ask(self, path: str, method: str = "GET") -> str:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(urllib.request.Request(self.root + path, method=method), timeout=30) as answer:
            return str(answer.read().decode())

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._ask("/health")
                return
            time.sleep(0.5)
        raise RuntimeError("the vLLM server did not start:\n" + self.log.read_text("utf-8", "replace")[-3000:])


@contextlib.contextmanager
def serve(model: str = "smollm2-135m", arguments: Sequence[str] = (), *, max_model_len: int = 4096) -> Iterator[Served]:
    """Run a server on a free port, and end it and its processes whichever way the block is left.

    Args:
        model: a name that `chorus models` knows, or a folder.
        arguments: of vLLM's, which go before ours.
        max_model_len: tokens of prompt and completion together.

    Raises:
        RuntimeError: it did not start; the message ends with its log.
    """
    folder = checkpoints.resolve(model, print)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(folder), "--served-model-name", model, "--max-model-len", str(max_model_len)]
    command += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    if on_cpu():
        command += [*CPU_ARGUMENTS, "--kv-cache-memory-bytes", str(4 << 30), "--no-enable-chunked-prefill"]
    environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1"}  # for /reset_prefix_cache
    if on_cpu():
        environment["TORCH_COMPILE_DISABLE"] = "1"
    with tempfile.TemporaryDirectory(prefix="chorus-vllm-") as scratch:
        log = Path(scratch) / "server.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        server = Served(process, f"http://127.0.0.1:{port}", model, log)
        try:
            server._wait()
            yield server
        finally:
            _end(process)


def on_cpu() -> bool:
    """Tell whether vLLM would compute on a CPU here."""
    import torch

    return not torch.cuda.is_available()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to go, then its whole process group, engine included."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, name)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
