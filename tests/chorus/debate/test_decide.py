"""What comes of a debate under each rule, and that the order of speaking never matters."""

from __future__ import annotations

from itertools import pairwise, permutations, product
from math import fsum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.debate import ranked
from chorus.debate.checked import right
from chorus.debate.decide import RULES, decide, rule, settled, unanimous
from chorus.errors import ConfigError
from chorus.types import AnswerKind, Decision, Position, Question, Turn

SUM = Question(text="What is 2 + 2?", kind="number")
COLOUR = Question(text="Which colour?", kind="choice", choices=("red", "green", "blue"))
ESSAY = Question(text="What is justice?", kind="text")
SEATS = ("ajax", "hector", "medea", "nestor", "paris")


def says(seat: str, answer: str | None, confidence: float | None = None, round_: int = 1, **more: Any) -> Turn:
    """One turn; without an answer it took no position."""
    position = None if answer is None else Position(answer=answer, confidence=confidence)
    more = {"text": f"{seat} says {answer}", "position": position, **more}
    return Turn(id=f"{round_}.{seat}", round=round_, seat=seat, persona=seat, **more)


def debate(line: str, round_: int = 1) -> list[Turn]:
    """Turns of the seats in order, written `4 5@0.9 - 4`: answers, confidences, `-` for no position."""
    turns = []
    for seat, word in zip(SEATS, line.split(), strict=False):
        answer, _, confidence = word.partition("@")
        turns.append(says(seat, None if answer == "-" else answer, float(confidence) if confidence else None, round_))
    return turns


def votes(seat: str, *ranking: str) -> Turn:
    """A ballot, best answer first."""
    position = Position(answer=ranking[0] if ranking else "", ranking=ranking or None)
    return says(seat, None, kind="ballot", round_=9, position=position)


def checks(seat: str, line: str, round_: int = 9) -> list[Turn]:
    """The checks of one seat, an answer a round, written `4@0.9 5@0.2 -`: answers and P(right), `-` could not be read."""
    words = [word.partition("@") for word in line.split()]
    return [
        says(seat, None if answer == "-" else answer, float(p) if p else None, number, kind="check")
        for number, (answer, _, p) in enumerate(words, round_)
    ]


def outcome(name: str, turns: list[Turn], question: Question = SUM, kind: AnswerKind | None = None) -> Decision:
    return decide(name, question, kind or question.kind or "text", turns, SEATS)


def table(decision: Decision) -> dict[str, float]:
    return {row.answer: round(row.weight, 6) for row in decision.support}


