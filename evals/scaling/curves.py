"""Two laws for accuracy against a scale, fitted so that a number comes out only where the points fix one.

    power      accuracy = top + (start - top) * (x / x_1)^-exponent        x_1: the smallest scale measured
    logistic   accuracy = floor + (top - floor) / (1 + (x / middle)^-slope)

Both keep between the chance floor and 1, and both may fall as well as rise. Residuals are counted in standard errors
of their points and weighed by Huber's loss, so that one odd point doesn't bend the curve; the least loss is sought from
many starts (as in Hoffmann et al., arXiv:2203.15556). `fit` raises `NoFit` with the reason, and gives no number, where

- there are too few scales, or too close together, for an exponent;
- the optimiser ends nowhere, or its best end is reached from one start alone;
- the points can't be told from a constant, or a shape runs to the end of its range: nothing holds it there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from chorus.errors import ChorusError

MIN_SCALES = 5
"""Different scales that an exponent is fitted to: two more than a law has parameters."""
MIN_SPAN = 4.0
"""The largest scale over the smallest, at least: an exponent is a matter of doublings."""
HUBER = 1.345
"""Standard errors from which on a residual counts linearly: 95% as efficient as least squares on normal errors."""
STARTS = 8
"""Descents of a fit, from the best of `CANDIDATES` places spread over the parameters' range."""
CANDIDATES = 512
ALPHA = 0.05
"""Chance at which a flat truth is taken for a curve."""

Array = np.ndarray[Any, np.dtype[np.float64]]


class NoFit(ChorusError):
    """No number can be given; the message says why."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy at one scale."""

    x: float
    """The scale, above 0."""
    right: float
    """Answers that were right; a mean over seeds need not be whole."""
    of: int
    """Answers."""
    name: str = ""
    """The system it was measured on."""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.of

    @property
    def error(self) -> float:
        """Standard error of the accuracy by Agresti and Coull (1998): above 0 even where all answers are right."""
        share = (self.right + 2) / (self.of + 4)
        return math.sqrt(share * (1 - share) / (self.of + 4))


@dataclass(frozen=True, slots=True)
class Law:
    """A shape of curve. `span` is the smallest and largest scale that it is fitted to."""

    name: str
    parameters: tuple[str, ...]
    shape: str
    """The parameter that the law is about: the exponent or the slope."""
    at: Callable[[Array, Array, float, tuple[float, float]], Array] = field(repr=False)
    """(scales, parameters, floor, span) -> accuracies."""
    bounds: Callable[[float, tuple[float, float]], tuple[list[float], list[float]]] = field(repr=False)
    """(floor, span) -> least and greatest parameters."""


def _power(x: Array, parameters: Array, floor: float, span: tuple[float, float]) -> Array:
    start, top, exponent = parameters
    return np.asarray(top + (start - top) * (x / span[0]) ** -exponent)


def _logistic(x: Array, parameters: Array, floor: float, span: tuple[float, float]) -> Array:
    top, log_middle, slope = parameters
    return np.asarray(floor + (top - floor) / (1 + np.exp(-slope * (np.log(x) - log_middle))))


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.name: law
        for law in (
            Law(
                "power",
                ("start", "top", "exponent"),
                "exponent",
                _power,
                lambda floor, span: ([floor, floor, 0.02], [1.0, 1.0, 5.0]),
            ),
            Law(
                "logistic",
                ("top", "log_middle", "slope"),
                "slope",
                _logistic,
                lambda floor, span: (
                    [floor, math.log(span[0]) - 2.5, -8.0],
                    [1.0, math.log(span[1]) + 2.5, 8.0],
                ),
            ),
        )
    }
)
"""Every law by name."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A curve that the points fix."""

    law: Law
    floor: float
    """Accuracy of guessing."""
    span: tuple[float, float]
    values: Array
    """In the order of the law's parameters."""
    loss: float
    """Huber's, of residuals in standard errors."""
    points: int

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name; a logistic's middle as a scale."""
        return named(self.law, self.values)

    @property
    def bic(self) -> float:
        """Schwarz's criterion; of two laws for the same points the lower is the better."""
        return 2 * self.loss + len(self.values) * math.log(self.points)

    def at(self, x: float) -> float:
        """Return the accuracy at a scale."""
        return float(self.law.at(np.array([x], dtype=float), self.values, self.floor, self.span)[0])


def named(law: Law, values: Array) -> dict[str, float]:
    """Return parameters by name, as a reader wants them: the middle of a logistic as a scale, not its logarithm."""
    by_name = dict(zip(law.parameters, map(float, values), strict=True))
    if "log_middle" in by_name:
        by_name["middle"] = math.exp(by_name.pop("log_middle"))
    return by_name


