"""`chorus debate` beside its engine's own batch rate. Run `python -m evals.bench.batch_rate --engine SPEC`.

A file of questions is debated as `chorus debate` does it, every call noted; then the same calls are handed to the same
engine all at once, with nothing between them to wait for, which is the most that it can do with them; and where the
engine is vLLM, their prompts and sampling parameters to vLLM's own offline batch too (`vllm.LLM.generate`, in a second
instance with the same arguments). Each way has a salt of its own, so that none finds the others' prefixes in the cache.
They take turns in going first, so that none always runs on a machine that another has warmed up or worn out; what goes
before the debates is the calls of the debates before, which are the same, for all is greedy (but for what the company in
a batch changes of them). The rate is tokens written a second.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus import checkpoints
from chorus.batch import debate_file
from chorus.chorus import Chorus
from chorus.engines.base import Completion, Emit, Engine, Request
from chorus.engines.registry import open_engine, split_spec
from chorus.telemetry.passage import Passage
from evals import report

if TYPE_CHECKING:
    from chorus.engines.vllm_local import VllmEngine

AIM = 0.95
WAYS = {
    "debate": "`chorus debate`, tokens/s",
    "batch": "the same calls all at once, tokens/s",
    "offline": "the same prompts in `vllm.LLM.generate`, tokens/s",
}
AGAINST = {"batch": "calls at once", "offline": "`LLM.generate`"}


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


async def debated(
    engine: Engine, questions: Path, out: Path, at_once: int, max_tokens: int, salt: str
) -> tuple[float, list[Request]]:
    """Hold the debates; return tokens a second and the calls that were made."""
    noted = Noted(engine, salt)
    cast = "decomposer,estimator,formalist"
    chorus = Chorus(noted, cast, rounds=2, decision="plurality", early_stop=False, max_tokens=max_tokens)
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


class Offline:
    """vLLM's own way with a batch, on the checkpoint and with the arguments of an engine of ours."""

    def __init__(self, engine: VllmEngine, name: str) -> None:
        from vllm import LLM

        from chorus.engines.vllm_setup_local import configure, engine_arguments, environment

        folder = checkpoints.resolve(name)
        os.environ.update(environment(configure(folder, {}, None)))
        self._engine = engine
        self._llm: Any = LLM(**engine_arguments(folder, {}, None))

    def rate(self, calls: list[Request], salt: str) -> float:
        """Return tokens a second; prompts are encoded before the clock starts."""
        from vllm.sampling_params import RequestOutputKind

        prompts = [{"prompt_token_ids": self._engine.prompt(call), "cache_salt": salt} for call in calls]
        params = [self._engine.params(call) for call in calls]
        for each in params:
            each.output_kind = RequestOutputKind.FINAL_ONLY
        began = time.perf_counter()
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        wall = time.perf_counter() - began
        return sum(len(output.outputs[0].token_ids) for output in outputs) / wall


def order(run: int, ways: list[str]) -> list[str]:
    """Return which way goes first in a run: the debates in the one that isn't counted, -1; then each in its turn."""
    first = (run + 1) % len(ways)
    return ways[first:] + ways[:first]


async def measure(spec: str, questions: int, at_once: int, runs: int, max_tokens: int) -> dict[str, list[float]]:
    """Return each way's rates, run by run. A first round that isn't counted loads and compiles what there is."""
    engine = await open_engine(spec)
    kind, name = split_spec(spec)
    offline = Offline(engine, name) if kind == "vllm" else None  # type: ignore[arg-type]
    ways = [way for way in WAYS if way != "offline" or offline]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as place:
        asked = Path(place) / "in.jsonl"
        lines = ({"id": f"q{n}", "question": f"What is {n} + {n + 7}?"} for n in range(questions))
        asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
        try:
            calls: list[Request] = []
            for run in range(-1, runs):
                for way in order(run, ways):
                    salt = f"{way} {run}"
                    if way == "debate":
                        records = Path(place) / f"{run}.jsonl"
                        rate, calls = await debated(engine, asked, records, at_once, max_tokens, salt)
                    elif way == "batch":
                        rate = await batched(engine, calls, salt)
                    else:
                        assert offline is not None
                        rate = offline.rate(calls, salt)
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
    parser.add_argument("--max-tokens", type=int, default=48, help="a turn's")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if options.questions < options.concurrency:
        parser.error("--questions must be at least --concurrency: with fewer, so many debates are never held at once")
    measured = measure(options.engine, options.questions, options.concurrency, options.runs, options.max_tokens)
    rates = asyncio.run(measured)
    aim = f">= {AIM:g}"
    named = {WAYS[way]: (values, "-") for way, values in rates.items()}
    for way in list(rates)[1:]:
        ratios = [one / most for one, most in zip(rates["debate"], rates[way], strict=True)]
        named[f"debates / {AGAINST[way]}"] = (ratios, aim)
    rows = [(name, statistics.median(values), min(values), max(values), aim) for name, (values, aim) in named.items()]
    path = report.write(
        "batch_rate",
        f"{options.questions} debates of 3 voices x 2 rounds, {options.concurrency} at once, on {options.engine}",
        "python -m evals.bench.batch_rate",
        ("figure", "median", "min", "max", "aim"),
        rows,
        data=rates,
        notes=[
            f"{options.runs} runs of each, which go first in turn, after one that isn't counted; greedy, at most "
            f"{options.max_tokens} tokens a turn"
        ],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
