"""Votes taken again from stored drafts."""

from __future__ import annotations

import pytest

pytest.importorskip("statsmodels", reason="needs the `evals` extra")

from synthetic import debate, draft, of, outcomes

from chorus.errors import RecordError
from evals import compare, resample, stats
from evals.resample import PLURALITY, WEIGHTED, Point
from evals.stats import Interval

SAMPLES = outcomes("self-consistency@5", cast=("plain",) * 5, right=0.6, questions=80)


def test_all_of_the_drafts_vote_as_they_did():
    again = resample.votes(SAMPLES, 5)
    assert [one.side for one in again] == [one.side for one in SAMPLES]
    assert [one.computed_tokens for one in again] == [one.computed_tokens for one in SAMPLES]
    assert all(one.resampled and one.system.endswith("resampled") for one in again)


def test_one_draft_is_right_as_often_as_drafts_are():
    drafts = [draft.side == one.right for one in SAMPLES for draft in one.drafts]
    alone = resample.votes(SAMPLES, 1, draws=5)
    assert sum(one.correct for one in alone) / len(alone) == sum(drafts) / len(drafts)


def test_the_majority_of_three_is_right_as_often_as_it_should_be():
    """p³ + 3p²(1 - p), and of three-way splits (wrong answers are two) the surest wins: between the two bounds."""
    found = resample.votes(outcomes(cast=("plain",) * 7, right=0.7, questions=400, knows=0), 3, power=PLURALITY)
    mean = sum(one.correct for one in found) / len(found)
    assert 0.784 - 0.03 < mean < 0.784 + 0.1


def test_draws_are_seeds_of_their_question_and_never_come_twice():
    found = resample.votes(SAMPLES, 2, draws=8)
    assert len(found) == 8 * 80
    assert len(compare.by_task(found)["sums"]) == 80
    chosen = [(one.question, tuple(draft.seat for draft in one.drafts)) for one in found]
    assert len(set(chosen)) == len(chosen)
    assert found == resample.votes(SAMPLES, 2, draws=8)
    assert found != resample.votes(SAMPLES, 2, draws=8, seed=1)


def test_a_budget_takes_drafts_in_the_order_in_which_they_were_drawn():
    # The first reads 50 and writes 10; each of the others finds 40 in the cache: 60, 80, 100 …
    (one,) = resample.within(SAMPLES[:1], 99)
    assert [draft.turn for draft in one.drafts] == [draft.turn for draft in SAMPLES[0].drafts[:2]]
    assert one.computed_tokens == 80
    assert resample.within(SAMPLES[:1], 1)[0].calls == 1, "one draft there must be"


def test_sampling_one_at_a_time_stops_once_the_majority_stands():
    """Four alike: Beta(5, 1) lies above one half with 1 - 2^-5 = .97. One of them against it, and all seven are drawn."""
    alike = debate(*(draft(f"v{at}", 0) for at in range(7)))
    split = debate(*(draft(f"v{at}", at % 2) for at in range(7)))
    stopped, went_on = resample.adaptive([alike]), resample.adaptive([split])
    assert [draft.seat for draft in stopped[0].drafts] == ["v0", "v1", "v2", "v3"]
    assert stopped[0].side == alike.side
    assert len(went_on[0].drafts) == 7
    assert stopped[0].system.endswith("adaptive, resampled")


@pytest.mark.parametrize(("rule", "right"), [("plurality", True), ("weighted", False)])
def test_votes_are_taken_again_by_the_systems_own_rule(rule, right):
    drafts = draft("a", 0, sure=0.3), draft("b", 0, sure=0.3), draft("c", 1, sure=0.9)
    of_three = [debate(*drafts, rule=rule)]
    taken = (
        resample.votes(of_three, 3),
        resample.adaptive(of_three),
        resample.within(of_three, 999),
        resample.first(of_three),
    )
    assert {(again.correct, again.rule) for (again,) in taken} == {(right, rule)}


def test_what_the_first_drafts_would_have_decided():
    talk = outcomes("talk", right=0.6, rounds=2, yielding=1.0, questions=50)
    (alone, *_), (held, *_) = resample.first(talk), talk
    assert (alone.calls, held.calls) == (3, 6)
    assert alone.system == "talk · its first drafts, resampled"


def test_who_finds_nothing_in_the_cache_pays_for_it():
    """Without the voice that read the prompt, the next one has to: it isn't had for nothing."""
    (alone,) = resample.cast([debate(draft("a", 0), draft("b", 1, cached_tokens=40))], {"b"})
    assert alone.computed_tokens == 60


def test_a_cast_votes_without_the_others():
    one = debate(draft("a", 0), draft("b", 1), draft("c", 1), rule="plurality")
    assert not one.correct
    (again,) = resample.cast([one], {"a"})
    assert again.correct
    assert again.calls == 1
    with pytest.raises(RecordError, match="no first draft of z"):
        resample.cast([one], {"z"})


def test_the_power_says_how_much_confidence_weighs():
    one = debate(draft("a", 0, sure=0.9), draft("b", 1, sure=0.5), draft("c", 1, sure=0.5))
    for power, right in ((PLURALITY, False), (WEIGHTED, False), (4, True)):
        assert resample.votes([one], 3, power=power)[0].correct is right
        assert resample.weighed([one], power)[0].correct is right


def test_more_drafts_than_there_are_cant_vote():
    with pytest.raises(RecordError, match="has 5 first drafts: no 6 can vote"):
        resample.votes(SAMPLES, 6)


def test_what_is_said_later_is_no_draft():
    talk = outcomes(rounds=2, yielding=1.0, questions=5)
    assert resample.most(talk) == 3
    assert all(one.calls == 3 for one in resample.votes(talk, 3))


def test_a_point_has_no_time_where_none_was_measured():
    run, again = resample.point(SAMPLES), resample.point(resample.votes(SAMPLES, 3))
    assert (run.wall_s, again.wall_s, again.calls) == (1.0, None, 3)
    assert run.accuracy.value == pytest.approx(stats.accuracy(compare.scores(compare.by_task(SAMPLES)["sums"])).value)


def test_the_front_is_what_nothing_beats():
    points = [
        Point(name, cost, 1, 1.0, Interval(right, 0, 1))
        for name, cost, right in (("a", 10, 0.5), ("b", 20, 0.4), ("c", 20, 0.7), ("d", 30, 0.7), ("e", 40, 0.8))
    ]
    assert [one.system for one in resample.front(points[::-1])] == ["a", "c", "e"]
    assert resample.front([]) == []


def test_outcomes_without_drafts_are_refused():
    with pytest.raises(RecordError, match="has 0 first drafts"):
        resample.within(of([True]), 600)