class TestVotes:
    def test_plurality_counts_one_vote_a_seat(self) -> None:
        decision = outcome("plurality", debate("4 5 4 4 5"))
        assert decision.answer == "4"
        assert table(decision) == {"4": 3, "5": 2}
        assert [row.seats for row in decision.support] == [("ajax", "medea", "nestor"), ("hector", "paris")]
        assert decision.confidence == pytest.approx(0.6)
        assert (decision.rule, decision.tie, decision.note) == ("plurality", None, None)

    def test_confidence_is_the_share_times_the_seats_that_took_a_position(self) -> None:
        assert outcome("plurality", debate("4 4 4 - -")).confidence == pytest.approx(3 / 5)
        assert outcome("plurality", [*debate("4 4 5 5 -"), says("ajax", "5", round_=2)]).confidence == 0.6

    def test_weighted_sums_confidence(self) -> None:
        decision = outcome("weighted", debate("4@0.25 4@0.5 5@0.875"))
        assert decision.answer == "5"
        assert table(decision) == {"5": 0.875, "4": 0.75}
        assert decision.confidence == pytest.approx(0.875 / 1.625 * 3 / 5)

    def test_a_voice_without_confidence_weighs_as_the_others_on_average(self) -> None:
        assert table(outcome("weighted", debate("4@0.5 5@1 5"))) == {"5": 1.75, "4": 0.5}
        assert table(outcome("weighted", debate("4 5 5"))) == {"5": 2, "4": 1}

    def test_a_seat_stands_by_its_newest_position(self) -> None:
        turns = debate("4 4 4 5 5") + debate("5 5 4 5 5", round_=2)
        assert table(outcome("plurality", turns)) == {"5": 4, "4": 1}

    def test_a_failed_turn_or_one_without_an_answer_leaves_the_earlier_position_standing(self) -> None:
        turns = [
            *debate("4 4 4 5 5"),
            says("ajax", None, round_=2),
            says("hector", "5", round_=2, status="failed", reason="timeout"),
            says("medea", "5", round_=2, status="cancelled"),
            says("nestor", "  ", round_=2),
        ]
        assert table(outcome("plurality", turns)) == {"4": 3, "5": 2}

    def test_only_speeches_of_the_seats_are_votes(self) -> None:
        turns = [*debate("4 4"), says("chorus", "5", kind="ruling", round_=2), says("stranger", "5")]
        assert table(outcome("plurality", turns)) == {"4": 2}

    def test_spellings_of_one_answer_are_one_side_under_the_commonest(self) -> None:
        decision = outcome("plurality", debate("4.0 4 5 4.0 5"))
        assert table(decision) == {"4.0": 3, "5": 2}
        assert outcome("plurality", debate("4.0@0.3 4@0.4 5@0.1")).answer == "4"
        assert outcome("plurality", debate("4.0 4 5")).answer == "4"

    def test_choices_meet_their_letters(self) -> None:
        decision = outcome("plurality", debate("B red green b blue"), COLOUR)
        assert sorted(table(decision).values()) == [1, 1, 3]
        assert decision.support[0].seats == ("ajax", "medea", "nestor")

    def test_no_positions_no_answer(self) -> None:
        for name in RULES:
            for turns in ([], debate("- - -"), [says("ajax", "4", status="failed")]):
                decision = outcome(name, turns)
                assert (decision.answer, decision.confidence, decision.support) == (None, 0, ())
                assert decision.note


class TestGuarded:
    """Drafts of five; then everybody, or nearly so, follows the last voice."""

    TAKEN_IN = debate("4 4 4 4 7") + debate("7 7 7 7 7", round_=2)
    HALF_TAKEN_IN = debate("4 4 4 4 7") + debate("4 4 7 7 7", round_=2)

    def test_a_plain_vote_is_carried_by_one_voice(self) -> None:
        assert outcome("plurality", self.TAKEN_IN).answer == "7"
        assert outcome("plurality", self.HALF_TAKEN_IN).answer == "7"

    def test_anchored_counts_drafts_and_final_positions(self) -> None:
        assert table(outcome("anchored", self.HALF_TAKEN_IN)) == {"4": 6, "7": 4}
        assert table(outcome("anchored", self.TAKEN_IN)) == {"7": 6, "4": 4}

    def test_capped_counts_no_more_followers_than_first_holders(self) -> None:
        decision = outcome("capped", self.TAKEN_IN)
        assert table(decision) == {"4": 4, "7": 2}
        assert decision.answer == "4"
        assert decision.confidence == pytest.approx(2 / 3)

    def test_an_answer_that_all_have_left_is_nobodys_and_keeps_its_words(self) -> None:
        anchored, capped = outcome("anchored", self.TAKEN_IN), outcome("capped", self.TAKEN_IN)
        assert anchored.dissent is not None
        assert (anchored.dissent.answer, anchored.dissent.seats) == ("4", ())
        assert anchored.dissent.text == "ajax says 4"
        assert [row.seats for row in capped.support] == [(), SEATS]

    def test_the_cost_is_a_lone_voice_that_rightly_convinces_all(self) -> None:
        assert outcome("capped", debate("4 4 5 6 7") + debate("7 7 7 7 7", round_=2)).answer == "4"
        assert outcome("capped", debate("4 5 6 7 7") + debate("7 7 7 7 7", round_=2)).answer == "7"

    def test_who_comes_to_an_answer_later_but_first_counts_as_first(self) -> None:
        turns = debate("4 4 5 5 6") + debate("8 8 5 5 6", round_=2) + debate("8 8 8 8 6", round_=3)
        assert table(outcome("capped", turns)) == {"8": 4, "4": 2, "5": 2, "6": 1}

    @pytest.mark.parametrize("name", ["anchored", "capped"])
    def test_without_talk_they_are_a_plain_vote(self, name: str) -> None:
        turns = debate("4 5 4 6 -")
        assert [row.answer for row in outcome(name, turns).support] == ["4", "5", "6"]
        assert outcome(name, turns).confidence == outcome("plurality", turns).confidence

    @pytest.mark.parametrize("name", ["anchored", "capped"])
    def test_texts_are_counted_plainly(self, name: str) -> None:
        decision = outcome(name, debate("just fair"), ESSAY)
        assert "counted as a plain vote" in (decision.note or "")


