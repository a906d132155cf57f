"""What lies before a seat when it speaks."""

from __future__ import annotations

import pytest
from debates import SEATS, SUM, plan

from chorus.debate.floor import Floor
from chorus.types import Position, Turn


def said(number, seat, answer="56", **more):
    position = Position(answer=answer) if answer else None
    return Turn(id=f"{number}.{seat}", round=number, seat=seat, persona=seat, text="…", position=position, **more)


def floor(*turns, spec="complete", **changes):
    made = Floor(plan(spec, rounds=3, **changes), SUM)
    for turn in turns:
        made.add(turn)
    return made


def ids(heard):
    return [(one.turn.id, one.visibility) for one in heard]


def test_in_the_first_round_nobody_is_heard():
    assert floor(said(1, "skeptic")).heard((1, "estimator")) == []


def test_a_seat_has_before_it_what_it_heard_in_every_round_so_far():
    made = floor(*(said(number, seat) for number in (1, 2) for seat in SEATS), spec="chain")
    assert ids(made.heard((3, "formalist"))) == [
        ("1.estimator", "full"),
        ("1.formalist", "full"),
        ("2.estimator", "full"),
        ("2.formalist", "full"),
    ]
    assert made.newly_heard((3, "formalist")) == ("2.estimator", "2.formalist")


def test_turns_come_in_the_order_of_the_plan_however_they_were_added():
    made = floor(*(said(number, seat) for seat in reversed(SEATS) for number in (2, 1)))
    assert [turn.id for turn in made.turns] == [f"{number}.{seat}" for number in (1, 2) for seat in SEATS]


def test_turns_that_no_seat_speaks_come_after_those_of_their_round():
    made = floor(said(3, "judge", kind="ruling"), said(3, "formalist"))
    assert [turn.id for turn in made.turns] == ["3.formalist", "3.judge"]
    assert [turn.id for turn in made.speeches()] == ["3.formalist"]


def test_what_was_not_said_to_its_end_is_not_heard():
    made = floor(said(1, "skeptic", status="failed"), said(1, "estimator", status="cancelled"), said(1, "formalist"))
    assert made.newly_heard((2, "skeptic")) == ("1.formalist",)


def test_a_turn_without_an_answer_is_heard_all_the_same():
    assert floor(said(1, "skeptic", None)).newly_heard((2, "estimator")) == ("1.skeptic",)


def test_edges_say_how_much_is_seen_and_ones_own_words_as_much_as_the_most_of_others():
    mixed = (("skeptic", "formalist", "answer"), ("estimator", "formalist", "summary"))
    made = floor(*(said(1, seat) for seat in SEATS), edges=mixed)
    assert ids(made.heard((2, "formalist"))) == [
        ("1.skeptic", "answer"),
        ("1.estimator", "summary"),
        ("1.formalist", "summary"),
    ]
    assert ids(made.heard((2, "skeptic"))) == [("1.skeptic", "full")], "it hears nobody else"


def test_the_answer_before_is_the_last_one_given():
    made = floor(said(1, "skeptic", "54"), said(2, "skeptic", None))
    assert made.previous_answer((3, "skeptic")) == "54"
    assert made.previous_answer((1, "skeptic")) is None
    assert made.previous_answer((3, "estimator")) is None


def test_the_answers_on_the_table_are_the_newest_each_once_in_alphabetical_order():
    made = floor(said(1, "skeptic", "54"), said(1, "estimator", "63"), said(1, "formalist", "9"))
    assert made.answers() == ["54", "63", "9"]
    made.add(said(2, "formalist", "54.0"))
    assert made.answers() == ["54", "63"]
    made.add(said(2, "estimator", None))
    assert made.answers() == ["54", "63"], "a seat without a new answer stands by its old one"


def test_a_ballot_is_no_answer():
    made = floor(said(1, "skeptic", "54"), said(4, "skeptic", "63", kind="ballot"))
    assert made.answers() == ["54"]


def test_what_comes_after_the_last_round_takes_the_first_free_place():
    made = floor(said(4, "judge", kind="ruling", status="failed"))
    assert made.place_after(3, "judge") == (5, "judge")
    assert made.place_after(3, "coordinator") == (4, "coordinator")


def test_a_new_round_comes_after_all_that_was_said():
    assert floor(said(1, "skeptic")).round_after(3) == 4
    assert floor(said(5, "skeptic", kind="check")).round_after(3) == 6


@pytest.mark.parametrize("kind", ["ballot", "check"])
def test_what_was_asked_after_the_last_round_is_heard_by_nobody(kind):
    made = floor(said(3, "skeptic"), said(4, "skeptic", kind=kind), said(4, "estimator", kind=kind))
    assert ids(made.heard((5, "skeptic"))) == [("3.skeptic", "full")]


def test_every_place_of_the_plan_stands_in_the_graph():
    made = floor(said(1, "skeptic"))
    assert len(made.dag) == 9
    assert (1, "skeptic") in made
    assert (2, "skeptic") not in made
