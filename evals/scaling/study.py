"""One law on one set of points: the curve, its intervals, and whether it would have foretold the largest scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.scaling.curves import LAWS, Fit, Law, NoFit, Point, descend, fit, named
from evals.scaling.points import Measured

DRAWS = 500
"""Bootstrap draws."""
COVERAGE = 0.95
LOST = 0.1
"""Share of the draws that may fail to converge before no interval is given."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Foretold:
    """The largest scale, as the curve through all others foretells it."""

    point: Point
    accuracy: float
    interval: Interval
    """Where the observed accuracy should lie, its own sampling error included."""

    @property
    def inside(self) -> bool:
        """Whether it does."""
        return self.interval[0] <= self.point.accuracy <= self.interval[1]


@dataclass(frozen=True, slots=True)
class Study:
    """What one law makes of the points; no number where there is a reason for none."""

    law: Law
    fit: Fit | None
    refused: str | None
    """Why there is no fit."""
    intervals: dict[str, Interval] | None
    """Of each parameter, from the bootstrap."""
    foretold: Foretold | None
    unforetold: str | None
    """Why the largest scale was not foretold."""


def study(measured: Measured, law: Law, *, floor: float = 0.0, seed: int = 0, draws: int = DRAWS) -> Study:
    """Fit a law, draw the points again for its intervals, and have it foretell the largest scale.

    Args:
        measured: the points.
        law: one of `LAWS`.
        floor: accuracy of guessing.
        seed: of the starts and the draws.
        draws: of the bootstrap.
    """
    try:
        found = fit(measured.points, law, floor=floor, seed=seed)
    except NoFit as error:
        return Study(law, None, str(error), None, None, str(error))
    drawn = _redrawn(measured, found, seed, draws)
    intervals = None
    if len(drawn) >= (1 - LOST) * draws:
        tables = [named(law, one.values) for one in drawn]
        intervals = {name: _interval([table[name] for table in tables]) for name in tables[0]}
    try:
        return Study(law, found, None, intervals, _foretell(measured, law, floor, seed, draws), None)
    except NoFit as error:
        return Study(law, found, None, intervals, None, str(error))


def best(studies: Sequence[Study]) -> Study | None:
    """Return the law that fits best by Schwarz's criterion; None where none fits."""
    fitted = [(one.fit.bic, at) for at, one in enumerate(studies) if one.fit]
    return studies[min(fitted)[1]] if fitted else None


def studies(measured: Measured, *, floor: float = 0.0, seed: int = 0, draws: int = DRAWS) -> list[Study]:
    """Study every law."""
    return [study(measured, law, floor=floor, seed=seed, draws=draws) for law in LAWS.values()]


def _foretell(measured: Measured, law: Law, floor: float, seed: int, draws: int) -> Foretold:
    rest, largest = measured.without_largest()
    found = fit(rest.points, law, floor=floor, seed=seed)
    rng = np.random.default_rng([seed, 1])
    accuracies = [min(1.0, max(0.0, one.at(largest.x))) for one in _redrawn(rest, found, seed, draws)]
    observed = [float(rng.binomial(largest.of, accuracy)) / largest.of for accuracy in accuracies]
    if len(observed) < (1 - LOST) * draws:
        raise NoFit(f"{law.name}: too many draws did not converge without the largest scale")
    return Foretold(largest, found.at(largest.x), _interval(observed))


def _redrawn(measured: Measured, found: Fit, seed: int, draws: int) -> list[Fit]:
    """Fit the points drawn again. Shapes at the end of their range stay in: they are what makes an interval wide."""
    rng = np.random.default_rng([seed, 0])
    fits = (descend(measured.again(rng), found.law, found.floor, starts=0, near=found)[0] for _ in range(draws))
    return [one for one in fits if one is not None]


def _interval(values: Sequence[float]) -> Interval:
    low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
