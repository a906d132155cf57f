"""The intervals hold what they promise and the tests reject as often as they may: against scipy, statsmodels and truth."""

from __future__ import annotations

from fractions import Fraction

import pytest

pytest.importorskip("statsmodels", reason="needs the `evals` extra")

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar

from evals import stats

signs = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60)


def differences(better: int, worse: int, same: int) -> list[Fraction]:
    return [Fraction(1)] * better + [Fraction(-1)] * worse + [Fraction(0)] * same


class TestWilson:
    def test_by_the_formula(self):
        # 7 of 10: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
        found = stats.wilson(7, 10)
        assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.39678, 0.89221), abs=1e-4)

    @pytest.mark.parametrize("right", [0, 30])
    def test_it_stays_within_0_and_1_and_has_a_width_at_the_ends(self, right):
        found = stats.wilson(right, 30)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.high - found.low > 0.1

    def test_nothing_seen_says_nothing(self):
        assert (stats.wilson(0, 0).low, stats.wilson(0, 0).high) == (0, 1)


class TestSeedsOfOneQuestion:
    def test_the_error_is_the_sandwich_of_statsmodels(self):
        rng = np.random.default_rng(0)
        groups = [list(rng.integers(0, 2, size=size).astype(float)) for size in (3, 3, 2, 5, 1, 4)]
        values = np.concatenate(groups)
        clusters = np.repeat(range(len(groups)), [len(group) for group in groups])
        fitted = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
        assert stats.clustered_error(groups) == pytest.approx(float(fitted.bse[0]))

    def test_they_are_not_new_questions(self):
        once = stats.accuracy([[1.0], [0.0]] * 20)
        thrice = stats.accuracy([[1.0] * 3, [0.0] * 3] * 20)
        assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high), abs=0.01)

    def test_independent_ones_count_as_much_as_they_tell(self):
        rng = np.random.default_rng(1)
        found = stats.accuracy([list(row) for row in rng.integers(0, 2, size=(60, 5)).astype(float)])
        assert found.high - found.low < 0.15, "that of 60 answers is .25"

    def test_answers_that_are_all_alike_count_questions(self):
        assert stats.accuracy([[1.0] * 5] * 20) == stats.wilson(20, 20)

    @pytest.mark.parametrize("alike", [0.0, 0.8], ids=["independent", "clustered"])
    def test_the_interval_covers_the_truth(self, alike):
        """A question's seeds repeat its first answer with this chance; 400 experiments of 40 questions, 4 seeds."""
        rng = np.random.default_rng(2)
        covered = 0
        for _ in range(400):
            first = rng.random((40, 1)) < 0.3
            drawn = np.where(rng.random((40, 4)) < alike, first, rng.random((40, 4)) < 0.3).astype(float)
            covered += 0.3 in stats.accuracy([list(row) for row in drawn])
        assert 0.92 <= covered / 400 <= 0.98


class TestBootstrap:
    def test_every_task_counts_alike(self):
        found = stats.mean([[1.0] * 90 + [0.0] * 10, [0.0, 1.0] * 5])
        assert found.value == pytest.approx(0.7)
        assert found.low < 0.7 < found.high

    def test_a_task_without_spread_shifts_and_does_not_widen(self):
        spread, flat = [0.0, 1.0] * 30, [1.0] * 30
        alone, both = stats.mean([spread]), stats.mean([spread, flat])
        assert both.value == pytest.approx(0.75)
        assert both.high - both.low == pytest.approx((alone.high - alone.low) / 2, abs=0.02)

    def test_the_same_seed_gives_the_same_interval(self):
        assert stats.mean([[0.0, 1.0, 0.5] * 9], seed=3) == stats.mean([[0.0, 1.0, 0.5] * 9], seed=3)

    def test_it_covers_the_truth(self):
        """Paired differences with mean .1 and .0 in two tasks of unequal size, 200 experiments."""
        rng = np.random.default_rng(4)
        covered = 0
        for number in range(200):
            strata = [
                list(rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=60)),
                list(rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.6, 0.2], size=40)),
            ]
            covered += 0.05 in stats.mean(strata, seed=number, resamples=500)
        assert 0.9 <= covered / 200 <= 0.985


class TestFlips:
    @given(signs)
    def test_with_one_seed_it_is_mcnemars_exact_test(self, values):
        better, worse = values.count(1), values.count(-1)
        exact = mcnemar([[values.count(0), better], [worse, 0]], exact=True).pvalue if better + worse else 1.0
        assert stats.flip_test([Fraction(value) for value in values]) == pytest.approx(float(exact))

    def test_with_several_it_counts_every_choice_of_signs(self):
        # 1/2, 1/2, 1/3: of the 8 sums only ±4/3 are as far from 0.
        assert stats.flip_test([Fraction(1, 2), Fraction(1, 2), Fraction(1, 3)]) == pytest.approx(2 / 8)

    def test_it_rejects_no_more_often_than_it_may(self):
        rng = np.random.default_rng(5)
        drawn = rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15], size=(1000, 60))
        rejected = sum(stats.flip_test([Fraction(int(one)) for one in row]) < 0.05 for row in drawn)
        assert rejected / 1000 <= 0.065

    def test_nothing_to_compare_is_no_difference(self):
        assert stats.flip_test([]) == stats.flip_test([Fraction(0)] * 9) == 1.0


def test_holm():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([]) == []


class TestDetectable:
    def test_a_gain_of_that_size_is_found_four_times_in_five(self):
        """Simulated: 150 questions, three in ten of which the systems differ on."""
        gain = stats.detectable(differences(23, 22, 105))
        rng = np.random.default_rng(6)
        differing = 46 / 152
        chances = [(differing - gain) / 2, 1 - differing, (differing + gain) / 2]
        drawn = rng.choice([-1, 0, 1], p=chances, size=(1000, 150))
        found = sum(stats.flip_test([Fraction(int(one)) for one in row]) < 0.05 for row in drawn)
        assert 0.76 <= found / 1000 <= 0.84

    def test_five_questions_can_show_nothing(self):
        assert stats.detectable(differences(0, 0, 5)) is None

    def test_more_questions_show_less(self):
        few, many = stats.detectable(differences(5, 5, 20)), stats.detectable(differences(100, 100, 400))
        assert few > 3 * many

    def test_systems_that_never_differed_are_not_taken_for_one(self):
        assert stats.detectable(differences(0, 0, 30)) > 0.2

    def test_seeds_are_averaged_first(self):
        found = stats.detectable([Fraction(1, 2), Fraction(-1, 2), Fraction(0)] * 40)
        assert found == pytest.approx(2.80 * np.std([0.5, -0.5, 0] * 40) / np.sqrt(120), rel=0.01)