def fit(points: Sequence[Point], law: Law, *, floor: float = 0.0, seed: int = 0, evaluations: int | None = None) -> Fit:
    """Fit a law.

    Args:
        points: accuracy at each scale.
        law: one of `LAWS`.
        floor: accuracy of guessing, in [0, 1).
        seed: of the starts.
        evaluations: of the curve that each start may take; `None` is a hundred a parameter.

    Raises:
        NoFit: the points fix no such curve; see the module's docstring.
    """
    refuse_too_few(points)
    best, agreeing = descend(points, law, floor, starts=STARTS, seed=seed, evaluations=evaluations)
    if best is None:
        raise NoFit(f"{law.name}: the fit did not converge from any of {STARTS} starts")
    if agreeing < 2:
        raise NoFit(f"{law.name}: the fit did not converge: one of {STARTS} starts reached its best end, no other did")
    gain = 2 * (_flat_loss(points) - best.loss)
    if gain < stats.chi2.ppf(1 - ALPHA, len(law.parameters) - 1):
        raise NoFit(f"{law.name}: the points can't be told from a constant, so they fix no {law.shape}")
    for name, value, low, high in zip(law.parameters, best.values, *law.bounds(floor, best.span), strict=True):
        slack = 1e-3 * (high - low)
        if name in (law.shape, "log_middle") and not low + slack < value < high - slack:
            raise NoFit(f"{law.name}: the {name.removeprefix('log_')} runs to the end of its range: nothing holds it")
    return best


def refuse_too_few(points: Sequence[Point]) -> None:
    """Raise NoFit where no exponent should be read from these scales, whatever a fit may give."""
    scales = sorted({point.x for point in points})
    if scales and scales[0] <= 0:
        raise NoFit(f"a scale must be above 0, not {scales[0]:g}")
    if len(scales) < MIN_SCALES:
        raise NoFit(f"{len(scales)} different scales are too few for an exponent: {MIN_SCALES} are needed")
    if scales[-1] < MIN_SPAN * scales[0]:
        raise NoFit(
            f"the scales span a factor of {scales[-1] / scales[0]:.2g}, too little for an exponent: "
            f"{MIN_SPAN:g} is needed"
        )


def descend(
    points: Sequence[Point],
    law: Law,
    floor: float,
    *,
    starts: int,
    seed: int = 0,
    near: Fit | None = None,
    evaluations: int | None = None,
) -> tuple[Fit | None, int]:
    """Return the least loss found, whether or not it means anything, and how many starts ended there.

    Args:
        points: accuracy at each scale.
        law: one of `LAWS`.
        floor: accuracy of guessing.
        starts: the best of `CANDIDATES` places, spread over the parameters' range by Latin hypercube.
        seed: of these places.
        near: a fit to start from as well.
        evaluations: of the curve that each start may take.
    """
    x = np.array([point.x for point in points], dtype=float)
    accuracies = np.array([point.accuracy for point in points])
    errors = np.array([point.error for point in points])
    span = (float(x.min()), float(x.max()))
    low, high = map(np.array, law.bounds(floor, span))

    def residuals(values: Array) -> Array:
        return np.asarray((law.at(x, values, floor, span) - accuracies) / errors)

    begins = [near.values] if near else []
    if starts:
        spread = stats.qmc.LatinHypercube(len(low), rng=np.random.default_rng(seed)).random(CANDIDATES)
        places = list(low + spread * (high - low))
        begins += sorted(places, key=lambda place: float(special.huber(HUBER, residuals(place)).sum()))[:starts]
    ends = []
    for begin in begins:
        end = optimize.least_squares(
            residuals, begin, bounds=(low, high), loss="huber", f_scale=HUBER, x_scale=high - low, max_nfev=evaluations
        )
        if end.status > 0 and np.isfinite(end.cost):
            ends.append(end)
    if not ends:
        return None, 0
    best = min(ends, key=lambda end: end.cost)
    agreeing = sum(end.cost <= best.cost + 1e-3 for end in ends)
    return Fit(law, floor, span, np.asarray(best.x), float(best.cost), len(points)), agreeing


def _flat_loss(points: Sequence[Point]) -> float:
    """Return the least loss of a constant."""
    accuracies = np.array([point.accuracy for point in points])
    errors = np.array([point.error for point in points])
    end = optimize.least_squares(
        lambda level: (level - accuracies) / errors, [float(accuracies.mean())], loss="huber", f_scale=HUBER
    )
    return float(end.cost)
