"""Voices that verify instead of voting: the answer wins that holds up best when every voice checks every answer.

A check asks one voice of one answer whether it is right; no voice reads another's check. With p the probability of the yes
or no that it ends in, a check is worth P(right) = p where it says yes and 1 - p where it says no, and an answer weighs the
mean of its checks. How many stand for it counts for nothing: one voice that alone is right can win, and so can one
that is alone and wrong, where checking is no easier for the voices than answering was.

Distinct answers can't all be right, so the winner's mean is its confidence only where the means sum to 1 at most; beyond
that its share of them is. Voices that say yes to everything are thus sure of nothing.

Sources: self-verification, where a model's answers are ranked by how well they stand its own check (Weng et al., "Large
Language Models are Better Reasoners with Self-Verification", arXiv 2212.09561); P(True), the probability that a model
gives to an answer's being right (Kadavath et al., "Language Models (Mostly) Know What They Know", arXiv 2207.05221).
"""

from __future__ import annotations

from math import fsum

from chorus.debate.sides import Standing, position_of
from chorus.debate.verdict import outcome
from chorus.types import Decision

MOST_ANSWERS = 8
"""So many answers are checked at most, those with most voices: each takes a call of every voice. A choice."""


def right(says_yes: bool, sure: float | None) -> float:
    """Return P(right) of an answer by one check, in [0, 1]; a voice whose sureness is unknown is taken at its word."""
    said = 1.0 if sure is None else sure
    return said if says_yes else 1.0 - said


def checked(standing: Standing) -> Decision:
    """Decide by the mean P(right) of each answer. One that nobody could check weighs 0."""
    several = len(standing.sides) > 1
    checks = _checks(standing) if several else []
    if not any(checks):
        note = "no check could be read: decided by plurality" if several else None
        return outcome(standing, "checked", [float(len(side.turns)) for side in standing.sides], "votes", note=note)
    means = [fsum(one.values()) / len(one) if one else 0.0 for one in checks]
    voters = len({seat for one in checks for seat in one})

    def sure(winner: int) -> float:
        return means[winner] / max(1.0, fsum(means))

    return outcome(standing, "checked", means, "P(right)", note=_missing(standing, checks), voters=voters, sure=sure)


def _checks(standing: Standing) -> list[dict[str, float]]:
    """Return, for each side, P(right) by seat; of two checks of one answer by one seat the newer counts."""
    checks: list[dict[str, float]] = [{} for _ in standing.sides]
    for turn in standing.done("check"):
        position = position_of(turn)
        place = standing.find(position.answer) if position and turn.seat in standing.seats else None
        if place is not None and position and position.confidence is not None:
            checks[place][turn.seat] = position.confidence
    return checks


def _missing(standing: Standing, checks: list[dict[str, float]]) -> str | None:
    """Say how many checks came to nothing, if any did."""
    asked = sum(turn.kind == "check" and turn.seat in standing.seats for turn in standing.turns)
    missing = asked - sum(map(len, checks))
    return f"{missing} of {asked} checks are missing: they count for nothing" if missing else None