class TestTies:
    def test_first_by_summed_confidence(self) -> None:
        decision = outcome("plurality", debate("4@0.5 4@0.6 5@0.9 5@0.9"))
        assert decision.answer == "5"
        assert decision.tie == "5, 4 are level (votes: 2); 5 goes first because its voices are surer, taken together"

    def test_then_by_first_drafts(self) -> None:
        turns = debate("5 5 5 4") + debate("4", round_=2)
        decision = outcome("plurality", turns)
        assert table(decision) == {"5": 2, "4": 2}
        assert decision.answer == "5"
        assert (
            decision.tie == "5, 4 are level (votes: 2); 5 goes first because more voices held it in their first drafts"
        )

    def test_then_by_the_alphabet(self) -> None:
        ask = Question(text="Who?", kind="short")
        decision = outcome("plurality", debate("Zeus ares"), ask)
        assert decision.answer == "ares"
        assert decision.tie == "ares, Zeus are level (votes: 1); ares goes first because it comes first in the alphabet"

    def test_ties_below_the_first_place_need_no_words(self) -> None:
        assert outcome("plurality", debate("4 4 5 6")).tie is None

    def test_many_long_answers_make_a_short_sentence(self) -> None:
        turns = [says(seat, f"{seat} " * 40) for seat in SEATS]
        tie = outcome("plurality", turns, ESSAY).tie
        assert tie is not None
        assert len(tie) < 450
        assert "… and 1 more are level" in tie


class TestDissent:
    def test_the_surest_voice_of_the_strongest_losing_side_speaks(self) -> None:
        dissent = outcome("plurality", debate("4@0.9 4@0.9 5@0.2 5@0.8 6")).dissent
        assert dissent is not None
        assert dissent.answer == "5"
        assert dissent.share == pytest.approx(0.4)
        assert dissent.seats == ("medea", "nestor")
        assert (dissent.turn, dissent.text) == ("1.nestor", "nestor says 5")

    @pytest.mark.parametrize("name", RULES)
    def test_nobody_dissents_when_all_agree(self, name: str) -> None:
        decision = outcome(name, debate("4 4 4.0 4 4"))
        assert decision.dissent is None
        assert decision.confidence == 1
        assert decision.answer == "4"

    def test_its_words_may_come_from_an_earlier_round(self) -> None:
        turns = [*debate("4 4 5"), says("medea", None, round_=2)]
        dissent = outcome("plurality", turns).dissent
        assert dissent is not None
        assert dissent.turn == "1.medea"


