"""Votes that one persuasive voice can't carry alone: first drafts stay in the count.

In round 1 nobody has heard anybody, so what a voice says then can't have been talked into it.

- `anchored`: every seat has two votes, one for its first draft and one for where it ends.
- `capped`: an answer has a vote for each seat that came to it first, in the round in which it came up, and at most as
  many again for the seats that took it over. An answer that one voice brought in has two votes at most, whoever follows.

Both cost something where one voice is right and rightly convinces the rest. An answer that everybody has left stays on
the table with the words in which it was drafted; nobody stands for it any more, so no seat is named beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from chorus.debate import grade
from chorus.debate.sides import Side, Standing, position_of, stand
from chorus.debate.verdict import outcome
from chorus.types import Decision, Turn


def anchored(standing: Standing) -> Decision:
    """Decide by first drafts and final positions together."""

    def votes(answer: Side, drafts: Sequence[Side], first: frozenset[str]) -> float:
        return float(len(answer.turns) + sum(len(side.turns) for side in drafts))

    return _decide(standing, "anchored", votes)


def capped(standing: Standing) -> Decision:
    """Decide by who came to an answer first, and by no more followers than these."""

    def votes(answer: Side, drafts: Sequence[Side], first: frozenset[str]) -> float:
        followers = set(answer.seats) - first
        return float(len(first) + min(len(followers), len(first)))

    return _decide(standing, "capped", votes)


def _decide(standing: Standing, name: str, votes: Callable[[Side, Sequence[Side], frozenset[str]], float]) -> Decision:
    if not standing.sides or not grade.comparable(standing.kind):
        note = "answers of this kind can't be followed from voice to voice: counted as a plain vote"
        return outcome(standing, name, [float(len(side.turns)) for side in standing.sides], "votes", note=note)
    speeches = [turn for turn in standing.turns if turn.kind == "speech" and turn.seat in standing.seats]
    drafts = stand(
        standing.question, standing.kind, [turn for turn in speeches if turn.round == 1], list(standing.seats)
    )
    left = tuple(side for side in drafts.sides if standing.find(side.answer) is None)
    whole = dataclasses.replace(standing, sides=(*standing.sides, *left), places={})
    held = [*standing.sides, *(dataclasses.replace(side, turns=()) for side in left)]
    weights = [
        votes(side, [one for one in drafts.sides if whole.find(one.answer) == place], _first(whole, speeches, place))
        for place, side in enumerate(held)
    ]
    taking_part = sum(len(side.turns) for side in standing.sides)
    decision = outcome(whole, name, weights, "votes", voters=taking_part)
    deserted = {side.answer for side in left}
    support = tuple(row.model_copy(update={"seats": ()}) if row.answer in deserted else row for row in decision.support)
    dissent = decision.dissent
    if dissent and dissent.answer in deserted:
        dissent = dissent.model_copy(update={"seats": ()})
    return decision.model_copy(update={"support": support, "dissent": dissent})


def _first(whole: Standing, speeches: Sequence[Turn], place: int) -> frozenset[str]:
    """Return the seats that held an answer in the round in which it came up."""
    holding = [
        (turn.round, turn.seat)
        for turn in speeches
        if (position := position_of(turn)) and whole.find(position.answer) == place
    ]
    came_up = min((number for number, _ in holding), default=0)
    return frozenset(seat for number, seat in holding if number == came_up)
