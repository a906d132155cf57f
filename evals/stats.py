"""How sure are we? The intervals and tests that every comparison of the reports rests on.

Pure functions over numbers, on scipy and statsmodels; `compare` puts outcomes into them. Questions are what was sampled,
so they are the unit throughout: seeds of one question are never counted as if they were new questions. All intervals are
95%. Randomness is seeded: the same numbers give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

ALPHA = 0.05
"""Share of true nulls that a test may reject; intervals cover one minus this."""
POWER = 0.8
"""Share of real effects that a test should find."""
RESAMPLES = 5_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95% interval."""

    value: float
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson(right: float, n: float) -> Interval:
    """Return a share and its Wilson score interval (Wilson, JASA 1927). Without observations it is anywhere in [0, 1].

    Args:
        right: how many were right.
        n: of how many; need not be whole, where it is an effective sample size.
    """
    if n <= 0:
        return Interval(math.nan, 0.0, 1.0)
    low, high = proportion_confint(right, n, alpha=ALPHA, method="wilson")
    return Interval(right / n, max(0.0, float(low)), min(1.0, float(high)))


def clustered_error(groups: Sequence[Sequence[float]]) -> float:
    """Return the standard error of the mean of all values, those of one group being dependent.

    The sandwich estimate with the factor G / (G - 1): what statsmodels gives for a constant with `cov_type="cluster"`,
    up to its second small-sample factor (n - 1) / (n - k), which is 1 here.

    Args:
        groups: of each question its values, one a seed.
    """
    number = len(groups)
    if number < 2:
        return math.nan
    total = sum(len(group) for group in groups)
    mean = math.fsum(map(math.fsum, groups)) / total
    squares = math.fsum((math.fsum(group) - len(group) * mean) ** 2 for group in groups)
    return math.sqrt(number / (number - 1) * squares) / total


def accuracy(groups: Sequence[Sequence[float]]) -> Interval:
    """Return the share of right answers with its interval: Wilson's, and over several seeds a clustered one.

    The clustered one is Wilson's at the effective sample size p(1 - p) / error² (Korn and Graubard, Survey Methodology
    1998), which keeps it within [0, 1] and honest near the ends. It never counts more than there are answers, and where
    all answers are alike it counts questions.

    Args:
        groups: of each question 1 or 0 for each seed.
    """
    total = sum(len(group) for group in groups)
    if not total:
        return wilson(0, 0)
    mean = math.fsum(map(math.fsum, groups)) / total
    if total == len(groups):
        return wilson(mean * total, total)
    error = clustered_error(groups)
    effective = float(len(groups)) if not error > 0 else min(mean * (1 - mean) / error**2, total)
    return wilson(mean * effective, effective)


def mean(strata: Sequence[Sequence[float]], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Return the mean over strata of their means, with its bootstrap interval (BCa, Efron, JASA 1987).

    Resampling keeps to the strata, so that every task counts alike however many questions it has. Values that are all
    the same leave no interval to draw: it is then as narrow as the value, and `detectable` tells what that is worth.

    Args:
        strata: of each task one value a question, for instance the difference between two systems.
        seed: of the resampling.
        resamples: how many.
    """
    samples = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    if not samples:
        return Interval(math.nan, math.nan, math.nan)
    value = float(np.mean([sample.mean() for sample in samples]))
    varied = [sample for sample in samples if np.ptp(sample) > 0]
    if not varied:
        return Interval(value, value, value)
    # Strata without spread only shift the mean; the bootstrap of the others is stretched to their part in it.
    fixed = math.fsum(float(sample.mean()) for sample in samples if not np.ptp(sample) > 0)

    def over_strata(*drawn: Floats, axis: int = -1) -> Floats:
        means: Floats = np.stack([one.mean(axis=axis) for one in drawn])
        summed: Floats = (means.sum(axis=0) + fixed) / len(samples)
        return summed

    # Bounded, so that the resamples of many questions fit into memory.
    batch = max(1, 2_000_000 // sum(map(len, varied)))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = stats.bootstrap(
            varied,
            over_strata,
            n_resamples=resamples,
            batch=batch,
            confidence_level=1 - ALPHA,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return Interval(value, float(found.low), float(found.high))


def flip_test(differences: Sequence[Fraction]) -> float:
    """Return the p-value, two-sided and exact, of no difference between two systems on any question.

    If there is none, each question's difference might as well have had the other sign (Fisher 1935): p is the share of
    all 2^n choices of signs whose sum is at least as far from 0. With one seed the differences are -1, 0 and 1, and
    this is McNemar's exact test (1947).

    Args:
        differences: of each question its mean under one system less its mean under the other.
    """
    scale = math.lcm(*(one.denominator for one in differences)) if differences else 1
    steps = [int(one * scale) for one in differences if one]
    reach = sum(map(abs, steps))
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in map(abs, steps):
        # No chance falls off the ends: the sum of all steps just reaches them.
        chances = (np.roll(chances, step) + np.roll(chances, -step)) / 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(sum(steps))
    return min(1.0, float(chances[far].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several, so that any one of them is below .05 by chance in 1 of 20 families."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def detectable(differences: Sequence[Fraction]) -> float | None:
    """Return the smallest gain that this many questions would have shown, four times in five, at p < .05.

    With one seed the power of the exact McNemar test is summed over all numbers of differing questions (Connor,
    Biometrics 1987, without his approximation); how often two systems differ is taken from the data, one question more
    counted as differing and one as not, so that systems which happened never to differ aren't taken to be one. A gain
    above that share needs as many to differ. With several seeds it is the normal approximation, 2.80 standard errors.

    Returns:
        A difference in accuracy; None where there are too few questions to show any.
    """
    n = len(differences)
    if any(one.denominator > 1 for one in differences):
        error = clustered_error([[float(one)] for one in differences])
        found = (stats.norm.isf(ALPHA / 2) + stats.norm.isf(1 - POWER)) * error
        return float(found) if 0 < found <= 1 else None
    differing = (sum(one != 0 for one in differences) + 1) / (n + 2)
    if _power(1.0, differing, n) < POWER:
        return None
    return float(optimize.brentq(lambda gain: _power(gain, differing, n) - POWER, 1e-9, 1.0, xtol=1e-6))


def _power(gain: float, differing: float, n: int) -> float:
    """Return how often the exact McNemar test on n questions rejects, at this gain and share of differing questions."""
    differing = max(differing, gain)
    counts = np.arange(n + 1)
    most = stats.binom.isf(ALPHA / 2, counts, 0.5)
    for_us = min(1.0, (differing + gain) / (2 * differing))
    rejected = stats.binom.sf(most, counts, for_us) + stats.binom.cdf(counts - most - 1, counts, for_us)
    return float(np.sum(stats.binom.pmf(counts, n, differing) * rejected))