class TestBallots:
    TENNESSEE = (
        [says("ajax", "1"), says("hector", "2"), says("medea", "3"), says("nestor", "3"), says("paris", "3")]
        + [votes("ajax", "1", "2", "3"), votes("hector", "2", "1", "3")]
        + [votes(seat, "3", "2", "1") for seat in ("medea", "nestor", "paris")]
    )

    def test_borda_gives_a_point_for_every_answer_ranked_lower(self) -> None:
        decision = outcome("borda", self.TENNESSEE)
        assert table(decision) == {"3": 6, "2": 6, "1": 3}
        assert decision.answer == "3"
        assert "level (points: 6)" in (decision.tie or "")
        assert decision.confidence == pytest.approx(0.4)

    def test_schulze_compares_answers_two_by_two(self) -> None:
        decision = outcome("schulze", self.TENNESSEE)
        assert table(decision) == {"3": 2, "2": 1, "1": 0}
        assert decision.confidence == pytest.approx(0.6)
        assert decision.note is None

    def test_a_compromise_wins_where_nobody_has_it_first_alone(self) -> None:
        turns = [
            *debate("1 1 3 3 2"),
            votes("ajax", "1", "2", "3"),
            votes("hector", "1", "2", "3"),
            votes("medea", "3", "2", "1"),
            votes("nestor", "3", "2", "1"),
            votes("paris", "2", "1", "3"),
        ]
        assert outcome("schulze", turns).answer == outcome("borda", turns).answer == "2"
        assert outcome("plurality", turns).answer == "1"

    def test_entries_are_matched_by_meaning_and_strangers_are_passed_over(self) -> None:
        turns = [*debate("4 5"), votes("ajax", "7", "5.0", "5", "4"), votes("hector", "5")]
        decision = outcome("borda", turns)
        assert table(decision) == {"5": 2, "4": 0}
        assert decision.note is None

    def test_what_a_ballot_leaves_out_shares_the_places_below(self) -> None:
        assert ranked.borda([[[2], [0, 1]]], 3) == [0.5, 0.5, 2]
        assert ranked.pairwise([[[2], [0, 1]]], 3) == [[0, 0, 0], [0, 0, 0], [1, 1, 0]]

    def test_a_seat_without_a_ballot_votes_for_its_own_position(self) -> None:
        decision = outcome("borda", [*debate("4 5 6 - -"), votes("ajax", "5", "4", "6"), votes("hector")])
        assert table(decision) == {"5": 4.5, "6": 2.5, "4": 2}
        assert decision.note == "2 of 3 ballots are missing: those seats count for their own positions"

    def test_a_seat_may_vote_without_a_position_of_its_own(self) -> None:
        decision = outcome("schulze", [*debate("4 5"), votes("medea", "5", "4")])
        assert decision.answer == "5"
        assert decision.confidence == pytest.approx(2 / 3 * 3 / 5)

    def test_an_even_split_is_even(self) -> None:
        decision = outcome("schulze", debate("4 5"))
        assert table(decision) == {"4": 0, "5": 0}
        assert decision.confidence == pytest.approx(0.5 * 2 / 5)

    def test_schulzes_own_example(self) -> None:
        """Example 1 of the paper: 45 voters over A to E elect E, in the order E A C B D."""
        groups = {"ACBED": 5, "ADECB": 5, "BEDAC": 8, "CABED": 3, "CAEBD": 7, "CBADE": 2, "DCEBA": 7, "EBADC": 8}
        ballots = [[["ABCDE".index(one)] for one in order] for order, count in groups.items() for _ in range(count)]
        assert ranked.schulze(ballots, 5) == [3, 1, 2, 0, 4]


class TestChecked:
    def test_a_lone_right_answer_wins_by_checks(self) -> None:
        turns = (
            debate("4 4 5") + checks("ajax", "4@0.25 5@0.5") + checks("hector", "4@0 5@0.75") + checks("medea", "- 5@1")
        )
        decision = outcome("checked", turns)
        assert outcome("plurality", turns).answer == "4"
        assert decision.answer == "5"
        assert table(decision) == {"5": 0.75, "4": 0.125}
        assert [row.seats for row in decision.support] == [("medea",), ("ajax", "hector")]
        assert decision.dissent is not None
        assert decision.dissent.answer == "4"
        assert decision.tie is None

    def test_it_is_as_sure_as_the_checks_times_the_seats_that_made_some(self) -> None:
        turns = debate("4 5 4 4 4") + checks("ajax", "4@0.5 5@0.25") + checks("hector", "4@0.75 5@0")
        assert outcome("checked", turns).confidence == pytest.approx(0.625 * 2 / 5)

    def test_voices_that_say_yes_to_everything_are_sure_of_nothing(self) -> None:
        turns = debate("4 4 4 5 5") + [turn for seat in SEATS for turn in checks(seat, "4@0.9 5@0.9")]
        decision = outcome("checked", turns)
        assert decision.confidence == pytest.approx(0.5)
        assert (decision.tie or "").startswith(
            "4, 5 are level (P(right): 0.9); 4 goes first because more voices held it"
        )

    def test_answers_that_nobody_believes_are_settled_by_the_tie_rule_without_confidence(self) -> None:
        turns = debate("4@0.2 5@0.9") + checks("ajax", "4@0 5@0")
        assert (outcome("checked", turns).answer, outcome("checked", turns).confidence) == ("5", 0)

    def test_what_could_not_be_read_counts_for_nothing_and_it_says_so(self) -> None:
        turns = debate("4 4 5") + checks("ajax", "- 5@0.5") + checks("hector", "- 5@0.75") + checks("medea", "4@0.25 -")
        decision = outcome("checked", turns)
        assert table(decision) == {"5": 0.625, "4": 0.25}
        assert decision.note == "3 of 6 checks are missing: they count for nothing"

    @pytest.mark.parametrize("made", [[], checks("ajax", "- -"), checks("stranger", "4@1"), checks("ajax", "7@1")])
    def test_without_any_check_plurality_decides(self, made: list[Turn]) -> None:
        decision = outcome("checked", [*debate("4 4 5"), *made])
        assert (decision.rule, decision.answer) == ("checked", "4")
        assert decision.confidence == pytest.approx(2 / 3 * 3 / 5)
        assert decision.note == "no check could be read: decided by plurality"

    def test_answers_are_matched_by_meaning_and_a_seats_newest_check_of_one_counts(self) -> None:
        turns = debate("4 5") + checks("ajax", "4.0@0.5 5@0.25") + checks("ajax", "4@1", round_=11)
        assert table(outcome("checked", turns)) == {"4": 1, "5": 0.25}

    def test_a_check_is_worth_what_its_voice_says_as_far_as_it_is_sure(self) -> None:
        assert [right(True, 0.75), right(False, 0.75)] == [0.75, 0.25]
        assert [right(True, None), right(False, None)] == [1, 0]


