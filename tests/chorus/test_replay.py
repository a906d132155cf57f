"""A recorded debate seen again, and decided again by another rule."""

from __future__ import annotations

import pytest
from debates import ESSAY, LIBRARY, after, engine, fails, hold, in_virtual_time, plan

from chorus.errors import ConfigError, RecordError
from chorus.record import events, jsonl
from chorus.replay import redecide, replayed
from personas import Library, PersonaError

SPLIT = {"*.skeptic": {"text": "Answer: 54", "confidence": 0.99}, "*": {"text": "Answer: 56", "confidence": 0.4}}


def record(script=SPLIT, of=None, **more):
    """A record as it comes back from disk."""
    held = hold(engine(script), of or plan(decision="plurality"), **more)
    return jsonl.loads(jsonl.dumps(held.answer))


def again(answer, rule, speaker=None, library=None):
    return in_virtual_time(redecide(answer, rule, speaker, library))


# ---- seen again --------------------------------------------------------------------------------------------------


def test_a_replay_tells_every_turn_and_ends_with_the_record():
    answer = record({"1.skeptic": fails("gone")}, plan(rounds=3), max_calls=8)
    told = list(replayed(answer))
    assert isinstance(told[0], events.Convened)
    assert (told[0].debate, told[0].plan, told[0].seed) == (answer.id, answer.plan, answer.seed)
    assert [event.turn.id for event in told[1:-1]] == [turn.id for turn in answer.turns]
    assert [event.event for event in told[1:-1]] == ["turn_failed"] + ["turn_finished"] * 7 + ["turn_cancelled"]
    assert told[-1].answer == answer


# ---- decided again -----------------------------------------------------------------------------------------------


def test_another_rule_may_decide_otherwise_and_the_turns_stay_what_they_were():
    answer = record(of=plan("none", decision="borda"))
    assert answer.answer == "56"
    other = again(answer, "weighted")
    assert (other.answer, other.decision.rule, other.plan.decision) == ("54", "weighted", "weighted")
    assert other.turns == answer.turns
    assert other.dissent.answer == "56"
    assert other.confidence == other.decision.confidence
    assert again(other, "borda") == answer


@pytest.mark.parametrize("rule", ["plurality", "weighted", "borda", "schulze", "unanimity"])
def test_its_own_rule_decides_as_it_did(rule):
    answer = record(of=plan(decision=rule))
    assert again(answer, rule) == answer


def test_a_rule_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown decision rule 'weigthed'; did you mean weighted"):
        again(record(), "weigthed")


# ---- with an engine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "kind"), [("judge", "ruling"), ("synthesis", "synthesis"), ("schulze", "ballot"), ("checked", "check")]
)
def test_a_rule_that_needs_a_turn_that_is_missing_needs_an_engine(rule, kind):
    with pytest.raises(ConfigError, match=rf"{rule} needs a {kind} that the record lacks: name an engine.*--engine"):
        again(record(of=plan(decision="unanimity")), rule)


def test_the_engine_is_asked_for_the_missing_turn_alone():
    answer = record(of=plan(decision="unanimity"))
    speaker = engine({"3.judge": after(2, "Answer: 54")})
    ruled = again(answer, "judge", speaker)
    assert speaker.calls.started == 1
    assert (ruled.answer, ruled.decision.rule, ruled.id, ruled.status) == ("54", "judge", answer.id, "done")
    assert ruled.turns[:-1] == answer.turns
    assert (ruled.turns[-1].id, ruled.turns[-1].heard) == ("3.judge", tuple(turn.id for turn in answer.turns))
    assert ruled.usage.calls == answer.usage.calls + 1
    assert ruled.usage.wall_s == answer.usage.wall_s + 2
    assert ruled.notes == ("decided again by judge, which asked scripted:memory",)
    assert ruled.personas == answer.personas
    assert again(ruled, "judge") == ruled, "now the record has all that it takes"


def test_ballots_are_asked_of_the_same_voices():
    answer = record(of=plan(decision="unanimity"))
    ranked = again(answer, "borda", engine({"3.*": "A, B"}))
    assert (ranked.answer, [turn.id for turn in ranked.turns[-3:]]) == (
        "54",
        ["3.skeptic", "3.estimator", "3.formalist"],
    )


def test_nobody_is_asked_for_a_ballot_where_all_agree():
    answer = record({"*": "Answer: 56"}, plan(decision="judge"))
    assert again(answer, "borda").answer == "56"
    speaker = engine()
    assert again(answer, "schulze", speaker).answer == "56"
    assert speaker.calls.started == 0
    own = record({"*": "Answer: 56"}, plan(decision="borda"))
    assert again(own, "borda") == own


