"""Votes counted again from an outcome's drafts, by the debate's own rules and without an engine.

An outcome's answers are distinct already, so its drafts become the `Standing` that the rules of `chorus.debate.decide`
count, and nothing has to be graded. What voices said to each other stays as it was: leaving a seat out takes its vote
away, not what the others heard of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import fsum

from chorus.debate import decide
from chorus.debate.sides import Side, Standing, best_first
from chorus.types import Decision, Position, Question, Turn
from evals.outcomes import Draft, Outcome

COUNTED = ("plurality", "weighted")
"""Rules that need nothing but the positions. Others are counted again by plurality."""


def spoken(outcome: Outcome) -> list[Draft]:
    """Return the speeches that were finished and gave an answer, in the record's order."""
    return [one for one in outcome.drafts if one.kind == "speech" and _answers(one)]


def first_drafts(outcome: Outcome) -> list[Draft]:
    """Return the turns in which nobody had been heard yet, failed ones included: what a vote can be drawn from."""
    return [one for one in outcome.drafts if one.kind == "speech" and one.round == 1 and one.status != "cancelled"]


def held(outcome: Outcome, last: int | None = None) -> dict[str, Draft]:
    """Return of each seat the draft of the position that it held at last.

    Args:
        outcome: of a debate.
        last: by the end of which round; None: of the debate.
    """
    newest: dict[str, Draft] = {}
    for one in sorted(spoken(outcome), key=lambda one: one.round):
        if last is None or one.round <= last:
            newest[one.seat] = one
    return newest


def turns(outcome: Outcome) -> list[Turn]:
    """Return the speeches that gave an answer as the turns that they were, as far as a count reads them."""
    return [_turn(one, outcome.answers[one.side]) for one in spoken(outcome) if one.side is not None]


def standing(
    outcome: Outcome,
    seats: Collection[str] | None = None,
    last: int | None = None,
    said: Sequence[Turn] | None = None,
) -> Standing:
    """Return who stands for what.

    Args:
        outcome: of a debate.
        seats: whose positions count; None: those of all seats.
        last: by the end of which round; None: of the debate.
        said: the outcome's `turns`, for whoever counts it many times.
    """
    everyone = {one.seat for one in outcome.drafts if one.kind == "speech"}
    members = frozenset(everyone if seats is None else everyone & set(seats))
    speeches = turns(outcome) if said is None else said
    newest: dict[str, Turn] = {}
    for turn in sorted(speeches, key=lambda turn: turn.round):
        if turn.seat in members and (last is None or turn.round <= last):
            newest[turn.seat] = turn
    sides: dict[str, list[Turn]] = {}
    for seat in sorted(newest):
        position = newest[seat].position
        if position:
            sides.setdefault(position.answer, []).append(newest[seat])
    order = sorted(sides)
    places: dict[str, int | None] = dict.fromkeys(outcome.answers)
    places |= {answer: place for place, answer in enumerate(order)}
    return Standing(
        Question(text="Counted again."),
        "short",
        speeches,
        members,
        tuple(_side(answer, sides[answer]) for answer in order),
        places,
    )


def decided(outcome: Outcome, seats: Collection[str] | None = None, last: int | None = None) -> Decision:
    """Return what the outcome's rule makes of the positions; plurality stands in for rules that need more than them."""
    return decide.rule(counted_by(outcome)).count(standing(outcome, seats, last))


def counted_by(outcome: Outcome) -> str:
    """Return the rule by which an outcome's votes are counted again."""
    return outcome.rule if outcome.rule in COUNTED else "plurality"


def vote(of: Standing, power: float) -> tuple[str, float] | None:
    """Return the winner of a vote weighted by confidence^power, and its share; None where nobody took a position.

    Power 0 is plurality, 1 the rule `weighted`; a voice without confidence weighs as the mean
    of the others, or 1. Ties are broken as in any debate.
    """
    if not of.sides:
        return None
    weights = [[_confidence(turn) for turn in side.turns] for side in of.sides]
    known = [one**power for side in weights for one in side if one is not None]
    unknown = fsum(known) / len(known) if known else 1.0
    sums = [fsum(unknown if one is None else one**power for one in side) for side in weights]
    best = best_first(of, sums, "votes")[0][0]
    return of.sides[best].answer, sums[best] / fsum(sums) if fsum(sums) else 0.0


def _answers(draft: Draft) -> bool:
    return draft.status == "done" and draft.side is not None


def _confidence(turn: Turn) -> float | None:
    return turn.position.confidence if turn.position else None


def _side(answer: str, turns: Sequence[Turn]) -> Side:
    return Side(answer, tuple(turns), fsum(_confidence(turn) or 0.0 for turn in turns))


def _turn(draft: Draft, answer: str) -> Turn:
    """Return as much of the turn as a count reads. Its parts were checked when the outcome was read."""
    position = Position.model_construct(answer=answer, confidence=draft.confidence, signals=draft.signals, ranking=None)
    return Turn.model_construct(
        id=draft.turn, round=draft.round, seat=draft.seat, persona=draft.persona, kind="speech", position=position
    )
