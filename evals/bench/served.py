"""A vLLM server of one's own, for as long as a benchmark runs: on a CPU or a GPU, with prefixes cached.

    with serve("smollm2-135m") as server:
        server.reset()          # nothing is cached
        before = server.counters()
        ...                     # call server.url
        used = since(before, server.counters())

Needs an environment with vLLM. Invariants:

- the server counts for itself (`counters`), so that whoever calls it is measured alike;
- it and its processes end with the block, and with this process, however that ends: Ctrl-C, SIGTERM, SIGKILL.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from chorus import checkpoints

START_S = 600.0
"""A large model on a GPU may take minutes to load and compile."""

IDLE_S = 60.0
"""How long `reset` waits for the last requests to end."""

CPU_ARGUMENTS = ("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "32", "--block-size", "32")
"""What suits a CPU; FACTS: bfloat16 is slower there, and a seeded request whose prompt is cut up kills the engine."""

COUNTERS = {
    "prompt_tokens": "vllm:prompt_tokens_total",
    "completion_tokens": "vllm:generation_tokens_total",
    "cached_tokens": "vllm:prefix_cache_hits_total",
    "calls": "vllm:request_success_total",
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "served_s": "vllm:e2e_request_latency_seconds_sum",
    "prefill_s": "vllm:request_prefill_time_seconds_sum",
    "decode_s": "vllm:request_decode_time_seconds_sum",
}
"""Our names for vLLM's metrics. The last three are seconds, summed over the requests that have ended."""

# Ends the server when this process can't. It waits for a word on a pipe that closes with this process.
_GUARD = "read -r word && exit; kill -s TERM -- -$0; sleep 15; kill -s KILL -- -$0"


class Served:
    """One server. Made by `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], root: str, model: str, log: Path) -> None:
        self._process = process
        self.root = root
        """`http://127.0.0.1:PORT`."""
        self.url = f"{root}/v1"
        self.model = model
        self.log = log
        """What the server printed. Deleted with it."""

    def counters(self) -> dict[str, float]:
        """Return what the server has counted since it started, by the names of `COUNTERS`."""
        return read_counters(self._ask("/metrics"))

    def settled(self) -> dict[str, float]:
        """Return the counters once nothing runs or waits. Raises TimeoutError."""
        until = time.monotonic() + IDLE_S
        while (now := self.counters())["running"] or now["waiting"]:
            if time.monotonic() > until:
                raise TimeoutError(f"the vLLM server still ran requests after {IDLE_S:g} s")
            time.sleep(0.02)
        return now

    def reset(self) -> None:
        """Empty the prefix cache, once nothing runs. Raises TimeoutError when the server won't."""
        self.settled()
        until = time.monotonic() + IDLE_S
        # Refused while blocks are held, which those of an aborted request still are for a moment.
        while not json.loads(self._ask("/reset_prefix_cache", method="POST") or '{"success": true}')["success"]:
            if time.monotonic() > until:
                raise TimeoutError("the vLLM server would not empty its prefix cache")
            time.sleep(0.05)

    reset_prefix_cache = reset

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
        arguments: of vLLM's; they win over ours.
        max_model_len: tokens of prompt and completion together.

    Raises:
        RuntimeError: it did not start; the message ends with its log.
    """
    port = _free_port()
    command = _command(checkpoints.resolve(model, print), model, port, max_model_len) + list(arguments)
    environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1"}  # dev: /reset_prefix_cache
    if on_cpu():
        environment["TORCH_COMPILE_DISABLE"] = "1"
    with tempfile.TemporaryDirectory(prefix="chorus-vllm-") as scratch:
        log = Path(scratch) / "server.log"
        with guarded(command, log, environment) as process:
            server = Served(process, f"http://127.0.0.1:{port}", model, log)
            server._wait()
            yield server


@contextlib.contextmanager
def guarded(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own, which ends with the block or with this process.

    Args:
        command: the program and its arguments.
        log: where what it prints goes.
        environment: its variables.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True
        )
    guard = subprocess.Popen(
        ["sh", "-c", _GUARD, str(process.pid)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        _end(process)
        guard.communicate(b"done\n")


def read_counters(metrics: str) -> dict[str, float]:
    """Return the counters in a page of vLLM's metrics, summed over engines and reasons."""
    return {
        name: sum(float(value) for value in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", metrics, re.M))
        for name, metric in COUNTERS.items()
    }


def since(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Return what was counted between two readings."""
    return {name: value - before[name] for name, value in now.items()}


def on_cpu() -> bool:
    """Tell whether vLLM would compute on a CPU here."""
    import torch

    return not torch.cuda.is_available()


def _command(folder: Path, model: str, port: int, max_model_len: int) -> list[str]:
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(folder), "--served-model-name", model, "--max-model-len", str(max_model_len)]
    command += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    if on_cpu():
        command += [*CPU_ARGUMENTS, "--kv-cache-memory-bytes", str(4 << 30), "--no-enable-chunked-prefill"]
    return command


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the program to go, then its whole process group."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, name)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
