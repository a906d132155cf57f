"""In which order should a transcript stand for a prefix cache to help most? Run `python -m evals.bench.prefix_order`.

On a complete graph every seat hears everything, and any fixed order that grows at the end is shared by all. On sparse
graphs seats hear different turns, and what two prompts share ends at the first turn that only one of them heard. A debate
is held on the scripted engine with texts of a set length, its prompts are then written with the transcript in several
orders, and a prefix cache is played over them: how many tokens would be computed? Needs the tokenizer of the packaged model.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chorus import checkpoints
from chorus.chorus import Chorus
from chorus.debate.floor import Floor
from chorus.debate.prompts import Heard, Prompt, Prompter
from chorus.engines.base import Request
from chorus.engines.scripted import ScriptedEngine
from chorus.types import Answer
from evals import report
from personas import Library

CAST = "decomposer,estimator,formalist,skeptic,tester"
TOPOLOGIES = ("complete", "regular:d=2", "small-world:k=2,p=0.2", "layers:2,2,1", "ring", "star")
ROUNDS = 3
BLOCKS = (16, 32)
"""Tokens a block: vLLM shares prefixes in whole blocks, of 16 on a GPU by default and of 32 on a CPU as we set it."""

WORDS = (
    "so",
    "the",
    "sum",
    "of",
    "both",
    "is",
    "more",
    "than",
    "each",
    "part",
    "and",
    "we",
    "count",
    "again",
    "from",
    "last",
)

Order = Callable[[Sequence[Heard], str, Answer], Sequence[Heard]]


def by_round(heard: Sequence[Heard], seat: str, answer: Answer) -> Sequence[Heard]:
    """Round after round, within each the seats in the plan's order: what the chorus does."""
    return heard


def by_seat(heard: Sequence[Heard], seat: str, answer: Answer) -> Sequence[Heard]:
    """Seat after seat, each with all its turns: a conversation sorted by speaker."""
    return sorted(heard, key=lambda one: _places(answer)[one.turn.seat])


def own_last(heard: Sequence[Heard], seat: str, answer: Answer) -> Sequence[Heard]:
    """What others said, round after round, then one's own turns."""
    return sorted(heard, key=lambda one: one.turn.seat == seat)


def own_last_each_round(heard: Sequence[Heard], seat: str, answer: Answer) -> Sequence[Heard]:
    """Round after round, and in each one's own turn last."""
    return sorted(heard, key=lambda one: (one.turn.round, one.turn.seat == seat))


def most_heard_first(heard: Sequence[Heard], seat: str, answer: Answer) -> Sequence[Heard]:
    """Round after round, and in each the turns that most seats hear first."""
    hearers = dict.fromkeys(_places(answer), 0)
    for speaker, _, _ in answer.plan.edges:
        hearers[speaker] += 1
    return sorted(heard, key=lambda one: (one.turn.round, -hearers[one.turn.seat], _places(answer)[one.turn.seat]))


ORDERS: dict[str, Order] = {
    "by round, then seat (ours)": by_round,
    "by round, most heard first": most_heard_first,
    "by round, own turn last": own_last_each_round,
    "others by round, own turns last": own_last,
    "by seat, then round": by_seat,
}


def computed_tokens(prompts: Iterable[Sequence[int]], block: int) -> int:
    """Return how many prompt tokens an engine computes that caches whole blocks of every prompt before.

    Args:
        prompts: token ids, in the order in which they arrive. Those of one round may share blocks with each other, as
            vLLM enters a prompt's blocks when it schedules it.
        block: tokens a block. The last token of a prompt is always computed.
    """
    known: set[tuple[int, ...]] = set()
    computed = 0
    for tokens in prompts:
        whole = [tuple(tokens[: end + block]) for end in range(0, len(tokens) - block + 1, block)]
        shared = 0
        for prefix in whole:
            if prefix not in known or len(prefix) == len(tokens):
                break
            shared += 1
        known.update(whole)
        computed += len(tokens) - shared * block
    return computed


def prompts(answer: Answer, order: Order) -> list[Prompt]:
    """Write the prompts of a debate's speeches again, with the transcript in this order."""
    library = Library.builtin()
    prompter = Prompter(
        answer.plan, answer.question, {seat.persona: library.get(seat.persona) for seat in answer.plan.seats}
    )
    floor = Floor(answer.plan, answer.question)
    for turn in answer.turns:
        floor.add(turn)
    return [
        prompter.speech(turn.seat, turn.persona, order(floor.heard((turn.round, turn.seat)), turn.seat, answer))
        for turn in answer.turns
    ]


def debate(topology: str, words: int, seed: int) -> Answer:
    """Hold a debate whose turns have this many words."""

    def speak(request: Request) -> str:
        draw = random.Random(f"{seed}/{request.id}")
        return " ".join(draw.choices(WORDS, k=words)) + ".\nAnswer: 56\nConfidence: 80%"

    with Chorus(
        ScriptedEngine(speak), CAST, topology=topology, rounds=ROUNDS, decision="borda", detail="full", seed=seed
    ) as chorus:
        return chorus.ask("What is 7 * 8?")


def _places(answer: Answer) -> dict[str, int]:
    return {seat.seat: place for place, seat in enumerate(answer.plan.seats)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, write `prefix_order.json` and `prefix_order.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--words", type=int, default=48, help="length of a turn  [48]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoints.resolve(options.model, print))

    def encode(prompt: Prompt) -> list[int]:
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])

    rows: list[tuple[Any, ...]] = []
    for topology in TOPOLOGIES:
        held = debate(topology, options.words, options.seed)
        for name, order in ORDERS.items():
            encoded = [encode(prompt) for prompt in prompts(held, order)]
            rows.append((topology, name, sum(map(len, encoded)), *(computed_tokens(encoded, size) for size in BLOCKS)))
    path = report.write(
        "prefix_order",
        f"Prompt tokens computed by order of the transcript, 5 seats, {ROUNDS} rounds, {options.words} words a turn",
        "python -m evals.bench.prefix_order",
        ("topology", "order", "prompt tokens", *(f"computed, blocks of {size}" for size in BLOCKS)),
        rows,
        seed=options.seed,
        notes=[
            "on sparse graphs seats hear different turns, so less is shared: they read fewer tokens and compute more of them",
            "counted with the real tokenizer on a prefix cache played over the prompts; no engine was run",
        ],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
