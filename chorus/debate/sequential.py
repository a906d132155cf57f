"""Ending a vote early at a stated risk: stop once it is unlikely that the votes still to come would change the outcome.

`decide.settled` stops only when they can't. That takes half the votes and more, however plainly they agree; this rule
takes fewer, and is wrong in at most a share `error` of the debates in which it might be:

- The votes of the final round are counted in an order drawn beforehand, whichever comes in first: quick voices may
  think alike, and what has been counted must be a fair sample of what is to come.
- One answer is a candidate, chosen before the count: the leader of the round before, or in a single round whatever the
  first seat counted says. The rule can only stop for the candidate.
- Each vote is a number in [-1, 1]: its weight if it is for the candidate, minus its weight if not. A gambler who holds
  that the candidate won't come out ahead of all others together should not get rich betting on the next vote, whose
  mean is known under that belief. His wealth is a supermartingale, so it reaches 1/error with a probability of at
  most `error` (Ville's inequality), at whatever moment one looks.

Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting (JRSS B 86, 2024),
section 5, on sampling without replacement.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from chorus.debate.decide import decide, rule
from chorus.debate.sides import Standing, position_of, stand
from chorus.types import AnswerKind, Question, Turn

STAKES = (0.5, 0.75, 0.95)
"""Shares of the most that may be bet on a vote. Wealth is the mean over gamblers with each of these habits."""

_SLACK = 1e-9


def likely_settled(
    name: str,
    question: Question,
    kind: AnswerKind,
    turns: Sequence[Turn],
    seats: Sequence[str],
    final_round: int,
    *,
    error: float,
    seed: int,
) -> bool:
    """Tell whether the votes counted so far are enough to stop, at this risk.

    Only `plurality` and `weighted` votes are counted, and the latter only as long as each names its confidence: what a
    voice without one weighs is not known before the end.

    Args:
        name: of the decision rule.
        question: what was asked.
        kind: what sort of answer is compared.
        turns: the debate's, in any order.
        seats: those that vote.
        final_round: its number.
        error: the share of wrong stops accepted, in [0, 0.5); 0 never stops.
        seed: draws the order of the count.

    Raises:
        ConfigError: there is no such rule.
    """
    if error <= 0 or rule(name).name not in ("plurality", "weighted"):
        return False
    counted = _counted(turns, seats, final_round, seed)
    standing = stand(question, kind, turns, counted)
    votes: list[tuple[int | None, float]] = []
    for seat in counted:
        vote = _vote(standing, seat, weighed=name == "weighted")
        if vote is None:
            return False
        votes.append(vote)
    if final_round > 1:
        before = [turn for turn in turns if turn.round < final_round]
        leader = decide(name, question, kind, before, seats).answer
        candidate = None if leader is None else standing.find(leader)
        first = 0
    else:
        candidate = votes[0][0] if votes else None
        first = 1
    if candidate is None:
        return False
    signed = [weight if side == candidate else -weight for side, weight in votes]
    return stops(signed[first:], len(seats) - first, error, ahead=sum(signed[:first]))


def stops(votes: Sequence[float], total: int, error: float, *, ahead: float = 0.0) -> bool:
    """Tell whether the count may stop by now, because it is unlikely that the candidate won't come out ahead.

    Args:
        votes: counted so far, each in [-1, 1], drawn at random without replacement from `total` votes.
        total: how many there are.
        error: bound on the probability that this is ever true of a candidate who does not come out ahead.
        ahead: what the candidate had before the first of these votes.

    Returns:
        True once the wealth of the gambler of the module's docstring has reached 1/error, or the votes left can't
        turn the count any more.
    """
    wealth = [1.0] * len(STAKES)
    left = total
    for vote in votes:
        mean = -ahead / left  # of the votes left, if the candidate ends up just level
        if 1 + mean <= _SLACK:
            return ahead > left + _SLACK
        wealth = [held * (1 + stake * (vote - mean) / (1 + mean)) for held, stake in zip(wealth, STAKES, strict=True)]
        ahead += vote
        left -= 1
        if sum(wealth) / len(wealth) >= 1 / error:
            return True
    return ahead > left + _SLACK


def count_order(seats: Sequence[str], seed: int) -> list[str]:
    """Return the order in which the votes of the seats are counted: drawn by the seed, whoever speaks first."""
    order = sorted(seats)
    random.Random(f"{seed}/count").shuffle(order)
    return order


def _counted(turns: Sequence[Turn], seats: Sequence[str], final_round: int, seed: int) -> list[str]:
    """Return the seats whose votes are counted: in the order drawn, up to the first that is still to speak."""
    order = count_order(seats, seed)
    spoken = {turn.seat for turn in turns if turn.kind == "speech" and turn.round == final_round}
    waited_for = next((place for place, seat in enumerate(order) if seat not in spoken), len(order))
    return order[:waited_for]


def _vote(standing: Standing, seat: str, *, weighed: bool) -> tuple[int | None, float] | None:
    """Return whom a seat votes for and with what weight; nobody, with 0, if it has no position; None if unknown."""
    for place, side in enumerate(standing.sides):
        for turn in side.turns:
            if turn.seat == seat:
                position = position_of(turn)
                sure = position.confidence if position else None
                if not weighed:
                    return place, 1.0
                return None if sure is None else (place, sure)
    return None, 0.0
