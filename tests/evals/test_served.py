"""A benchmark's server ends when the benchmark does, however that ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals.bench.served import guarded, read_counters, serve, since

METRICS = """
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
vllm:prompt_tokens_total{engine="0",model_name="m"} 120.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="m",source="local"} 999.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 64.0
vllm:generation_tokens_total{engine="0",model_name="m"} 30.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 2.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 3.0
vllm:num_requests_running{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 7.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="m"} 1.5
vllm:e2e_request_latency_seconds_count{engine="0",model_name="m"} 5.0
"""

# A stand-in for a server: it has a child of its own, as vLLM has its engine, and says both their ids.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""

BENCHMARK = f"""
import os, sys, time
from pathlib import Path
from evals.bench.served import guarded
with guarded([sys.executable, "-c", {PARENT!r}], Path(sys.argv[1]), os.environ) as process:
    print(process.pid, flush=True)
    time.sleep(60)
"""


def test_counters_are_summed_over_reasons_and_not_mixed_up_with_their_namesakes():
    counted = read_counters(METRICS)
    assert (counted["prompt_tokens"], counted["cached_tokens"], counted["completion_tokens"]) == (120, 64, 30)
    assert (counted["calls"], counted["running"], counted["waiting"], counted["served_s"]) == (5, 1, 0, 1.5)


def test_what_was_counted_between_two_readings():
    before = read_counters(METRICS)
    assert since(before, before | {"calls": 9.0})["calls"] == 4


def gone(pid: int) -> bool:
    """Wait up to ten seconds for a process to be gone."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):  # dead, and nobody has asked for its exit code
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.05)
    return False


def child_of(log: Path) -> int:
    """Wait for the id that the stand-in prints."""
    for _ in range(200):
        if log.exists() and (said := log.read_text()).endswith("\n"):
            return int(said)
        time.sleep(0.05)
    raise AssertionError("the stand-in did not start")


def test_the_server_and_its_children_end_with_the_block(tmp_path):
    log = tmp_path / "log"
    with guarded([sys.executable, "-c", PARENT], log, os.environ) as process:
        child = child_of(log)
        assert not gone_now(child)
    assert process.returncode == -signal.SIGTERM
    assert gone(child)


def gone_now(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_they_end_with_the_benchmark_however_that_ends(tmp_path, sign):
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", BENCHMARK, str(log)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as benchmark:
        server, child = int(benchmark.stdout.readline()), child_of(log)
        benchmark.send_signal(sign)
        benchmark.wait(30)
        assert gone(server)
        assert gone(child)


@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_a_real_server_counts_and_forgets():
    httpx = pytest.importorskip("httpx")
    body = {"messages": [{"role": "user", "content": "one two three four five six seven eight " * 20}], "max_tokens": 1}
    with serve() as server, httpx.Client(timeout=60, trust_env=False) as client:

        def ask() -> dict[str, float]:
            before = server.counters()
            client.post(f"{server.url}/chat/completions", json={"model": server.model} | body).raise_for_status()
            return since(before, server.settled())

        first, again = ask(), ask()
        server.reset()
        after = ask()
    assert first["cached_tokens"] == 0
    assert first["calls"] == 1
    assert again["cached_tokens"] > 0.7 * again["prompt_tokens"]
    assert after["cached_tokens"] == 0
