"""Knowing when it doesn't know: is a system right where it says that it is sure?

A predictor is a number in [0, 1] that each answer comes with: the winner's share of the support, the decision's
confidence, or that of the winner's voices.
Brier's score and the calibration error ask whether it is a probability; the risk-coverage figures only whether the
answers that it puts first are the right ones, which is what matters to whoever answers some questions and leaves the
rest. Answers with equal numbers are in no order: wherever they are ordered, the mean over all orders is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from evals import recount
from evals.outcomes import Outcome
from evals.stats import ALPHA, Floats, Interval

BINS = 10
Places = npt.NDArray[np.intp]
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Knowing:
    """How well a predictor tells right answers from wrong ones."""

    system: str
    predictor: str
    calls: float
    """A question."""
    accuracy: float
    brier: Interval
    """Mean squared difference from 1 for right and 0 for wrong answers; 0 is best (Brier 1950)."""
    ece: Interval
    """Expected calibration error, see `ece`; 0 is best."""
    aurc: Interval
    """Mean error rate over all coverages, see `aurc`; 0 is best."""
    augrc: Interval
    """Mean rate of accepted errors over all coverages, see `augrc`; 0 is best."""
    auroc: Interval
    """Chance that a right answer has a higher number than a wrong one; .5 is no knowledge, 1 is best."""


def _voices(outcome: Outcome) -> float:
    """Return the mean confidence of the voices that hold the winning answer; 0 where none names any."""
    winners = [one.confidence for one in recount.held(outcome).values() if one.side == outcome.side]
    known = [one for one in winners if one is not None]
    return math.fsum(known) / len(known) if known else 0.0


PREDICTORS: dict[str, Callable[[Outcome], float]] = {
    "support": lambda one: one.share,
    "confidence": lambda one: one.confidence,
    "voices": _voices,
}


def knowing(outcomes: Sequence[Outcome], predictor: str, seed: int = 0) -> Knowing:
    """Return how well a predictor of a system does; its intervals resample questions with all their seeds.

    Args:
        outcomes: of one system.
        predictor: one of `PREDICTORS`.
        seed: of the bootstrap.
    """
    sure = np.array([PREDICTORS[predictor](one) for one in outcomes])
    right = np.array([one.correct for one in outcomes], dtype=np.float64)
    questions = sorted({(one.task, one.question) for one in outcomes})
    places: dict[tuple[str, str], list[int]] = {question: [] for question in questions}
    for at, one in enumerate(outcomes):
        places[one.task, one.question].append(at)
    drawn = _redraws(list(places.values()), seed)
    measured = [_interval(figure, sure, right, drawn) for figure in (brier, ece, aurc, augrc, auroc)]
    return Knowing(
        outcomes[0].system,
        predictor,
        sum(one.calls for one in outcomes) / len(outcomes),
        float(right.mean()),
        *measured,
    )


def brier(sure: Floats, right: Floats) -> float:
    """Return the mean squared difference."""
    return float(np.mean((sure - right) ** 2))


def ece(sure: Floats, right: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error over bins that hold equally many answers (Nguyen and O'Connor 2015).

    In each bin the mean number is held against the share of right answers. Equal numbers are never parted: those that
    straddle an edge belong to the bin of their middle. A finite sample of a perfect predictor has some error, too.
    """
    _values, which = np.unique(sure, return_inverse=True)
    counts = np.bincount(which)
    middle = np.cumsum(counts) - counts / 2
    bin_of = np.minimum((middle * bins / len(sure)).astype(int), bins - 1)[which]
    gaps = np.bincount(bin_of, weights=sure - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))


def risk_coverage(sure: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return coverages 1/n … 1, and of each the error rate among the answers that are surest, so many."""
    losses = _losses(sure, right)
    taken = np.arange(1, len(losses) + 1)
    return taken / len(losses), np.cumsum(losses) / taken


def aurc(sure: Floats, right: Floats) -> float:
    """Return the area under the risk-coverage curve (Geifman and El-Yaniv, NeurIPS 2017)."""
    return float(risk_coverage(sure, right)[1].mean())


def augrc(sure: Floats, right: Floats) -> float:
    """Return the area under the generalized risk-coverage curve (Traub et al., NeurIPS 2024).

    Its risk is the share of all answers that are accepted and wrong, so that the first few don't weigh most. With
    accuracy a it is (1 - AUROC) a (1 - a) + (1 - a)² / 2.
    """
    accepted = np.concatenate([[0.0], np.cumsum(_losses(sure, right)) / len(right)])
    return float((accepted[1:] + accepted[:-1]).mean() / 2)


def auroc(sure: Floats, right: Floats) -> float:
    """Return the area under the ROC curve, which is Mann and Whitney's U; NaN where all or none are right."""
    good, bad = right.sum(), (1 - right).sum()
    if not good or not bad:
        return float("nan")
    ranks = rankdata(sure)[right == 1].sum()
    return float((ranks - good * (good + 1) / 2) / (good * bad))


def _losses(sure: Floats, right: Floats) -> Floats:
    """Return 1 for wrong answers, surest first; answers that are equally sure share their mean."""
    order = np.argsort(-sure, kind="stable")
    _, which = np.unique(-sure[order], return_inverse=True)
    losses = 1 - right[order]
    shared: Floats = (np.bincount(which, weights=losses) / np.bincount(which))[which]
    return shared


def _redraws(groups: Sequence[Sequence[int]], seed: int) -> list[Places]:
    """Return resamples: indexes of answers, whole questions drawn with replacement."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(group) for group in groups]
    return [
        np.concatenate([arrays[at] for at in rng.integers(len(arrays), size=len(arrays))]) for _ in range(RESAMPLES)
    ]


def _interval(
    figure: Callable[[Floats, Floats], float], sure: Floats, right: Floats, drawn: Sequence[Places]
) -> Interval:
    """Return a figure with its percentile bootstrap interval; resamples on which it has no value are left out."""
    found = [value for at in drawn if (value := figure(sure[at], right[at])) == value]
    low, high = np.quantile(found, [ALPHA / 2, 1 - ALPHA / 2]) if found else (float("nan"),) * 2
    return Interval(figure(sure, right), float(low), float(high))
