"""In which order should a transcript stand for a prefix cache to help most? Run `python -m evals.bench.prefix_order`.

On a complete graph every seat hears everything, and any fixed order that grows at the end is shared by all. On sparse
graphs seats hear different turns, and what two prompts share ends at the first turn that only one of them heard. A debate
is held on the scripted engine with texts of a set length, its prompts are then written with the transcript in several
orders, and a prefix cache is played over them: how many tokens would be computed? Needs the tokenizer of the packaged model.

The layout that has the persona first is counted beside them. With `--engine` (where vLLM is installed) the same prompts
also go to a vLLM server, a round's all at once, and its own counts stand beside ours: four minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chorus import checkpoints
from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.debate.floor import Floor
from chorus.debate.prompts import Prompt, Prompter
from chorus.engines.base import Request
from chorus.engines.scripted import ScriptedEngine
from chorus.types import Answer
from evals import report
from evals.bench.holding import Server
from evals.bench.served import serve, since
from evals.bench.transcript_orders import ORDERS, Order, by_round
from evals.bench.ways import CAST, ROUNDS, SEATS, asked
from personas import Library

TOPOLOGIES = ("complete", "regular:d=2", "small-world:k=2,p=0.2", "layers:2,2,1", "ring", "star")
BLOCKS = (16, 32)
"""Tokens a block: vLLM shares prefixes in whole blocks, of 16 on a GPU by default and of 32 on a CPU as we set it."""

PERSONA_FIRST = "persona first, then as ours"

WORDS = ("so", "the", "sum", "of", "both", "is", "more", "than", "each", "part", "and", "we", "count", "again", "from")


def computed_tokens(prompts: Iterable[Sequence[int]], block: int) -> int:
    """Return how many prompt tokens an engine computes that caches whole blocks of every prompt before."""
    return sum(computed_each(prompts, block))


def computed_each(prompts: Iterable[Sequence[int]], block: int) -> Iterator[int]:
    """Yield how many tokens of each prompt are computed by an engine that caches whole blocks of every prompt before.

    Args:
        prompts: token ids, in the order in which they arrive. Those of one round may share blocks with each other, as
            vLLM enters a prompt's blocks when it schedules it.
        block: tokens a block. The last token of a prompt is always computed.
    """
    known: set[tuple[int, ...]] = set()
    for tokens in prompts:
        whole = [tuple(tokens[: end + block]) for end in range(0, len(tokens) - block + 1, block)]
        shared = 0
        for prefix in whole:
            if prefix not in known or len(prefix) == len(tokens):
                break
            shared += 1
        known.update(whole)
        yield len(tokens) - shared * block


def prompts(answer: Answer, order: Order) -> list[Prompt]:
    """Write the prompts of a debate's speeches again, by round and then by seat, with the transcript in this order."""
    library, plan = Library.builtin(), answer.plan
    prompter = Prompter(plan, answer.question, {seat.persona: library.get(seat.persona) for seat in plan.seats})
    floor = Floor(plan, answer.question)
    for turn in answer.turns:
        floor.add(turn)
    return [
        prompter.speech(turn.seat, turn.persona, order(floor.heard((turn.round, turn.seat)), plan, turn.seat))
        for turn in answer.turns
    ]


def debate(topology: str, words: int, seed: int, layout: str = "shared", number: int = 0, **more: Any) -> Answer:
    """Hold a debate whose turns have this many words. `number` makes another question; `more` are further settings."""

    def speak(request: Request) -> str:
        draw = random.Random(f"{seed}/{request.id}")
        return " ".join(draw.choices(WORDS, k=words)) + ".\nAnswer: 56\nConfidence: 80%"

    settings: dict[str, Any] = {"topology": topology, "layout": layout, "rounds": ROUNDS, "seed": seed, **more}
    with Chorus(
        ScriptedEngine(speak), CAST, settings=Settings(), decision="borda", detail="full", **settings
    ) as chorus:
        return chorus.ask(asked(number))


def parts(encoded: Sequence[Sequence[int]], block: int) -> dict[str, int]:
    """Return what the computed tokens are of, where all seats hear all: they add up to `computed_tokens`.

    Args:
        encoded: the prompts of a debate in the shared layout, by round and then by seat.
        block: tokens a block.
    """
    rounds = [encoded[start : start + len(SEATS)] for start in range(0, len(encoded), len(SEATS))]
    shared = [
        sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False)))
        for prompts in rounds
    ]
    tails = sum(len(tokens) - common for prompts, common in zip(rounds, shared, strict=True) for tokens in prompts)
    told = {"charter, cards, question": shared[0], "transcript": shared[-1] - shared[0], "who speaks, the task": tails}
    return told | {"begun blocks, again": computed_tokens(encoded, block) - sum(told.values())}