class TestUnanimity:
    def test_all_agree(self) -> None:
        decision = outcome("unanimity", debate("4 4.0 - 4 -"))
        assert (decision.answer, decision.note) == ("4", None)
        assert decision.confidence == pytest.approx(3 / 5)

    def test_else_plurality_and_it_says_so(self) -> None:
        decision = outcome("unanimity", debate("4 4 5"))
        assert (decision.rule, decision.answer) == ("unanimity", "4")
        assert decision.note == "the voices did not all agree: decided by plurality"

    def test_ending_early_wants_every_seat(self) -> None:
        def agree(turns: list[Turn], round_: int = 1) -> bool:
            return unanimous(SUM, "number", turns, SEATS, round_)

        assert agree(debate("4 4 4.0 4 4"))
        assert not agree(debate("4 4 4 4 -"))
        assert not agree(debate("4 4 4 4 5"))
        assert not agree([])
        later = debate("4 4 4 4 5") + debate("4 4 4 - 4", round_=2)
        assert agree(later, 2)
        assert not agree(later, 1)


class TestJudge:
    def test_the_ruling_stands_over_the_votes(self) -> None:
        turns = [*debate("4 4 5 6"), says("chorus", "5.0", 0.7, round_=2, kind="ruling")]
        decision = outcome("judge", turns)
        assert (decision.answer, decision.confidence) == ("5", 0.7)
        assert [row.answer for row in decision.support] == ["5", "4", "6"]
        assert decision.dissent is not None
        assert decision.dissent.answer == "4"
        assert (decision.tie, decision.note) == (None, None)

    def test_without_its_own_confidence_the_share_of_the_votes_speaks(self) -> None:
        turns = [*debate("4 4 5 6"), says("chorus", "5", round_=2, kind="ruling")]
        assert outcome("judge", turns).confidence == pytest.approx(1 / 4 * 4 / 5)

    def test_it_may_find_what_nobody_found(self) -> None:
        decision = outcome("judge", [*debate("4 4 5"), says("chorus", "7", round_=2, kind="ruling")])
        assert (decision.answer, decision.confidence) == ("7", 0)
        assert table(decision) == {"7": 0, "4": 2, "5": 1}
        assert next(iter(table(decision))) == "7"
        assert decision.dissent is not None
        assert decision.dissent.answer == "4"
        assert decision.note == "no voice held the judge's answer"

    def test_the_newest_usable_ruling_counts(self) -> None:
        turns = [
            *debate("4 4 5"),
            says("chorus", "5", round_=2, kind="ruling"),
            says("chorus", None, round_=3, kind="ruling"),
            says("chorus", "6", round_=4, kind="ruling", status="failed"),
        ]
        assert outcome("judge", turns).answer == "5"

    def test_without_a_ruling_plurality_decides(self) -> None:
        decision = outcome("judge", debate("4 4 5"))
        assert (decision.rule, decision.answer) == ("judge", "4")
        assert decision.note == "there is no usable ruling: decided by plurality"


