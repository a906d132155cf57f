"""What a system's beliefs are worth: how near to the posterior, and what moves them.

Every score compares beliefs of one system about the same problem in two arms, or a belief with the target. Beliefs are
kept off 0 and 1 by `EDGE` where log odds are taken. A problem counts in a score where both of its beliefs could be
read; what couldn't is counted beside (`unparsed`, `outside`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chorus.types import Frozen
from evals.beliefs.problems import Arm, Problem, logit
from evals.beliefs.stated import Fault

EDGE = 0.01


class Belief(Frozen):
    """What a system, or one voice of it, believed in one arm of one problem."""

    system: str
    voice: str
    """Seat; `all` for what the system says as a whole."""
    reading: str
    """`stated`, or `options` for the probability of the options."""
    problem: str
    arm: Arm
    p: float | None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The beliefs of one system about one problem, by arm."""

    problem: Problem
    by_arm: Mapping[Arm, float]

    def moved(self, arm: Arm) -> float | None:
        """Return how far the log odds moved between `before` and an arm, towards the evidence's side."""
        if "before" not in self.by_arm or arm not in self.by_arm:
            return None
        moved = _odds(self.by_arm[arm]) - _odds(self.by_arm["before"])
        return moved if self.problem.weight > 0 else -moved


def gather(problems: Sequence[Problem], beliefs: Sequence[Belief]) -> list[Held]:
    """Return what was held of each problem. `beliefs` are of one system, voice and reading."""
    by_problem: dict[str, dict[Arm, float]] = {}
    for belief in beliefs:
        if belief.p is not None:
            by_problem.setdefault(belief.problem, {})[belief.arm] = belief.p
    return [Held(problem, by_problem.get(problem.id, {})) for problem in problems]


def distance(held: Sequence[Held], arm: Arm) -> float | None:
    """Return the mean distance between belief and target in an arm, as probabilities."""
    return _mean([abs(one.by_arm[arm] - one.problem.target(arm)) for one in held if arm in one.by_arm])


def direction(held: Sequence[Held]) -> float | None:
    """Return the share of problems in which the belief moved to the evidence's side; staying put is no such move."""
    moves = [moved for one in held if (moved := one.moved("after")) is not None]
    return _mean([float(moved > 1e-9) for moved in moves])


def reaction(held: Sequence[Held], arm: Arm = "after") -> float | None:
    """Return the size of the update over that of a Bayesian: 1 as much, below under-, above over-reaction, 0 none.

    It is the slope through the origin of the moves in log odds on the evidence's weights; a Bayesian's own moves are
    taken between the beliefs that `EDGE` leaves them.
    """
    moves = [(moved, _due(one.problem)) for one in held if (moved := one.moved(arm)) is not None]
    total = math.fsum(due * due for _, due in moves)
    return math.fsum(moved * due for moved, due in moves) / total if total else None


def order_effect(held: Sequence[Held]) -> float | None:
    """Return how far beliefs differ, on average, by the order of the same evidence."""
    several = [one for one in held if len({piece.told.split()[-1] for piece in one.problem.evidence}) > 1]
    pairs = [one.by_arm for one in several if "after" in one.by_arm and "reversed" in one.by_arm]
    return _mean([abs(arms["after"] - arms["reversed"]) for arms in pairs])


def grounds(held: Sequence[Held]) -> float | None:
    """Return the reaction to voices with grounds less that to the same voices without: 1 for a Bayesian, 0 where the
    reasons make no difference.
    """
    both = [one for one in held if one.moved("grounded") is not None and one.moved("pressed") is not None]
    with_, without = reaction(both, "grounded"), reaction(both, "pressed")
    return None if with_ is None or without is None else with_ - without


SCORES: Mapping[str, Callable[[Sequence[Held]], float | None]] = {
    "distance before": lambda held: distance(held, "before"),
    "distance after": lambda held: distance(held, "after"),
    "right direction": direction,
    "reaction to evidence": reaction,
    "order effect": order_effect,
    "reaction to grounded voices": lambda held: reaction(held, "grounded"),
    "reaction to mere pressure": lambda held: reaction(held, "pressed"),
    "what grounds add": grounds,
}
"""Every score by its heading."""


def interval(
    held: Sequence[Held], score: Callable[[Sequence[Held]], float | None], *, seed: int = 0, draws: int = 200
) -> tuple[float, float] | None:
    """Return the 95% bootstrap interval of a score over problems; None where it can't be had in most draws."""
    rng, n = np.random.default_rng(seed), len(held)
    scored = [score([held[at] for at in rng.integers(0, n, n)]) for _ in range(draws)] if n else []
    found = [one for one in scored if one is not None]
    if len(found) < 0.9 * draws:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _due(problem: Problem) -> float:
    """Return the move in log odds that a Bayesian makes, as far as `EDGE` lets it show; never negative."""
    return abs(_odds(problem.posterior) - _odds(problem.prior))


def _odds(p: float) -> float:
    return logit(min(1 - EDGE, max(EDGE, p)))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
