"""What a debate asks of an engine: its calls, what each waits for, and what each reads and writes.

Nothing of this is made up here. A debate is held by the chorus itself on the scripted engine; its record says who spoke, and
its plan, unrolled as the scheduler unrolls it, who waited for whom. The prompts are counted by a tokenizer, and a prefix
cache is played over them to see what an engine that has held another debate before would have to compute.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.debate import topology
from chorus.types import Answer
from evals.bench.prefix_order import computed_each, debate, prompts
from evals.bench.transcript_orders import by_round

Encode = Callable[[list[dict[str, str]]], Sequence[int]]
"""Chat messages -> the tokens of a prompt."""

BLOCK = 32
"""Tokens that a prefix cache keeps or drops together."""


@dataclass(frozen=True, slots=True)
class Call:
    """One turn, as an engine sees it."""

    id: str
    waits: tuple[str, ...]
    """Calls of the same debate that must have ended."""
    prompt: int
    """Prompt tokens."""
    shared: int
    """Of these, those that an earlier prompt began with; an engine whose cache has them need not compute them."""
    written: int
    """Tokens of the completion."""

    def computed(self, hit: float) -> int:
        """Return the prompt tokens to compute when so large a share of `shared` is found in the cache."""
        return self.prompt - round(hit * self.shared)


Debate = tuple[Call, ...]
"""Calls in an order in which none comes before what it waits for."""


@dataclass(frozen=True, slots=True)
class Load:
    """Debates of one kind. Without a gate all are `whole`."""

    whole: Debate
    """All seats speak."""
    gated: Debate | None = None
    """The gate answers: a few voices, then no more."""
    answered: float = 0.0
    """Share of debates that the gate answers."""

    @property
    def calls(self) -> float:
        """Calls a debate, on average."""
        return self._mean(len)

    @property
    def written(self) -> float:
        """Tokens written a debate, on average."""
        return self._mean(lambda calls: sum(call.written for call in calls))

    def computed(self, hit: float) -> float:
        """Return prompt tokens computed a debate, on average."""
        return self._mean(lambda calls: sum(call.computed(hit) for call in calls))

    def _mean(self, count: Callable[[Debate], float]) -> float:
        return (1 - self.answered) * count(self.whole) + self.answered * (count(self.gated) if self.gated else 0)


def plain(spec: str, tokens: int, encode: Encode) -> Load:
    """Return debates of the benchmarks' cast over a topology, each turn so many tokens long."""
    return Load(_steady(spec, tokens, encode, {}))


def gated(spec: str, tokens: int, encode: Encode, answered: float) -> Load:
    """Return the same behind a gate that answers such a share of them.

    Where the gate does not answer, its voices have spoken before anybody else begins.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = [
            _steady(spec, tokens, encode, {"gate": True, "calibration": str(gate_file(Path(folder), threshold))})
            for threshold in (1.0, 0.0)
        ]
    whole, short = found
    asked = tuple(call.id for call in short)
    first = [call for call in whole if call.id in asked]
    others = [dataclasses.replace(call, waits=call.waits or asked) for call in whole if call.id not in asked]
    return Load((*first, *others), short, answered)


def of(answers: Sequence[Answer], tokens: int, encode: Encode, block: int = BLOCK) -> list[Debate]:
    """Return what debates, one after another on one engine with an empty cache, ask of it.

    Args:
        answers: the records.
        tokens: length of a turn.
        encode: counts prompts.
        block: tokens that the cache keeps or drops together.
    """
    written = [_encoded(answer, encode) for answer in answers]
    computed = computed_each([tokens for each in written for tokens in each], block)
    return [
        tuple(
            Call(name, waits, len(prompt), len(prompt) - next(computed), tokens)
            for (name, waits), prompt in zip(_order(answer), read, strict=True)
        )
        for answer, read in zip(answers, written, strict=True)
    ]


def _order(answer: Answer) -> list[tuple[str, tuple[str, ...]]]:
    """Return the turns that were spoken, in the record's order, each with those that it waited for."""
    seats = [seat.seat for seat in answer.plan.seats]
    turns = topology.unroll(topology.from_edges(seats, answer.plan.edges), answer.plan.rounds)
    return [
        (turn.id, tuple(topology.turn_id(*earlier) for earlier in turns.pred[turn.round, turn.seat]))
        for turn in answer.turns
        if turn.status == "done"
    ]


def _steady(spec: str, tokens: int, encode: Encode, settings: dict[str, Any]) -> Debate:
    """Return a debate on an engine that has held another one before."""
    held = [debate(spec, tokens, 0, number=number, **settings) for number in (0, 1)]
    return of(held, tokens, encode)[1]


def _encoded(answer: Answer, encode: Encode) -> list[Sequence[int]]:
    said = [
        prompt for prompt, turn in zip(prompts(answer, by_round), answer.turns, strict=True) if turn.status == "done"
    ]
    return [
        encode([{"role": message.role, "content": message.content} for message in prompt.messages]) for prompt in said
    ]


def gate_file(folder: Path, threshold: float) -> Path:
    """Write a calibration whose gate never answers (at 1), or answers whenever its voices agree (at 0)."""
    file = folder / f"gate-{threshold:g}.json"
    fitted = {"date": "-", "command": "-", "engine": "-", "questions": 1, "split": "dev", "seed": 0}
    gate = {"voices": 2, "threshold": threshold, "answered": 0.5, "accuracy": 0.5, "interval": [0.0, 1.0]}
    answer = {"intercept": 0.0, "weights": {}}
    file.write_text(json.dumps({"schema": 1, "fitted": fitted, "answer": answer, "gate": gate}))
    return file
