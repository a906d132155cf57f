"""What the coordinator itself costs, with an engine that costs next to nothing. Run `python -m evals.bench.coordinator`.

Many debates of five seats and three rounds run at once on the scripted engine, whose replies come after simulated
delays, so that all of them are open together. CPU microseconds a turn are the process's CPU time over the debates,
routing and deciding included, divided by their turns. The engine's own share is measured apart, by calling it alone
with as many requests, and shown beside. Each repetition is a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time

from chorus.chorus import Chorus
from chorus.engines.base import Request, Sampling
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.engines.virtual_time import VirtualTimeLoop
from chorus.types import Message
from evals import report

SEATS = "decomposer,estimator,formalist,skeptic,tester"
ROUNDS = 3
SCRIPT = {
    "latency": {"first": 0.2, "jitter": 0.3},
    "default": {
        "texts": [
            "Seven eights are fifty-six.\nAnswer: 56",
            "I count 7, 14, 21 and so on.\nAnswer: 54",
            "8 * 8 is 64, less 8.\nAnswer: 56",
            "It is near 60, I believe.\nAnswer: 63",
        ],
        "confidence": 0.8,
    },
}


def measure(debates: int, seed: int) -> dict[str, float]:
    """Hold the debates at once and return CPU microseconds a turn, the engine's own, and peak memory in MiB."""
    engine = ScriptedEngine(Script.model_validate(SCRIPT))
    maker = Chorus(engine, SEATS, rounds=ROUNDS, topology="complete", max_tokens=64, seed=seed, concurrency=5)
    turns = 5 * ROUNDS * debates

    async def hold() -> None:
        answers = await asyncio.gather(*(maker.aask(f"What is {index} * 8?") for index in range(debates)))
        spoken = sum(1 for answer in answers for turn in answer.turns if turn.status == "done")
        assert spoken > 0.9 * turns, f"{spoken} of {turns} turns were spoken"

    async def call_alone() -> None:
        # Prompts of the length that the debates' have, each its own.
        text = "A voice said: seven eights are fifty-six. " * 30

        async def one(index: int) -> None:
            request = Request((Message(role="user", content=f"{index} {text}"),), Sampling(64), f"1.{index}")
            await engine.generate(request, lambda _: None)

        await asyncio.gather(*(one(index) for index in range(turns)))

    spent = []
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(maker.aask("What is 7 * 8?"))  # imports, caches
        for work in (hold, call_alone):
            before = time.process_time()
            runner.run(work())
            spent.append((time.process_time() - before) / turns * 1e6)
            if work is hold:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"turn_us": spent[0], "engine_us": spent[1], "peak_mib": peak}


def main() -> None:
    """Measure in fresh processes, write `coordinator.json` and `coordinator.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debates", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="measure in this process and print JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(options.debates, options.seed)))
        return
    again = [sys.executable, "-m", "evals.bench.coordinator", "--once", f"--seed={options.seed}"]
    runs = [
        json.loads(subprocess.run([*again, f"--debates={options.debates}"], check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(options.runs)
    ]
    named = {
        "CPU µs a turn, scripted engine included": ("turn_us", "≤ 200"),
        "of which the scripted engine": ("engine_us", "-"),
        "peak memory, MiB": ("peak_mib", "< 300"),
    }
    rows = []
    for name, (key, aim) in named.items():
        values = [run[key] for run in runs]
        rows.append((name, statistics.median(values), min(values), max(values), aim))
    path = report.write(
        "coordinator",
        f"Coordinator: {options.debates} debates of 5 seats × {ROUNDS} rounds at once",
        "python -m evals.bench.coordinator",
        ("figure", "median", "min", "max", "aim"),
        rows,
        seed=options.seed,
        data={"runs": runs},
        notes=[f"{options.runs} processes, one after the other"],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