class TestSynthesis:
    ESSAYS = (
        says("ajax", "Justice is keeping promises to friends", 0.4),
        says("hector", "Justice is keeping promises", 0.8),
        says("medea", "Revenge, served late"),
    )

    def test_the_synthesis_is_the_answer(self) -> None:
        turns = [*self.ESSAYS, says("chorus", None, kind="synthesis", round_=2, text="Justice is keeping promises. ")]
        decision = outcome("synthesis", turns, ESSAY)
        assert decision.answer == "Justice is keeping promises."
        assert decision.confidence == pytest.approx(0.6)
        assert len(decision.support) == 3

    def test_dissent_over_texts_has_the_fewest_words_in_common(self) -> None:
        turns = [*self.ESSAYS, says("chorus", None, kind="synthesis", round_=2, text="Justice is keeping promises.")]
        dissent = outcome("synthesis", turns, ESSAY).dissent
        assert dissent is not None
        assert (dissent.answer, dissent.turn) == ("Revenge, served late", "1.medea")

    def test_a_synthesis_that_says_what_all_said_has_no_dissent(self) -> None:
        turns = [self.ESSAYS[1], says("chorus", "justice is: keeping promises", 0.9, kind="synthesis", round_=2)]
        decision = outcome("synthesis", turns, ESSAY)
        assert (decision.answer, decision.confidence) == ("justice is: keeping promises", 0.9)
        assert decision.dissent is None

    def test_dissent_over_answers_is_the_strongest_other_one(self) -> None:
        turns = [*debate("4 4 5 6 6@0.1"), says("chorus", "4.00", kind="synthesis", round_=2)]
        decision = outcome("synthesis", turns)
        assert decision.answer == "4.00"
        assert decision.dissent is not None
        assert decision.dissent.answer == "6"
        assert decision.confidence == pytest.approx(0.1)

    def test_nobodys_confidence_leaves_the_share_of_the_votes(self) -> None:
        turns = [*debate("4 4 5"), says("chorus", "4", kind="synthesis", round_=2)]
        assert outcome("synthesis", turns).confidence == pytest.approx(2 / 3 * 3 / 5)

    def test_without_a_synthesis_plurality_decides(self) -> None:
        blank = says("chorus", None, kind="synthesis", round_=2, text=" \n")
        decision = outcome("synthesis", [*debate("4 4 5"), blank])
        assert (decision.rule, decision.answer) == ("synthesis", "4")
        assert decision.note == "there is no synthesis: decided by plurality"


class TestRules:
    def test_an_unknown_rule_is_named_with_its_neighbours(self) -> None:
        with pytest.raises(ConfigError, match=r"unknown decision rule 'plurallity'; did you mean plurality\? Known: "):
            rule("plurallity")
        for use in (lambda: outcome("x", []), lambda: settled("x", SUM, "number", [], SEATS, 1)):
            with pytest.raises(
                ConfigError,
                match="Known: plurality, weighted, surest, borda, schulze, anchored, capped, checked, unanimity, judge",
            ):
                use()

    def test_what_each_rule_has_to_ask_for(self) -> None:
        assert {name: one.needs for name, one in RULES.items() if one.needs} == {
            "borda": "ballot",
            "schulze": "ballot",
            "checked": "check",
            "judge": "ruling",
            "synthesis": "synthesis",
        }
        assert {name for name, one in RULES.items() if one.asks_every_voice} == {"borda", "schulze", "checked"}
        assert all(rule(name).name == name and one.summary and one.unit for name, one in RULES.items())


