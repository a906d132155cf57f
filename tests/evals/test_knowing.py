"""Predictors of being right, against scikit-learn, the papers' own relations and truth."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", reason="needs the `evals` extra")

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from synthetic import of, outcomes

from evals import knowing

answers = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.5001, 0.9, 1.0]), st.booleans()), min_size=2, max_size=40
)


def arrays(rows):
    return np.array([sure for sure, _ in rows]), np.array([float(right) for _, right in rows])


@given(answers)
def test_brier_and_auroc_are_scikit_learns(rows):
    sure, right = arrays(rows)
    assert knowing.brier(sure, right) == pytest.approx(np.mean((sure - right) ** 2))
    if 0 < right.mean() < 1:
        assert knowing.auroc(sure, right) == pytest.approx(metrics.roc_auc_score(right, sure))


@given(answers)
def test_augrc_is_what_its_paper_says_of_auroc(rows):
    """Traub et al. 2024, eq. 6: (1 - AUROC) a (1 - a) + (1 - a)² / 2, ties counted half."""
    sure, right = arrays(rows)
    a = right.mean()
    if 0 < a < 1:
        told = (1 - knowing.auroc(sure, right)) * a * (1 - a) + (1 - a) ** 2 / 2
        assert knowing.augrc(sure, right) == pytest.approx(told)


@given(answers, st.randoms())
def test_the_order_of_the_answers_counts_for_nothing(rows, drawn):
    mixed = list(rows)
    drawn.shuffle(mixed)
    for figure in (knowing.ece, knowing.aurc, knowing.augrc):
        assert figure(*arrays(rows)) == pytest.approx(figure(*arrays(mixed)))


def test_risk_by_hand():
    sure, right = np.array([0.9, 0.8, 0.4, 0.1]), np.array([1.0, 1.0, 0.0, 1.0])
    coverage, risk = knowing.risk_coverage(sure, right)
    assert list(coverage) == [0.25, 0.5, 0.75, 1]
    assert list(risk) == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert knowing.aurc(sure, right) == pytest.approx((1 / 3 + 1 / 4) / 4)


def test_probabilities_that_are_true_have_little_error_and_shifted_ones_as_much_as_the_shift():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.2, 0.7, size=20_000)
    right = (rng.random(20_000) < sure).astype(float)
    assert knowing.ece(sure, right) < 0.015
    assert knowing.ece(sure + 0.2, right) == pytest.approx(0.2, abs=0.015)


def test_one_number_for_all_is_one_bin():
    assert knowing.ece(np.full(10, 0.6), np.array([1.0] * 5 + [0.0] * 5)) == pytest.approx(0.1)


def test_a_voice_that_knows_is_found_to():
    knows = knowing.knowing(outcomes(cast=("plain",), knows=0.4, questions=150), "voices")
    guesses = knowing.knowing(outcomes(cast=("plain",), knows=0.0, questions=150), "voices")
    assert knows.auroc.low > 0.7
    assert 0.5 in guesses.auroc
    assert knows.aurc.high < guesses.aurc.value


def test_all_right_leaves_nothing_to_tell_apart():
    found = knowing.knowing(of([True] * 12), "support")
    assert np.isnan(found.auroc.value)
    assert found.aurc.value == 0
