"""What happened inside a debate, counted on debates small enough to count by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("statsmodels", reason="needs the `evals` extra")

from synthetic import debate, draft, of, outcomes

from evals import inside, recount
from evals.inside import Conformity, Flips, Pool

ALL = ("1.a", "1.b", "1.c")
# Round 1: a is right, b and c hold one wrong answer. Then a yields to them, b goes to the right answer, c stays.
TALK = debate(
    draft("a", 0),
    draft("b", 1),
    draft("c", 1),
    draft("a", 1, 2, heard=ALL),
    draft("b", 0, 2, heard=ALL),
    draft("c", 1, 2, heard=ALL),
)


def test_flips_are_counted_by_round():
    assert inside.flips([TALK]) == [Flips(2, kept_wrong=1, to_right=1, to_wrong=1)]


def test_a_turn_without_an_answer_leaves_the_seat_where_it_was():
    silent = debate(draft("a", 0), draft("a", None, 2), draft("a", 1, 3))
    assert inside.flips([silent]) == [Flips(3, to_wrong=1)]


def test_conformity_is_what_the_outvoted_did():
    # a heard b and c against it and yielded; b heard one of each, so no majority; c likewise.
    assert inside.conformity([TALK]) == [
        Conformity(2, outvoted=1, yielded=1, yielded_right=0, kept=0, elsewhere=0, flips=2, away=0)
    ]


def test_leaving_the_majority_is_seen():
    heard = ("1.a", "1.b", "1.c", "1.d")
    left = debate(*(draft(seat, 1) for seat in "abcd"), draft("d", 0, 2, heard=heard))
    (found,) = inside.conformity([left])
    assert (found.outvoted, found.flips, found.away) == (0, 1, 1)


def test_voices_that_yield_half_the_time_are_found_to():
    found = inside.conformity(outcomes(rounds=2, yielding=0.5, questions=300))[0]
    assert found.yielded / found.outvoted == pytest.approx(0.5, abs=0.07)
    assert found.kept + found.yielded + found.elsewhere == found.outvoted


def test_a_right_answer_that_was_said_and_lost_is_counted():
    never = debate(draft("a", 1), draft("b", 2))
    assert inside.pool([TALK, never]) == Pool(outcomes=2, drafted=1, pooled=1, decided=0, lost=1)


def test_diversity_of_first_drafts():
    four = debate(*(draft(seat, side) for seat, side in zip("abcd", (0, 0, 1, 2), strict=True)))
    one = debate(*(draft(seat, 0) for seat in "abc"), draft("d", None))
    found = inside.diversity([four, one])
    assert (found.drafts, found.distinct, found.entropy, found.silent) == (4, 2, 0.75, 1 / 8)


def test_the_vote_that_decides_has_the_credit():
    # Without a or b it is 1 to 1, and the surer side wins: c's. Without c nothing changes.
    rows = [
        debate(draft("a", 0), draft("b", 0), draft("c", 1, sure=0.9)).model_copy(update={"question": f"sums/dev/{n}"})
        for n in range(10)
    ]
    credits = {one.persona: one for one in inside.credits(rows)}
    assert {name: one.gain.value for name, one in credits.items()} == {"a": 1.0, "b": 1.0, "c": 0.0}
    assert {name: one.right for name, one in credits.items()} == {"a": 1.0, "b": 1.0, "c": 0.0}


def test_a_credit_has_a_star_only_where_a_test_says_so():
    """The bootstrap over 144 questions of which 3 differ excludes 0; the exact test says that it may well be chance."""
    few = [
        debate(draft("a", 0), draft("b", 0), draft("c", 1 if n < 3 else 0, sure=0.9)).model_copy(
            update={"question": f"sums/dev/{n}"}
        )
        for n in range(144)
    ]
    many = [one.model_copy(update={"drafts": few[0].drafts}) for one in few]
    (first, *_), (sure, *_) = inside.credits(few), inside.credits(many)
    assert (first.persona, first.gain.value, first.p) == ("a", 3 / 144, 0.25)
    assert not first.clear
    assert sure.clear


def test_a_voice_alone_has_no_credit():
    assert inside.credits([debate(draft("a", 0))]) == []
    assert inside.credits(of([True])) == []


def test_votes_are_counted_again_as_they_were():
    for rule in recount.COUNTED:
        for one in outcomes(questions=60, rule=rule, rounds=2, yielding=0.3):
            power = {"plurality": 0, "weighted": 1}[rule]
            answer, share = recount.vote(recount.standing(one), power)
            assert one.answers.index(answer) == one.side
            assert share == pytest.approx(one.share)