class TestSettled:
    @pytest.mark.parametrize(
        ("name", "line", "expected"),
        [
            ("plurality", "4 4 4", True),
            ("plurality", "4 4", False),
            ("plurality", "4 4 5", False),
            ("plurality", "4 4 4 5", True),
            ("plurality", "4 4 5 6", False),
            ("plurality", "4 4 5 5 4", True),
            ("plurality", "- - - -", False),
            ("weighted", "4@1 4@1 4@1", True),
            ("weighted", "4@0.6 4@0.6 4@0.6", False),
            ("weighted", "4@0.9 4@0.9 4@0.9 5@0.2", True),
            ("weighted", "4 4 4 4", False),
            ("judge", "4 4 4 4", False),
            ("unanimity", "4 4 4 4", False),
            ("borda", "4 4 4 4", False),
            ("checked", "4 4 4 4", False),
        ],
    )
    def test_a_lead_beyond_the_votes_to_come(self, name: str, line: str, expected: bool) -> None:
        assert settled(name, SUM, "number", debate(line), SEATS, 1) is expected

    def test_what_pending_seats_said_before_is_not_cast(self) -> None:
        first = debate("4 4 4 4 4")
        assert not settled("plurality", SUM, "number", first, SEATS, 2)
        assert settled("plurality", SUM, "number", first + debate("4 4 4", round_=2), SEATS, 2)

    def test_a_final_turn_that_failed_leaves_the_earlier_vote_cast(self) -> None:
        turns = [
            *debate("4 4 4 5 5"),
            says("ajax", "4", round_=2),
            says("hector", None, round_=2, status="failed"),
            says("medea", None, round_=2, status="cancelled"),
        ]
        assert settled("plurality", SUM, "number", turns, SEATS, 2)

    confidences = st.none() | st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.9, 1.0])

    @settings(max_examples=300, deadline=None)
    @given(
        name=st.sampled_from(["plurality", "weighted"]),
        earlier=st.lists(st.sampled_from("456-"), min_size=5, max_size=5),
        cast=st.lists(st.tuples(st.sampled_from("4445-"), confidences), min_size=2, max_size=4),
        sure=st.lists(confidences, min_size=3, max_size=3),
    )
    def test_no_completion_contradicts_it(
        self,
        name: str,
        earlier: list[str],
        cast: list[tuple[str, float | None]],
        sure: list[float | None],
    ) -> None:
        turns = debate(" ".join(earlier))
        turns += [says(seat, None if a == "-" else a, c, 2) for seat, (a, c) in zip(SEATS, cast, strict=False)]
        if not settled(name, SUM, "number", turns, SEATS, 2):
            return
        pending = SEATS[len(cast) :]
        spoken = {turn.seat for turn in turns if turn.round == 2}
        leader = decide(name, SUM, "number", [turn for turn in turns if turn.seat in spoken], SEATS).answer
        for said in product(["4", "5", "6", None, "silent"], repeat=len(pending)):
            last = [
                says(seat, answer, confidence, 2)
                for seat, answer, confidence in zip(pending, said, sure, strict=False)
                if answer != "silent"
            ]
            assert outcome(name, turns + last).answer == leader


@st.composite
def debates(draw: Any) -> list[Turn]:
    """Two rounds, a ballot, checks, a ruling, a synthesis: some of it failed, some without answer."""
    answers = st.sampled_from(["1", "2", "3", "1.0", "2.0", None])
    sure = st.none() | st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0])
    status = st.sampled_from(["done", "done", "done", "failed"])
    turns = [says(seat, draw(answers), draw(sure), round_, status=draw(status)) for round_ in (1, 2) for seat in SEATS]
    for seat in SEATS:
        if draw(st.booleans()):
            turns.append(votes(seat, *draw(st.permutations(["1", "2", "3", "9"]))[: draw(st.integers(0, 4))]))
    if draw(st.booleans()):
        turns += [
            says(seat, draw(answers), draw(sure), round_, status=draw(status), kind="check")
            for round_ in (10, 11, 12)
            for seat in SEATS
        ]
    if draw(st.booleans()):
        turns.append(says("chorus", draw(answers), draw(sure), 3, kind="ruling"))
    if draw(st.booleans()):
        turns.append(says("scribe", draw(answers), draw(sure), 3, kind="synthesis"))
    return turns