def test_checks_are_asked_of_the_same_voices_and_then_on_record():
    answer = record(of=plan(decision="unanimity"))
    speaker = engine({"3.*": "yes", "4.*": "no"})
    checked = again(answer, "checked", speaker)
    assert (checked.answer, checked.confidence, speaker.calls.started) == ("54", 1, 6)
    assert checked.turns[:-6] == answer.turns
    assert {turn.kind for turn in checked.turns[-6:]} == {"check"}
    assert again(checked, "checked") == checked
    ranked = again(checked, "borda", engine({"*": "B, A"}))
    assert [turn.id for turn in ranked.turns[-3:]] == [f"5.{seat.seat}" for seat in answer.plan.seats]
    assert ranked.turns[-1].heard == checked.turns[-1].heard, "a ballot hears what was said, not the checks"


def test_nobody_checks_what_all_agree_on():
    answer, speaker = record({"*": "Answer: 56"}, plan(decision="judge")), engine()
    checked = again(answer, "checked", speaker)
    assert (checked.answer, checked.confidence, checked.decision.note) == ("56", 1, None)
    assert speaker.calls.started == 0


def test_a_judge_that_failed_may_be_asked_again_and_the_failure_stays_on_record():
    answer = record({"*.judge": fails("gone"), **SPLIT}, plan(decision="judge"))
    assert again(answer, "judge") == answer, "without an engine it stays as it was"
    ruled = again(answer, "judge", engine(default="Answer: 54"))
    assert [(turn.id, turn.status) for turn in ruled.turns[-2:]] == [("3.judge", "failed"), ("4.judge", "done")]
    assert (ruled.answer, ruled.decision.note) == ("54", None)


def test_an_inner_chorus_can_be_judged_again_and_put_to_the_vote():
    talk = "Skeptic: Answer: 54\nEstimator: Answer: 56\nFormalist: Answer: 56\n\nAnswer: 54"
    answer = record({"*": talk}, plan("none", mode="inner", decision="judge"))
    assert (answer.answer, again(answer, "plurality").answer) == ("54", "56")
    assert again(answer, "borda", engine({"3.*": "B, A"})).answer == "56"
    mute = record({"*": "It is so.\nAnswer: 54"}, plan("none", mode="inner", decision="judge"))
    voted = again(mute, "plurality")
    assert (mute.answer, voted.answer, voted.status, voted.reason) == ("54", None, "failed", "no voice gave an answer")


def test_cards_are_needed_for_ballots_and_checks_only_and_must_be_those_that_spoke(tmp_path):
    answer = record(of=plan(decision="unanimity"))
    nobody = Library(())
    assert again(answer, "judge", engine(), nobody).answer == "56"
    with pytest.raises(PersonaError, match="skeptic"):
        again(answer, "borda", engine(), nobody)
    with pytest.raises(PersonaError, match="skeptic"):
        again(answer, "checked", engine(), nobody)
    changed = answer.model_copy(update={"personas": {**answer.personas, "skeptic": "0" * 64}})
    with pytest.raises(RecordError, match="the card skeptic has changed"):
        again(changed, "borda", engine(), LIBRARY)


# ---- cut short ---------------------------------------------------------------------------------------------------


def test_a_debate_that_a_budget_cut_is_decided_by_no_other_rule():
    answer = record(of=plan(decision="plurality", rounds=3), max_calls=4)
    with pytest.raises(RecordError, match=r"was cut short \(the budget of 4 calls is spent\): .*another rule"):
        again(answer, "weighted")
    assert again(answer, "plurality") == answer


def test_a_debate_that_ended_early_is_decided_by_no_other_rule():
    script = {"2.formalist": after(60), "1.*": after(1)}
    answer = record(script, plan(decision="plurality"))
    assert answer.notes == ("stopped early: the votes still to come could not change the outcome",)
    with pytest.raises(RecordError, match=r"2\.formalist never spoke"):
        again(answer, "weighted")
    with pytest.raises(RecordError, match=r"2\.formalist never spoke"):
        again(answer, "judge", engine())
    assert again(answer, "plurality") == answer


def test_a_debate_that_ended_in_agreement_is_decided_by_no_other_rule():
    answer = record({"*": "Answer: 56"}, plan(rounds=3, decision="unanimity"))
    speaker = engine()
    with pytest.raises(RecordError, match="ended after round 1 of 3"):
        again(answer, "judge", speaker)
    assert speaker.calls.started == 0, "nobody speaks who did not"
    assert again(answer, "unanimity") == answer


def test_a_debate_whose_judge_was_cut_stays_cut_when_he_is_asked_again():
    answer = record({"*.judge": after(60), **SPLIT}, plan(decision="judge"), max_seconds=9)
    assert (answer.status, answer.answer) == ("cut", "56")
    ruled = again(answer, "judge", engine(default="Answer: 54"))
    assert (ruled.status, ruled.reason, ruled.answer) == ("cut", "the budget of 9 seconds is spent", "54")


def test_a_failure_stays_a_failure():
    answer = record({"*": fails("the server is down")}, plan(decision="plurality"), quorum=0)
    other = again(answer, "weighted")
    assert (other.status, other.answer, other.reason) == ("failed", None, answer.reason)


def test_free_text_is_put_together_by_an_engine():
    answer = record({"*": "It is order."}, plan(kind="text", decision="plurality"), question=ESSAY)
    assert again(answer, "synthesis", engine(default="Order, they say.")).answer == "Order, they say."
