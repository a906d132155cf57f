"""How a debate ends: early, in agreement, by ballot, checks, a judge or a synthesis, or in plurality when these fail."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
from debates import ESSAY, SEATS, after, engine, fails, hold, plan

from chorus.debate.checked import MOST_ANSWERS
from chorus.engines.base import TokenLogprob
from chorus.record import events, jsonl

FIVE = (*SEATS, "decomposer", "tester")


def last_turns(held):
    """What was said after the last round."""
    return [turn for turn in held.answer.turns if turn.kind != "speech"]


# ---- early -------------------------------------------------------------------------------------------------------


def test_the_final_round_ends_when_the_votes_to_come_cannot_change_the_outcome():
    speaker = engine({"2.formalist": after(60, "Well, Answer: 54")}, default=after(1))
    held = hold(speaker, plan(decision="plurality"))
    late = held.turn("2.formalist")
    assert (late.status, late.reason) == ("cancelled", "the outcome could no longer change")
    assert (held.answer.status, held.answer.reason) == ("done", None)
    assert held.answer.notes == ("stopped early: the votes still to come could not change the outcome",)
    assert held.answer.usage.wall_s == 2
    assert (speaker.calls.running, speaker.calls.aborted) == (0, 1)
    assert jsonl.loads(jsonl.dumps(held.answer)) == held.answer


def test_the_early_end_changes_no_outcome():
    script = {"2.formalist": after(60, "Answer: 54"), "1.formalist": "Answer: 54"}
    early = hold(engine(script), plan(decision="plurality")).answer
    late = hold(engine(script), plan(decision="unanimity")).answer
    assert early.answer == late.answer == "56"


def test_no_round_but_the_last_ends_early():
    script = {"1.formalist": after(60)}
    held = hold(engine(script, default=after(1)), plan("none", decision="plurality", rounds=2))
    assert held.turn("1.formalist").status == "cancelled", "by then two of three had spoken their last"
    assert held.ended("1.formalist") == 2
    held = hold(engine({"1.formalist": after(60)}, default=after(1)), plan(decision="plurality", rounds=2))
    assert held.turn("1.formalist").status == "done", "nobody could speak last without having heard it"


def test_a_lead_that_could_still_be_caught_up_with_is_no_end():
    script = {"1.formalist": after(60, "Answer: 54")}
    assert hold(engine(script, default=after(1)), plan("none", SEATS[1:], decision="plurality")).answer.notes == ()


@pytest.mark.parametrize("rule", ["borda", "schulze", "checked", "judge", "synthesis", "unanimity"])
def test_rules_that_weigh_what_is_said_hear_everybody(rule):
    script = {"2.formalist": after(60, "Answer: 54"), "1.formalist": after(1, "Answer: 54")}
    held = hold(engine(script, default=after(1)), plan("none", rounds=2, decision=rule))
    assert held.turn("2.formalist").status == "done"
    assert held.answer.notes == ()


# ---- in agreement ------------------------------------------------------------------------------------------------


def test_unanimity_ends_the_debate_after_the_round_in_which_all_agree():
    script = {"1.skeptic": "Answer: 54"}
    speaker = engine(script, default=after(1))
    held = hold(speaker, plan(rounds=5, decision="unanimity"))
    assert [turn.id for turn in held.answer.turns] == [f"{number}.{seat}" for number in (1, 2) for seat in SEATS]
    assert held.answer.notes == ("ended after round 2: all voices agreed",)
    assert (held.answer.status, held.answer.answer, held.answer.confidence) == ("done", "56", 1)
    assert speaker.calls.started == 6
    assert jsonl.loads(jsonl.dumps(held.answer)) == held.answer


def test_agreement_in_the_last_round_is_nothing_to_speak_of():
    held = hold(engine({"1.skeptic": "Answer: 54"}), plan(rounds=2, decision="unanimity"))
    assert (len(held.answer.turns), held.answer.notes) == (6, ())


def test_without_unanimity_the_debate_goes_on_and_the_plurality_decides():
    held = hold(engine({"*.skeptic": "Answer: 54"}), plan(rounds=3, decision="unanimity"))
    assert len(held.answer.turns) == 9
    assert held.answer.answer == "56"
    assert "did not all agree" in held.answer.decision.note


def test_a_voice_that_failed_has_not_agreed():
    held = hold(engine({"*.skeptic": fails()}), plan(rounds=3, decision="unanimity"))
    assert len(held.answer.turns) == 9


def test_under_unanimity_each_round_waits_for_the_one_before():
    script = {"1.skeptic": after(9, "Answer: 54"), "2.skeptic": "Answer: 54"}
    held = hold(engine(script), plan("none", rounds=2, decision="unanimity"))
    assert held.started("2.estimator") == 9


def test_unanimity_over_voices_that_all_fail_ends_as_a_failure():
    held = hold(engine(default=fails()), plan(rounds=3, decision="unanimity"), quorum=0)
    assert held.answer.status == "failed"
    assert len(held.answer.turns) == 9


# ---- by ballot ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["borda", "schulze"])
def test_ranked_rules_ask_every_voice_for_a_ballot(rule):
    # The answers stand in alphabetical order: A is 54, B is 56, C is 63.
    script = {"1.skeptic": "Answer: 54", "1.estimator": "Answer: 56", "1.formalist": "Answer: 63"}
    script |= {"2.skeptic": "A, B, C", "2.estimator": "B, C, A", "2.formalist": "C, B"}
    held = hold(engine(script), plan(rounds=1, decision=rule))
    assert [(turn.id, turn.kind) for turn in last_turns(held)] == [(f"2.{seat}", "ballot") for seat in SEATS]
    assert held.turn("2.estimator").position.ranking == ("56", "63", "54")
    assert held.turn("2.estimator").heard == tuple(f"1.{seat}" for seat in SEATS)
    assert (held.answer.answer, held.answer.status) == ("56", "done")
    assert held.answer.decision.rule == rule
    assert held.answer.decision.note is None


def test_ballots_are_cast_together():
    held = hold(engine({"1.skeptic": "Answer: 54"}, default=after(1)), plan(rounds=1))
    assert [held.started(f"2.{seat}") for seat in SEATS] == [1, 1, 1]


def test_nobody_is_asked_for_a_ballot_where_all_agree():
    speaker = engine({"1.skeptic": "Answer: 56.0"})
    held = hold(speaker, plan(rounds=1))
    assert (last_turns(held), speaker.calls.started) == ([], 3)
    assert (held.answer.answer, held.answer.confidence, held.answer.decision.rule) == ("56", 1, "borda")


def test_a_voice_that_never_spoke_casts_no_ballot():
    held = hold(engine({"1.skeptic": fails(), "1.estimator": "Answer: 54"}), plan(rounds=1))
    assert [turn.id for turn in last_turns(held)] == ["2.estimator", "2.formalist"]


def test_a_missing_ballot_counts_for_the_voices_own_answer_with_a_note():
    script = {"1.skeptic": "Answer: 54", "2.skeptic": fails("gone"), "2.*": "B, A"}
    held = hold(engine(script), plan(rounds=1))
    assert (held.turn("2.skeptic").status, held.answer.answer) == ("failed", "56")
    assert held.answer.decision.note.startswith("1 of 3 ballots are missing")


def test_a_ballot_has_as_many_answers_as_there_are_letters():
    seats = tuple(f"skeptic-{number}" for number in range(1, 31))
    script = {f"1.{seat}": f"Answer: {100 + min(number, 28)}" for number, seat in enumerate(seats, 1)}
    held = hold(engine(script, default="Z"), plan("none", seats, rounds=1))
    assert held.answer.notes == ("the ballot names the 26 answers with most voices: 28 were held",)
    assert held.turn("2.skeptic-1").position.ranking == ("128",), (
        "three stood for it: Z is the last letter, and its own"
    )
    assert held.answer.answer == "128"


# ---- by checks ---------------------------------------------------------------------------------------------------

CHECKED = plan(rounds=1, decision="checked")
SPLIT = {"1.skeptic": "Answer: 54"}
"""One voice says 54, two say 56: round 2 checks 54, round 3 checks 56."""


def test_every_voice_checks_every_answer_and_a_lone_right_one_can_win():
    held = hold(engine({**SPLIT, "2.*": "54 holds.\nyes", "3.*": "It does not hold.\nno"}), CHECKED)
    assert [(turn.id, turn.kind) for turn in last_turns(held)] == [
        (f"{number}.{seat}", "check") for number in (2, 3) for seat in SEATS
    ]
    assert [turn.position.answer for turn in last_turns(held)] == ["54"] * 3 + ["56"] * 3
    assert held.turn("3.estimator").heard == tuple(f"1.{seat}" for seat in SEATS)
    assert (held.answer.status, held.answer.answer, held.answer.confidence) == ("done", "54", 1)
    assert (held.answer.decision.rule, held.answer.decision.note) == ("checked", None)
    assert jsonl.loads(jsonl.dumps(held.answer)) == held.answer


def test_a_check_is_worth_the_probability_of_its_words():
    script = {"2.*": {"text": "no", "confidence": 0.75}, "3.*": {"text": "yes", "confidence": 0.5}}
    held = hold(engine({**SPLIT, **script}), CHECKED)
    assert [turn.position.confidence for turn in last_turns(held)] == pytest.approx([0.25] * 3 + [0.5] * 3)
    assert held.answer.answer == "56"
    assert held.answer.confidence == pytest.approx(0.5)


def test_the_yes_or_no_counts_and_not_how_sure_the_reasons_before_it_were():
    said = engine({**SPLIT, "2.*": "It holds.\nyes", "3.*": "no"})
    plainly = said.generate

    async def wavering(request, emit):
        completion = await plainly(request, emit)
        tokens = (TokenLogprob("It holds.\n", log(0.9)), TokenLogprob("yes", log(0.6)))
        return replace(completion, logprobs=tokens if completion.text == "It holds.\nyes" else ())

    said.generate = wavering
    held = hold(said, CHECKED)
    assert [turn.position.confidence for turn in last_turns(held)] == pytest.approx([0.6] * 3 + [0.0] * 3)


def test_a_voice_of_unknown_sureness_is_taken_at_its_word():
    held = hold(engine({**SPLIT, "2.*": "yes", "3.skeptic": "yes", "3.*": "no"}), CHECKED)
    assert {row.answer: row.weight for row in held.answer.decision.support} == {"54": 1, "56": pytest.approx(1 / 3)}


def test_checks_are_made_together_and_nobody_reads_anothers():
    held = hold(engine(SPLIT, default=after(1)), CHECKED)
    assert {event.at for event in held.of(events.TurnStarted) if event.kind == "check"} == {1}
    assert {turn for one in last_turns(held) for turn in one.heard} == {f"1.{seat}" for seat in SEATS}


def test_nobody_checks_anything_where_all_agree():
    speaker = engine({"1.skeptic": "Answer: 56.0"})
    held = hold(speaker, CHECKED)
    assert (last_turns(held), speaker.calls.started) == ([], 3)
    assert (held.answer.answer, held.answer.confidence, held.answer.decision.note) == ("56", 1, None)


def test_a_voice_that_never_spoke_checks_nothing():
    held = hold(engine({"1.skeptic": fails(), "1.estimator": "Answer: 54"}), CHECKED)
    assert [turn.id for turn in last_turns(held)] == [f"{number}.{seat}" for number in (2, 3) for seat in SEATS[1:]]


def test_checks_that_fail_or_cannot_be_read_count_for_nothing_with_a_note():
    script = {"2.skeptic": fails("gone"), "2.*": "yes", "3.skeptic": "Who knows?", "3.*": "no"}
    held = hold(engine({**SPLIT, **script}), CHECKED)
    assert (held.turn("2.skeptic").status, held.turn("3.skeptic").position) == ("failed", None)
    assert (held.answer.status, held.answer.answer) == ("done", "54")
    assert held.answer.confidence == pytest.approx(2 / 3)
    assert held.answer.decision.note == "2 of 6 checks are missing: they count for nothing"


def test_where_no_check_can_be_read_the_vote_decides_with_a_note():
    held = hold(engine({**SPLIT, "2.*": "Who knows?", "3.*": fails("gone")}), CHECKED)
    assert (held.answer.status, held.answer.answer) == ("done", "56")
    assert held.answer.decision.note == "no check could be read: decided by plurality"


def test_the_answers_with_most_voices_are_checked_and_no_more_than_a_bound():
    seats = tuple(f"skeptic-{number}" for number in range(1, MOST_ANSWERS + 3))
    script = {f"1.{seat}": f"Answer: {100 + min(number, MOST_ANSWERS + 1)}" for number, seat in enumerate(seats, 1)}
    speaker = engine(script, default="yes")
    held = hold(speaker, plan("none", seats, rounds=1, decision="checked"))
    assert held.answer.notes == ("checked are the 8 answers with most voices: 9 were held",)
    assert speaker.calls.started == len(seats) * (1 + MOST_ANSWERS)
    assert {turn.position.answer for turn in last_turns(held)} == {*(str(number) for number in range(101, 108)), "109"}


# ---- by a judge, by a synthesis ----------------------------------------------------------------------------------


def test_the_judge_hears_everything_and_rules():
    script = {"*.skeptic": "Answer: 54", "3.judge": after(1, "The skeptic is right.\nAnswer: 54")}
    held = hold(engine(script), plan("chain", decision="judge"))
    ruling = held.turn("3.judge")
    assert (ruling.kind, ruling.persona, ruling.position.answer) == ("ruling", "judge", "54")
    assert ruling.heard == tuple(f"{number}.{seat}" for number in (1, 2) for seat in SEATS)
    assert held.answer.answer == "54"
    assert [event.kind for event in held.of(events.TurnStarted)][-1] == "ruling"
    assert held.of(events.SupportMoved)[-1].at == 0, "only voices move the support"


def test_a_judge_that_fails_leaves_the_decision_to_the_vote_with_a_note():
    held = hold(engine({"*.judge": fails("out of memory")}), plan(decision="judge"))
    assert (held.turn("3.judge").status, held.turn("3.judge").reason) == ("failed", "out of memory")
    assert (held.answer.status, held.answer.answer) == ("done", "56")
    assert held.answer.decision.note == "there is no usable ruling: decided by plurality"


def test_the_coordinator_hears_everything_and_writes_the_answer():
    script = {"*.skeptic": "It is power.", "2.coordinator": "Some say power, some say order."}
    held = hold(engine(script, default="It is order."), plan(rounds=1, kind="text", decision="synthesis"), ESSAY)
    synthesis = held.turn("2.coordinator")
    assert (synthesis.kind, synthesis.heard) == ("synthesis", tuple(f"1.{seat}" for seat in SEATS))
    assert held.answer.answer == "Some say power, some say order."
    assert held.answer.dissent is not None


@pytest.mark.parametrize("reply", [fails("gone"), " \n "], ids=["fails", "says nothing"])
def test_without_a_synthesis_the_vote_decides_with_a_note(reply):
    held = hold(engine({"*.coordinator": reply}), plan(kind="text", decision="synthesis"), ESSAY)
    assert held.answer.status == "done"
    assert held.answer.decision.note == "there is no synthesis: decided by plurality"


def test_nobody_judges_what_nobody_said():
    speaker = engine(default="Who knows?")
    held = hold(speaker, plan(rounds=1, decision="judge"))
    assert speaker.calls.started == 3
    assert (held.answer.status, held.answer.reason) == ("failed", "no voice gave an answer")


def test_a_seat_called_judge_is_not_the_judge(tmp_path):
    of = plan("none", ("skeptic", "estimator"), rounds=1, decision="judge")
    seats = (of.seats[0].model_copy(update={"seat": "judge"}), of.seats[1])
    held = hold(engine(), of.model_copy(update={"seats": seats}))
    assert [(turn.id, turn.kind) for turn in held.answer.turns] == [
        ("1.judge", "speech"),
        ("1.estimator", "speech"),
        ("2.judge", "ruling"),
    ]
