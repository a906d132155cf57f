"""The endpoint under load and trouble. Run `python -m evals.bench.endpoint` (extras `serve` and `openai`).

Real servers in processes of their own, and clients over loopback. Load on the scripted engine with delays like those of
a model: what `chorus-solo` costs over the engine call in it, hundreds of debates held at once, how soon each says its
first word; with `--vllm`, the throughput of a vLLM server by way of ours. Then trouble, one fault after another: how the
requests under it ended, and what is left of it. Writes `endpoint` and `endpoint_faults`; about six minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals import report
from evals.bench.endpoint import client_faults, engine_faults, load, machine_faults
from evals.bench.endpoint.aftermath import COLUMNS

COMMAND = "python -m evals.bench.endpoint"
NOTES = [
    "a debate is three voices over two rounds; a call takes 0.15–0.45 s to its first token, then 10–30 ms a token",
    "server and clients share the cores, so walls hold the clients' work too",
]


async def loads(options: argparse.Namespace) -> list[Sequence[Any]]:
    """Return the rows of the load table."""
    rows = await load.overhead(options.requests)
    rows += await load.held(options.debates)
    rows += await load.on_vllm(32, options.model) if options.vllm else []
    return rows


async def faults(options: argparse.Namespace) -> tuple[list[Sequence[Any]], list[str]]:
    """Return the rows of the fault table, and what there is to say beside. Each is printed as it comes."""
    calls = options.debates // 2
    course = [
        engine_faults.killed(20),
        engine_faults.failing(calls, passing=True),
        engine_faults.failing(calls, passing=False),
        client_faults.slow(40),
        client_faults.vanishing(options.clients),
        machine_faults.locked(100),
        machine_faults.full(100),
        machine_faults.jumping(100),
        machine_faults.crashing(50),
    ]
    lines = []
    for fault in course:
        lines.append(await fault)
        print(*lines[-1].cells, sep=" | ", flush=True)
    return [line.cells for line in lines], [line.said for line in lines if line.said]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write both tables, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--debates", type=int, default=500)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--vllm", action="store_true", help="measure on a vLLM server too, which must be installed")
    parser.add_argument("--model", default="smollm2-135m", help="what vLLM serves")
    parser.add_argument("--only", choices=["load", "faults"])
    parser.add_argument("--folder", type=Path, default=report.RESULTS)
    options = parser.parse_args(arguments)
    notes = [*NOTES, f"load average of the machine as it began: {os.getloadavg()[0]:.1f}"]
    if options.only != "faults":
        title = "The endpoint under load, clients on the same machine"
        rows = asyncio.run(loads(options))
        columns = ("what", "figure", "aimed at")
        path = report.write("endpoint", title, COMMAND, columns, rows, seed=0, notes=notes, folder=options.folder)
        print(path.read_text())
    if options.only != "load":
        title = "The endpoint in trouble: scripted engine, half of the requests streamed"
        rows, told = asyncio.run(faults(options))
        notes += told
        path = report.write(
            "endpoint_faults", title, COMMAND, COLUMNS, rows, seed=0, notes=notes, folder=options.folder
        )
        print(path.read_text())


if __name__ == "__main__":
    main()
