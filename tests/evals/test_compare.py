"""Two systems on the same questions."""

from __future__ import annotations

import pytest

pytest.importorskip("statsmodels", reason="needs the `evals` extra")

from synthetic import of, outcomes

from chorus.errors import RecordError
from evals import compare, stats

MANY = [True] * 45 + [False] * 15
FEW = [False] * 20 + [True] * 25 + [False] * 15


def test_a_real_difference_is_called_one():
    found = compare.compare(of(MANY, "chorus"), of(FEW, "single"))
    assert (found.system, found.reference) == ("chorus", "single")
    one = found.tasks["sums"]
    assert (one.questions, one.gained, one.lost) == (60, 20, 0)
    assert one.difference.value == pytest.approx(20 / 60)
    assert one.p == pytest.approx(2 * 0.5**20)
    assert one.clear


def test_systems_on_different_questions_share_those_that_both_answered():
    rows = [*of(MANY, "chorus"), *of(FEW[:30], "debate")]
    kept = compare.by_system(compare.shared(rows))
    assert [len(one) for one in kept.values()] == [30, 30]
    assert compare.compare(kept["debate"], kept["chorus"]).tasks["sums"].questions == 30
    with pytest.raises(RecordError, match="no question that every system answered"):
        compare.shared([*of([True], "a"), *of([True], "b", task="other")])


def test_chance_is_not():
    found = compare.compare(outcomes("a", questions=80), outcomes("b", questions=80))
    assert not found.overall.clear
    assert found.overall.detectable > abs(found.overall.difference.value)


def test_the_order_of_the_rows_counts_for_nothing():
    ours, theirs = of(MANY, "chorus"), of(FEW, "single")
    assert compare.compare(ours[::-1], theirs).overall.p == compare.compare(ours, theirs[::-1]).overall.p


def test_different_questions_are_refused_by_name():
    with pytest.raises(compare.DifferentQuestions) as refused:
        compare.compare(of(MANY, "chorus"), of(FEW[:57], "single") + of([True], "single", "capitals"))
    assert "'chorus' lacks capitals/dev/0 of capitals" in str(refused.value)
    assert "'single' lacks sums/dev/57, sums/dev/58, sums/dev/59 of sums" in str(refused.value)


def test_a_row_that_is_there_twice_is_refused():
    with pytest.raises(RecordError, match="sums/dev/0 under 'chorus', seed 0, is there twice"):
        compare.compare(of([True, True]) + of([True]), of([True, True], "single"))


def test_seeds_of_a_question_are_averaged():
    ours = [one for seed in range(3) for one in of(MANY, "chorus", seed=seed)]
    once, thrice = compare.compare(of(MANY), of(FEW, "b")), compare.compare(ours, of(FEW, "b"))
    assert thrice.overall.questions == 60
    assert thrice.overall.p == pytest.approx(once.overall.p)


def test_tests_are_adjusted_over_tasks_and_over_systems():
    tasks = {"sums": FEW, "products": MANY, "capitals": MANY}
    reference = [one for task, flags in tasks.items() for one in of(flags, "b", task)]
    ours = [one for task in tasks for one in of(MANY, "a", task)]
    found = compare.compare(ours, reference)
    assert found.tasks["sums"].holm == pytest.approx(3 * found.tasks["sums"].p)
    again = [one.model_copy(update={"system": "c"}) for one in ours]
    made, refused = compare.against({"b": reference, "a": ours, "c": again}, "b")
    assert [one.overall.holm for one in made] == pytest.approx([2 * found.overall.p] * 2)
    assert refused == {}


def test_who_cant_be_compared_is_named_and_the_others_are():
    systems = {"b": of(FEW, "b"), "a": of(MANY, "a"), "short": of(MANY[:9], "short")}
    made, refused = compare.against(systems, "b")
    assert [one.system for one in made] == ["a"]
    assert "'short' lacks sums/dev/9" in refused["short"]
    with pytest.raises(RecordError, match="no system 'z' to compare with; there are b, a, short"):
        compare.against(systems, "z")


def test_the_majority_answer_is_the_commonest_right_one():
    rows = [
        one.model_copy(update={"gold": gold})
        for one, gold in zip(of([True] * 4), ["yes", "no", "yes", "yes"], strict=True)
    ]
    guesses = compare.majority(rows)
    assert [one.correct for one in guesses] == [True, False, True, True]
    assert sum(one.computed_tokens for one in guesses) == 0
    assert stats.accuracy(compare.scores(compare.by_task(guesses)["sums"])) == stats.wilson(3, 4)