def sent(server: Server, written: Sequence[Prompt]) -> int:
    """Send prompts to the server, a round's all at once, and return how many tokens it computed by its own count."""
    server.reset()
    before = server.counters()
    asyncio.run(_send(server, written))
    used = since(before, server.settled())
    return int(used["prompt_tokens"] - used["cached_tokens"])


async def _send(server: Server, written: Sequence[Prompt]) -> None:
    import httpx

    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        for start in range(0, len(written), len(SEATS)):
            bodies = [
                {"model": server.model, "messages": _messages(prompt), "max_tokens": 1, "temperature": 0}
                for prompt in written[start : start + len(SEATS)]
            ]
            answers = [client.post(f"{server.url}/chat/completions", json=body) for body in bodies]
            for answer in await asyncio.gather(*answers):
                answer.raise_for_status()


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def count(
    words: int, seed: int, encode: Callable[[list[dict[str, str]]], Sequence[int]], server: Server | None
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table, one for each graph and order."""
    for topology in TOPOLOGIES:
        held = debate(topology, words, seed)
        ways = [(name, prompts(held, order)) for name, order in ORDERS.items()]
        ways.append((PERSONA_FIRST, prompts(debate(topology, words, seed, "system"), by_round)))
        for name, written in ways:
            encoded = [encode(_messages(prompt)) for prompt in written]
            computed = [computed_tokens(encoded, size) for size in BLOCKS]
            yield (topology, name, sum(map(len, encoded)), *computed, sent(server, written) if server else "-")


def savings(rows: Sequence[tuple[Any, ...]]) -> str:
    """Say how much less the best order computes on each graph than ours, in the smaller blocks."""
    told = []
    for topology in dict.fromkeys(row[0] for row in rows):
        computed = {row[1]: row[3] for row in rows if row[0] == topology and row[1] in ORDERS}
        best, ours = min(computed, key=computed.__getitem__), next(iter(computed))
        less = 1 - computed[best] / computed[ours]
        told.append(f"{topology} " + (f"{less:.1%} ({best})" if less else "none"))
    return f"what the best order saves over ours, blocks of {BLOCKS[0]}: " + "; ".join(told)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, write `prefix_order.json` and `prefix_order.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--words", type=int, default=48, help="length of a turn  [48]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", action="store_true", help="count on a vLLM server too")
    parser.add_argument("--folder", type=Path, default=report.RESULTS, help="where the results go  [evals/results]")
    options = parser.parse_args(arguments)
    encode = encoder(options.model)
    with serve(options.model) if options.engine else contextlib.nullcontext() as server:
        rows = list(count(options.words, options.seed, encode, server))
    written = prompts(debate("complete", options.words, options.seed), by_round)
    of = parts([encode(_messages(prompt)) for prompt in written], BLOCKS[0])
    told = "; ".join(f"{what} {tokens}" for what, tokens in of.items())
    path = report.write(
        "prefix_order",
        f"Prompt tokens computed by order of the transcript, 5 seats, {ROUNDS} rounds, {options.words} words a turn",
        "python -m evals.bench.prefix_order",
        ("topology", "order", "prompt tokens", *(f"computed, blocks of {size}" for size in BLOCKS), "computed by vLLM"),
        rows,
        seed=options.seed,
        notes=[
            savings(rows),
            f"what ours computes on complete, blocks of {BLOCKS[0]}: {told}",
            "on sparse graphs seats hear different turns, so less is shared: they read fewer tokens and compute more",
            "counted with the real tokenizer on a prefix cache played over the prompts, one after the other",
            "`computed by vLLM`: its own count of the same prompts, a round's sent all at once (blocks of 32 on a CPU)",
        ],
        folder=options.folder,
    )
    print(path.read_text())


def encoder(model: str) -> Callable[[list[dict[str, str]]], list[int]]:
    """Return what turns chat messages into the tokens of a prompt, as a server does."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoints.resolve(model, print))

    def encode(messages: list[dict[str, str]]) -> list[int]:
        return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])

    return encode


if __name__ == "__main__":
    main()
