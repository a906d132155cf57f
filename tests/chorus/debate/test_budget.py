"""What a debate may spend: every budget ends it with the best decision so far, and nothing goes on behind its back."""

from __future__ import annotations

import pytest
from debates import after, engine, fails, hold, plan

from chorus.debate.budget import Budget, Limits
from chorus.record import jsonl
from chorus.types import Usage

LONG = plan(rounds=3)


def ended_early(held, speaker, reason):
    """Check what every budget promises, and return the turns by status."""
    answer = held.answer
    assert (answer.status, answer.reason) == ("cut", reason)
    assert answer.answer == "56", "the best decision so far"
    assert speaker.calls.running == 0
    assert len(answer.turns) == 9, "unspoken turns stand in the record"
    assert jsonl.loads(jsonl.dumps(answer)) == answer
    for turn in answer.turns:
        assert turn.status == "done" or (turn.status, turn.reason) == ("cancelled", reason)
    return [turn.id for turn in answer.turns if turn.status == "done"]


@pytest.mark.parametrize("calls", range(1, 9))
def test_a_budget_of_calls(calls):
    speaker = engine(default=after(1))
    held = hold(speaker, LONG, max_calls=calls)
    done = ended_early(held, speaker, f"the budget of {calls} calls is spent")
    assert len(done) == speaker.calls.started == held.answer.usage.calls == calls


def test_a_budget_that_is_just_enough_is_no_cut():
    assert hold(engine(), LONG, max_calls=9).answer.status == "done"


def test_retries_count_as_calls():
    speaker = engine({"1.skeptic": fails(times=2, retryable=True, retry_after_s=1, after_tokens=1)}, default=after(5))
    held = hold(speaker, LONG, max_calls=4)
    done = ended_early(held, speaker, "the budget of 4 calls is spent")
    assert done == ["1.estimator", "1.formalist"]
    assert held.turn("1.skeptic").usage.calls == 2
    assert held.turn("1.skeptic").text == "", "words of a failed attempt are void"


def test_calls_in_flight_are_finished_when_tokens_run_out():
    speaker = engine(default=after(1))
    one_round = hold(engine(), plan(rounds=1)).answer.usage
    spent = one_round.prompt_tokens + one_round.completion_tokens
    held = hold(speaker, LONG, max_total_tokens=spent)
    done = ended_early(held, speaker, f"the budget of {spent} tokens is spent ({spent} used)")
    assert done == ["1.skeptic", "1.estimator", "1.formalist"]


def test_calls_in_flight_are_cancelled_when_time_runs_out():
    speaker = engine({"2.skeptic": after(1)}, default=after(2, "Well, Answer: 56"))
    held = hold(speaker, LONG, max_seconds=3.5)
    done = ended_early(held, speaker, "the budget of 3.5 seconds is spent")
    assert done == ["1.skeptic", "1.estimator", "1.formalist", "2.skeptic"]
    assert held.answer.usage.wall_s == 3.5
    assert speaker.calls.aborted == 2


def test_time_that_runs_out_between_two_attempts_does_not_wait_for_the_next():
    speaker = engine({"2.skeptic": fails(retryable=True, retry_after_s=20)})
    held = hold(speaker, LONG, max_seconds=5)
    assert held.answer.usage.wall_s == 5
    ended_early(held, speaker, "the budget of 5 seconds is spent")


def test_time_that_runs_out_before_any_answer_is_a_failure():
    held = hold(engine(default=after(10)), LONG, max_seconds=4)
    assert (held.answer.status, held.answer.reason) == ("failed", "the budget of 4 seconds is spent")
    assert {turn.status for turn in held.answer.turns} == {"cancelled"}


@pytest.mark.parametrize(
    ("rule", "seat"), [("judge", "judge"), ("synthesis", "coordinator"), ("borda", "skeptic"), ("checked", "skeptic")]
)
def test_time_that_runs_out_in_the_last_turn_leaves_a_vote(rule, seat):
    script = {"1.skeptic": "Answer: 54", "2.*": after(60)}
    speaker = engine(script)
    held = hold(speaker, plan(rounds=1, decision=rule), max_seconds=10)
    assert (held.answer.status, held.answer.answer) == ("cut", "56")
    assert held.turn(f"2.{seat}").status == "cancelled"
    assert held.answer.decision.note
    assert speaker.calls.running == 0


def test_a_ballot_is_not_held_when_nothing_is_left_to_pay_for_it():
    speaker = engine({"1.skeptic": "Answer: 54"})
    held = hold(speaker, plan(rounds=1), max_calls=4)
    assert (held.answer.status, held.answer.reason) == ("cut", "the budget of 4 calls is spent")
    assert [turn.status for turn in held.answer.turns if turn.kind == "ballot"] == ["done", "cancelled", "cancelled"]


def test_a_budget_spent_amid_checks_leaves_those_that_were_made():
    speaker = engine({"1.skeptic": "Answer: 54", "2.skeptic": "yes", "3.skeptic": "no"})
    held = hold(speaker, plan(rounds=1, decision="checked"), max_calls=5)
    assert (held.answer.status, held.answer.reason) == ("cut", "the budget of 5 calls is spent")
    ended = {turn.id: turn.status for turn in held.answer.turns if turn.kind == "check"}
    assert {turn for turn, status in ended.items() if status == "done"} == {"2.skeptic", "3.skeptic"}
    assert (len(ended), held.answer.answer) == (6, "54")
    assert held.answer.decision.note == "4 of 6 checks are missing: they count for nothing"


def test_no_budget_is_no_bound():
    budget = Budget(Limits())
    assert all(budget.begin_call() is None for _ in range(1000))


def test_what_was_spent_before_counts():
    budget = Budget(Limits(max_calls=2), Usage(calls=1, prompt_tokens=10))
    assert (budget.begin_call(), budget.tokens) == (None, 10)
    assert budget.begin_call() == "the budget of 2 calls is spent"
