"""Intervals hold what they promise, also of a handful of questions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from interp import intervals

pytestmark = pytest.mark.interp


def held(interval_of, trials=400, count=6):
    """How often an interval of figures with a mean of 1, of so many questions, holds the truth."""
    draw = np.random.default_rng(0)
    found = [interval_of(draw.normal(1.0, 1.0, count)) for _ in range(trials)]
    return np.mean([low <= 1 <= high for low, high in found])


def test_of_a_mean_it_is_students_interval():
    values = np.array([0.3, 0.5, 0.1, 0.9, 0.4, 0.2])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert intervals.mean(values) == pytest.approx((expected.low, expected.high))


def test_of_six_questions_it_holds_the_truth_as_often_as_it_says():
    """Where those six drawn anew hold it in 86 of 100 cases."""
    assert held(intervals.mean) == pytest.approx(0.95, abs=0.025)

    rows = np.random.default_rng(1).integers(6, size=(1000, 6))

    def drawn_anew(values):
        return np.quantile(values[rows].mean(1), [0.025, 0.975])

    assert held(drawn_anew) < 0.9


def test_of_a_ratio_it_holds_the_truth_too():
    draw = np.random.default_rng(2)
    found = []
    for _ in range(400):
        under = draw.normal(1.0, 0.3, 6)
        found.append(intervals.ratio(0.9 * under + draw.normal(0, 0.3, 6), under))
    assert np.mean([low <= 0.9 <= high for low, high in found]) == pytest.approx(0.95, abs=0.03)


def test_below_four_questions_there_is_none():
    assert intervals.mean(np.array([0.3, 0.5, 0.1])) is None
    assert intervals.mean(np.array([0.3, 0.5, 0.1, 0.2]))
    assert intervals.ratio(np.ones(8), np.ones(8), groups=list("aabbccaa")) is None, "eight rows of three questions"


def test_rows_of_one_question_are_left_out_together():
    values = np.array([0.3, 0.5, 0.1, 0.9, 0.4, 0.2])
    twice, groups = values.repeat(2), [str(place) for place in range(6) for _ in "ab"]
    assert intervals.mean(twice, groups) == pytest.approx(intervals.mean(values))
    low, high = intervals.mean(twice)
    assert high - low < 0.8 * np.diff(intervals.mean(values))[0], "as if there were twelve"


def test_a_share_of_nothing_has_none():
    over, under = np.ones(4), np.array([1.0, 0.0, 0.0, 0.0])
    assert intervals.ratio(over, under) is None