@pytest.mark.parametrize("name", RULES)
class TestLaws:
    @settings(max_examples=100, deadline=None)
    @given(turns=debates(), data=st.data())
    def test_the_order_of_turns_and_seats_changes_nothing(self, name: str, turns: list[Turn], data: Any) -> None:
        seats = data.draw(st.permutations(SEATS))
        shuffled = data.draw(st.permutations(turns))
        assert decide(name, SUM, "number", shuffled, seats) == decide(name, SUM, "number", turns, SEATS)

    @settings(max_examples=100, deadline=None)
    @given(turns=debates())
    def test_shares_and_confidence_add_up(self, name: str, turns: list[Turn]) -> None:
        decision = outcome(name, turns)
        shares = [row.share for row in decision.support]
        assert sum(shares) == pytest.approx(1) or not any(shares)
        assert 0 <= decision.confidence <= 1
        assert len({row.answer for row in decision.support}) == len(shares)
        if decision.answer is not None and name != "synthesis":
            assert decision.support[0].answer == decision.answer
        if name != "judge":
            weights = [row.weight for row in decision.support]
            assert weights == sorted(weights, reverse=True)
        seats = [seat for row in decision.support for seat in row.seats]
        assert len(seats) == len(set(seats))
        if decision.dissent:
            assert decision.dissent.answer != decision.answer
            assert decision.dissent.text in {turn.text for turn in turns if turn.id == decision.dissent.turn}


class TestLawsOfChecking:
    worths = st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=5, max_size=5)

    @settings(deadline=None)
    @given(worths=worths, line=st.permutations(["1", "1", "1", "2", "3"]))
    def test_the_best_mean_wins_however_many_stand_for_it(
        self, worths: list[tuple[float, ...]], line: list[str]
    ) -> None:
        turns = debate(" ".join(line))
        for seat, (one, two, three) in zip(SEATS, worths, strict=True):
            turns += checks(seat, f"1@{one} 2@{two} 3@{three}")
        decision = outcome("checked", turns)
        means = {answer: fsum(worth[number] for worth in worths) / 5 for number, answer in enumerate("123")}
        assert means[decision.answer or ""] == max(means.values())
        assert decision.confidence == pytest.approx(max(means.values()) / max(1, sum(means.values())))


class TestLawsOfVoting:
    @settings(deadline=None)
    @given(turns=debates())
    def test_the_plurality_winner_has_the_most_votes(self, turns: list[Turn]) -> None:
        decision = outcome("plurality", turns)
        if decision.answer is not None:
            assert len(decision.support[0].seats) == max(len(row.seats) for row in decision.support)
            assert all(row.weight == len(row.seats) for row in decision.support)

    orders = st.lists(st.sampled_from(list(permutations(range(4)))), min_size=1, max_size=9)

    @given(orders=orders)
    def test_a_condorcet_winner_wins_schulze(self, orders: list[tuple[int, ...]]) -> None:
        ballots = [[[one] for one in order] for order in orders]
        beats = ranked.pairwise(ballots, 4)
        wins = ranked.schulze(ballots, 4)
        for one in range(4):
            if all(beats[one][other] > beats[other][one] for other in range(4) if other != one):
                assert wins[one] == 3 > max(wins[other] for other in range(4) if other != one)
                assert ranked.preferred(ballots, 4, one) > 0.5

    @given(orders=orders)
    def test_strongest_paths_agree_with_a_search_of_all_paths(self, orders: list[tuple[int, ...]]) -> None:
        ballots = [[[one] for one in order] for order in orders]
        votes = ranked.pairwise(ballots, 4)

        def strongest(a: int, b: int) -> int:
            others = [one for one in range(4) if one not in (a, b)]
            paths = [(a, *middle, b) for length in range(len(others) + 1) for middle in permutations(others, length)]
            links = [list(pairwise(path)) for path in paths]
            return max(min(votes[u][v] if votes[u][v] > votes[v][u] else 0 for u, v in path) for path in links)

        expected = [float(sum(strongest(a, b) > strongest(b, a) for b in range(4) if b != a)) for a in range(4)]
        assert ranked.schulze(ballots, 4) == expected

    @given(orders=orders)
    def test_borda_points_sum_to_what_the_ballots_hand_out(self, orders: list[tuple[int, ...]]) -> None:
        assert sum(ranked.borda([[[one] for one in order] for order in orders], 4)) == 6 * len(orders)
