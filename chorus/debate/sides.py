"""Who stands for what: turns become sides, and sides are put in order.

A side is one distinct answer with the seats whose newest position it is. Nothing here depends on the order in which
turns or seats are given: answers are compared in alphabetical order, sums are exact, and what is still level is ordered
by the one tie rule of `best_first`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum

from chorus.debate import grade
from chorus.types import AnswerKind, Position, Question, Turn, TurnKind


@dataclass(frozen=True, slots=True)
class Side:
    """A distinct answer and those who stand for it."""

    answer: str
    """Its spelling: the most common one; where several are, the one held with more confidence, then the shortest."""
    turns: tuple[Turn, ...]
    """The turn in which each of its seats took the position, by name of the seat."""
    confidence: float
    """Summed over its seats; one that names no confidence adds nothing."""

    @property
    def seats(self) -> tuple[str, ...]:
        """Its seats by name."""
        return tuple(turn.seat for turn in self.turns)


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """The state of a debate as its seats' newest positions make it."""

    question: Question
    kind: AnswerKind
    turns: Sequence[Turn]
    seats: frozenset[str]
    sides: tuple[Side, ...]
    """Alphabetical by the first of their spellings."""
    places: dict[str, int | None] = field(repr=False)
    """Answer as spelled -> index of its side; grows as `find` is asked."""

    @property
    def participation(self) -> float:
        """Share of the seats that took a position."""
        return sum(len(side.turns) for side in self.sides) / max(len(self.seats), 1)

    def find(self, answer: str) -> int | None:
        """Return the index of the side that an answer belongs to, `None` when no seat stands for it."""
        if answer not in self.places:
            self.places[answer] = next(
                (i for i, side in enumerate(self.sides) if self.same(side.answer, answer)),
                None,
            )
        return self.places[answer]

    def same(self, a: str, b: str) -> bool:
        """Tell whether two answers to this question are one."""
        return grade.same(a, b, self.kind, self.question.choices)

    def done(self, kind: TurnKind) -> list[Turn]:
        """Return the finished turns of a kind, oldest first, whoever spoke them."""
        found = [turn for turn in self.turns if turn.kind == kind and turn.status == "done"]
        return sorted(found, key=lambda turn: (turn.round, turn.id))


def position_of(turn: Turn) -> Position | None:
    """Return the position that a finished turn took; a blank answer is none."""
    taken = turn.position if turn.status == "done" else None
    return taken if taken and taken.answer.strip() else None


def stand(question: Question, kind: AnswerKind, turns: Sequence[Turn], seats: Sequence[str]) -> Standing:
    """Group the newest positions of the seats into sides.

    Only finished speeches of these seats count. A seat whose newest turn failed, was cancelled or gave no answer keeps
    the position that it took before.
    """
    members = frozenset(seats)
    held: dict[str, Turn] = {}
    for turn in turns:
        if turn.kind == "speech" and turn.seat in members and position_of(turn):
            before = held.get(turn.seat)
            if before is None or (turn.round, turn.id) > (before.round, before.id):
                held[turn.seat] = turn
    spelled: dict[str, list[Turn]] = {}
    for seat in sorted(held):
        spelled.setdefault(_answer(held[seat]), []).append(held[seat])
    spellings = sorted(spelled)
    groups = grade.classes(spellings, kind, question.choices) if len(spellings) > 1 else [[0]] * len(spellings)
    sides = tuple(_side({spellings[i]: spelled[spellings[i]] for i in group}) for group in groups)
    places: dict[str, int | None] = {spellings[i]: place for place, group in enumerate(groups) for i in group}
    return Standing(question, kind, turns, members, sides, places)


def best_first(standing: Standing, weights: Sequence[float], unit: str) -> tuple[list[int], str | None]:
    """Put the sides in order by weight, and break ties by the one rule that there is.

    **The tie rule.** Among answers of equal weight goes first (1) the one with the higher summed confidence, then (2)
    the one that more seats held in their first drafts, then (3) the one whose spelling, in lower case and with single
    spaces, comes first in the alphabet. The order in which voices spoke never counts.

    Args:
        standing: The sides.
        weights: One for each side, in `unit`.
        unit: What the weights count, for the sentence.

    Returns:
        The indexes of the sides, best first, and how a tie for the first place was broken, if there was one.
    """
    sides = standing.sides
    level = len({(weight, side.confidence) for weight, side in zip(weights, sides, strict=True)}) < len(sides)
    drafts = _first_drafts(standing) if level else [0] * len(sides)
    keys = [
        (-weight, -side.confidence, -count, _plain(side.answer), side.answer)
        for weight, side, count in zip(weights, sides, drafts, strict=True)
    ]
    order = sorted(range(len(sides)), key=keys.__getitem__)
    if len(order) < 2 or weights[order[0]] != weights[order[1]]:
        return order, None
    step = next(i for i, (a, b) in enumerate(zip(keys[order[0]], keys[order[1]], strict=True)) if a != b)
    names = [_short(sides[i].answer) for i in order if weights[i] == weights[order[0]]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    why = {1: "its voices are surer, taken together", 2: "more voices held it in their first drafts"}
    return order, (
        f"{', '.join(names[:4])}{more} are level ({unit}: {weights[order[0]]:.4g}); "
        f"{names[0]} goes first because {why.get(step, 'it comes first in the alphabet')}"
    )


def _side(spelled: dict[str, list[Turn]]) -> Side:
    """Make a side of the turns that spell one answer in one or more ways."""
    sure = {spelling: _confidence(turns) for spelling, turns in spelled.items()}
    turns = sorted((turn for turns in spelled.values() for turn in turns), key=lambda turn: turn.seat)
    best = min(spelled, key=lambda spelling: (-len(spelled[spelling]), -sure[spelling], len(spelling), spelling))
    return Side(best, tuple(turns), _confidence(turns))


def _confidence(turns: Sequence[Turn]) -> float:
    return fsum((turn.position and turn.position.confidence) or 0.0 for turn in turns)


def _first_drafts(standing: Standing) -> list[int]:
    """Count, for each side, the seats that held it in round 1."""
    counts = [0] * len(standing.sides)
    for turn in standing.turns:
        if turn.kind == "speech" and turn.round == 1 and turn.seat in standing.seats and position_of(turn):
            place = standing.find(_answer(turn))
            if place is not None:
                counts[place] += 1
    return counts


def _answer(turn: Turn) -> str:
    return turn.position.answer if turn.position else ""


def _plain(answer: str) -> str:
    return " ".join(answer.casefold().split())


def _short(answer: str) -> str:
    flat = " ".join(answer.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"
