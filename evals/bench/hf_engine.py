"""Tokens a second of a debate on the `hf` engine against plain `generate`. Run `python -m evals.bench.hf_engine`.

A debate is held, and the very prompts of its turns are then given to transformers' `generate`, round by round as one
left-padded batch with the same bounds and stop strings, greedily, with nothing of ours around it. Both are timed in turn,
several times, and the ratio is taken pair by pair: above 1 the debate is the faster. What the debate gains by sharing
prefixes is in it; so is what streaming, per-row sampling, logprobs and coordination cost. The same requests also go
through transformers' continuous batching, to show why `generate` was chosen.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from chorus import checkpoints
from chorus.chorus import Chorus
from chorus.debate.prompts import STOPS
from chorus.engines.base import Completion, Emit, Request
from chorus.engines.hf_local import HfEngine, open_hf
from evals import report

QUESTIONS = ("What is 7 * 8?", "What is 46 + 37?", "What is the capital of Italy?", "What is 9 * 6?")
CASTS = {3: "decomposer,estimator,formalist", 5: "decomposer,estimator,formalist,skeptic,tester"}
ROUNDS = 2
MAX_TOKENS = 48


class Listener:
    """An engine that passes every call on and remembers it."""

    def __init__(self, engine: HfEngine) -> None:
        self._engine = engine
        self.info = engine.info
        self.count = engine.count
        self.aclose = engine.aclose
        self.heard: list[tuple[Request, Completion]] = []

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Call the engine."""
        completion = await self._engine.generate(request, emit)
        self.heard.append((request, completion))
        return completion


async def debate_seconds(engine: HfEngine, cast: str, question: str) -> tuple[float, list[tuple[Request, Completion]]]:
    """Hold one debate without early stop, and return its wall time with its calls."""
    listener = Listener(engine)
    # A rule that early stop leaves alone: every turn is spoken to its end.
    maker = Chorus(
        listener, cast, rounds=ROUNDS, decision="unanimity", max_tokens=MAX_TOKENS, detail="brief", concurrency=16
    )
    routed = await maker.convene(question)
    before = time.perf_counter()
    async for _ in routed.run():
        pass
    return time.perf_counter() - before, listener.heard


def batches(heard: list[tuple[Request, Completion]]) -> list[list[tuple[Request, Completion]]]:
    """Return the calls round by round."""
    rounds = sorted({request.id.partition(".")[0] for request, _ in heard})
    return [[call for call in heard if call[0].id.startswith(f"{number}.")] for number in rounds]


def plain_seconds(model: Any, tokenizer: Any, calls: list[list[tuple[Request, Completion]]]) -> tuple[float, int]:
    """Generate the same turns with `generate` alone. Returns the wall time and the tokens that came out."""
    import torch

    tokens, before = 0, time.perf_counter()
    for batch in calls:
        prompts = [_text(tokenizer, request) for request, _ in batch]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(
                **inputs,
                max_new_tokens=MAX_TOKENS,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                # A voice ends where it begins to speak for others; so must these, or they would be longer texts.
                stop_strings=list(STOPS),
                tokenizer=tokenizer,
            )
        new = out[:, inputs["input_ids"].shape[1] :]
        tokens += sum(_length(row, tokenizer.eos_token_id) for row in new.tolist())
    return time.perf_counter() - before, tokens


def continuous_seconds(model: Any, tokenizer: Any, calls: list[list[tuple[Request, Completion]]]) -> tuple[float, int]:
    """Generate the same turns by transformers' continuous batching."""
    from transformers import GenerationConfig

    make_config: Callable[..., Any] = GenerationConfig
    config = make_config(
        max_new_tokens=MAX_TOKENS,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tokens, before = 0, time.perf_counter()
    for batch in calls:
        inputs = [tokenizer(_text(tokenizer, request), add_special_tokens=False)["input_ids"] for request, _ in batch]
        done = model.generate_batch(inputs=inputs, generation_config=config)
        tokens += sum(_length(result.generated_tokens, tokenizer.eos_token_id) for result in done.values())
    return time.perf_counter() - before, tokens


def _text(tokenizer: Any, request: Request) -> str:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def _length(row: list[int], end: int) -> int:
    return row.index(end) if end in row else len(row)


async def measure(model_name: str, voices: int, runs: int, *, continuous: bool) -> dict[str, list[float]]:
    """Return tokens a second of each way, run by run, side by side."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = checkpoints.resolve(model_name, print)
    plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left", clean_up_tokenization_spaces=False)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    figures: dict[str, list[float]] = {"debate": [], "generate": [], "continuous batching": []}
    for run in range(runs + 1):
        # A fresh engine each time, so that no prefix of an earlier debate is at hand.
        engine = await open_hf(model_name, device="cpu")
        wall, heard = await debate_seconds(engine, CASTS[voices], QUESTIONS[run % len(QUESTIONS)])
        await engine.aclose()
        rates = {"debate": sum(call.usage.completion_tokens for _, call in heard) / wall}
        ways = {"generate": plain_seconds} | ({"continuous batching": continuous_seconds} if continuous else {})
        for name, way in ways.items():
            seconds, tokens = way(plain, tokenizer, batches(heard))
            rates[name] = tokens / seconds
        if run:  # the first warms up
            for name, rate in rates.items():
                figures[name].append(rate)
    return figures


def main() -> None:
    """Measure, write `hf.json` and `hf.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-continuous", action="store_true", help="leave transformers' continuous batching out")
    options = parser.parse_args()
    rows: list[tuple[int, str, float, float, str]] = []
    data = {}
    for voices in CASTS:
        # One size is enough to choose by, and continuous batching is by far the slowest of the three.
        continuous = voices == min(CASTS) and not options.no_continuous
        figures = asyncio.run(measure(options.model, voices, options.runs, continuous=continuous))
        data[str(voices)] = figures
        rows += [row(voices, name, rates, figures["debate"]) for name, rates in figures.items() if rates]
        # Written as it goes: a run that is ended early keeps what it has measured.
        path = report.write(
            "hf",
            f"A debate on the hf engine against plain generation, {options.model}, {ROUNDS} rounds of {MAX_TOKENS} tokens",
            "python -m evals.bench.hf_engine",
            ("voices", "way", "tokens/s, median", "debate over this way, median", "min–max"),
            rows,
            data=data,
            notes=[
                f"greedy, {options.runs} runs, each way timed in turn on the same prompts",
                "aim: debate over generate ≥ 0.9",
            ],
        )
    print(path.read_text())


def row(voices: int, name: str, rates: list[float], debates: list[float]) -> tuple[int, str, float, float, str]:
    """Return a way's line: its median rate, and the median and spread of the debate's rate over it, pair by pair."""
    ratios = [debate / rate for debate, rate in zip(debates, rates, strict=True)]
    return voices, name, statistics.median(rates), statistics.median(ratios), f"{min(ratios):.2f}–{max(ratios):.2f}"


if __name__ == "__main__":
    main()
