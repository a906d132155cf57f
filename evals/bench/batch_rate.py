"""`chorus debate` beside its engine's own batch rate. Run `python -m evals.bench.batch_rate --engine SPEC`.

A file of questions is debated as `chorus debate` does it, every call noted; then the same calls are handed to the same
engine all at once, with nothing between them to wait for, which is the most that it can do with them. Either has a salt
of its own, so that neither finds the other's prefixes in the cache. The two go first in turn, so that neither always
runs on a machine that the other has warmed up or worn out; what goes first as a batch is the calls of the debates before,
which are the same, for all is greedy (but for what the company in a batch changes of them). The rate is tokens written a
second.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

from chorus.batch import debate_file
from chorus.chorus import Chorus
from chorus.engines.base import Completion, Emit, Engine, Request
from chorus.engines.registry import open_engine
from chorus.telemetry.passage import Passage
from evals import report

AIM = 0.95


class Noted(Passage):
    """An engine whose calls are noted, and carry a salt."""

    def __init__(self, engine: Engine, salt: str) -> None:
        super().__init__(engine)
        self._salt = salt
        self.calls: list[Request] = []
        self.tokens = 0

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        salted = dataclasses.replace(request, salt=self._salt)
        self.calls.append(salted)
        completion = await self._engine.generate(salted, emit)
        self.tokens += completion.usage.completion_tokens
        return completion


async def debated(engine: Engine, questions: Path, out: Path, at_once: int, salt: str) -> tuple[float, list[Request]]:
    """Hold the debates; return tokens a second and the calls that were made."""
    noted = Noted(engine, salt)
    chorus = Chorus(noted, "decomposer,estimator,formalist", rounds=2, decision="plurality", early_stop=False)
    began = time.perf_counter()
    done = await debate_file(chorus, questions, out, concurrency=at_once)
    wall = time.perf_counter() - began
    assert done.complete, done.in_words()
    return noted.tokens / wall, noted.calls


async def batched(engine: Engine, calls: list[Request], salt: str) -> float:
    """Make all calls at once; return tokens a second."""
    noted = Noted(engine, salt)
    began = time.perf_counter()
    await asyncio.gather(*(noted.generate(call, lambda piece: None) for call in calls))
    return noted.tokens / (time.perf_counter() - began)


def order(run: int) -> tuple[str, str]:
    """Return which way goes first in a run: the debates in the one that isn't counted, -1, and in every second."""
    return ("debate", "batch") if run % 2 else ("batch", "debate")


async def measure(spec: str, questions: int, at_once: int, runs: int) -> dict[str, list[float]]:
    """Return the rates of both, run by run. A first round that isn't counted loads and compiles what there is."""
    engine = await open_engine(spec)
    rates: dict[str, list[float]] = {"debate": [], "batch": []}
    with tempfile.TemporaryDirectory() as place:
        asked = Path(place) / "in.jsonl"
        lines = ({"id": f"q{n}", "question": f"What is {n} + {n + 7}?"} for n in range(questions))
        asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
        try:
            calls: list[Request] = []
            for run in range(-1, runs):
                for way in order(run):
                    if way == "debate":
                        records = Path(place) / f"{run}.jsonl"
                        rate, calls = await debated(engine, asked, records, at_once, f"debate {run}")
                    else:
                        rate = await batched(engine, calls, f"batch {run}")
                    if run >= 0:
                        rates[way].append(rate)
        finally:
            await engine.aclose()
    return rates


def main() -> None:
    """Measure, write `batch_rate.json` and `batch_rate.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="vllm:smollm2-135m")
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--concurrency", type=int, default=16, help="debates at once")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if options.questions < options.concurrency:
        parser.error("--questions must be at least --concurrency: with fewer, so many debates are never held at once")
    rates = asyncio.run(measure(options.engine, options.questions, options.concurrency, options.runs))
    ratios = [one / most for one, most in zip(rates["debate"], rates["batch"], strict=True)]
    named = {
        "`chorus debate`, tokens/s": (rates["debate"], "-"),
        "the same calls all at once, tokens/s": (rates["batch"], "-"),
        "ratio": (ratios, f">= {AIM:g}"),
    }
    rows = [(name, statistics.median(values), min(values), max(values), aim) for name, (values, aim) in named.items()]
    path = report.write(
        "batch_rate",
        f"{options.questions} debates of 3 voices x 2 rounds, {options.concurrency} at once, on {options.engine}",
        "python -m evals.bench.batch_rate",
        ("figure", "median", "min", "max", "aim"),
        rows,
        data=rates,
        notes=[f"{options.runs} runs of each, which go first in turn, after one that isn't counted; greedy, seed 0"],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
