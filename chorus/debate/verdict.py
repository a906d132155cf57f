"""From weights to a decision: support, confidence, dissent.

Every rule ends here. The support table holds every side, best first. The confidence is the winner's share of the
weight, times the share of seats that took part. The dissent is the strongest losing position, in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import fsum

from chorus.debate import grade
from chorus.debate.sides import Side, Standing, best_first
from chorus.types import Decision, Dissent, Support


def outcome(
    standing: Standing,
    name: str,
    weights: Sequence[float],
    unit: str,
    *,
    note: str | None = None,
    voters: int | None = None,
    sure: Callable[[int], float] | None = None,
) -> Decision:
    """Make the decision that the weights of the sides lead to.

    Args:
        standing: The sides.
        name: The rule's.
        weights: One for each side.
        unit: What the weights count.
        note: What a reader should know about how the rule ran.
        voters: How many seats took part, where these aren't the seats with a position.
        sure: Index of the winner -> what stands for its share in the confidence, where shares don't say how sure it is.
    """
    if not standing.sides:
        return Decision(rule=name, answer=None, confidence=0.0, note="no voice took a position")
    order, tie = best_first(standing, weights, unit)
    total = fsum(weights)
    support = tuple(_row(standing.sides[i], weights[i], total) for i in order)
    taking_part = standing.participation if voters is None else voters / len(standing.seats)
    return Decision(
        rule=name,
        answer=support[0].answer,
        confidence=clip((sure(order[0]) if sure else support[0].share) * taking_part),
        support=support,
        dissent=dissent(standing, support[1]) if len(support) > 1 else None,
        tie=tie,
        note=note,
    )


def dissent(standing: Standing, row: Support) -> Dissent:
    """Let the surest voice of a losing side speak; of voices equally sure, the first by name of the seat."""
    place = standing.find(row.answer)
    turns = standing.sides[place or 0].turns
    surest = max(turns, key=lambda turn: (turn.position and turn.position.confidence) or 0.0)
    return Dissent(answer=row.answer, share=row.share, seats=row.seats, turn=surest.id, text=surest.text)


def unlike(standing: Standing, answer: str, support: Sequence[Support]) -> Support | None:
    """Return the row that a synthesis left out.

    The strongest answer that is not the synthesis's own; or, where answers can only be read, the one that has the
    smallest share of its words in common with it (Jaccard index of the two sets of words).
    """
    if grade.comparable(standing.kind):
        told = grade.extract(answer, standing.kind, standing.question.choices) or answer
        return next((row for row in support if not standing.same(row.answer, told)), None)
    words = _words(answer)
    unlike = [row for row in support if _words(row.answer) != words]
    return min(unlike, key=lambda row: _overlap(words, _words(row.answer)), default=None)


def clip(share: float) -> float:
    """Return a share as a probability, free of what rounding added."""
    return round(min(1.0, max(0.0, share)), 12)


def _row(side: Side, weight: float, total: float) -> Support:
    return Support(answer=side.answer, weight=weight, share=weight / total if total else 0.0, seats=side.seats)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / max(len(a | b), 1)
