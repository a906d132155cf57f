"""From a debate's record to a row of results."""

from __future__ import annotations

import pytest
from debates import SUM, engine, hold, plan

from chorus.errors import RecordError
from evals import outcomes
from evals.outcomes import Outcome, outcome

ASKED = SUM.model_copy(update={"id": "products/dev/1", "answer": "56"})
SPLIT = {"*.skeptic": "Answer: 56.0", "*.estimator": "Answer: 54", "*.formalist": "I can't say."}


def counted(turns=SPLIT, question=ASKED, **changes) -> Outcome:
    held = hold(engine(turns), plan(**{"decision": "plurality", "rounds": 1, **changes}), question)
    return outcome(held.answer, "chorus", "products", "dev")


def test_answers_are_compared_and_graded_once():
    row = counted()
    assert {draft.seat: draft.side for draft in row.drafts} == {"skeptic": 0, "estimator": 1, "formalist": None}
    assert row.answers == ("56.0", "54")
    assert row.right == 0, "56.0 is 56"
    assert row.correct == (row.side == 0)


def test_an_answer_that_nobody_gave_is_not_among_them():
    row = counted({"*": "Answer: 54"})
    assert (row.answers, row.right, row.side, row.correct) == (("54",), None, 0, False)


def test_no_answer_is_never_right():
    row = counted({"*": "I can't say."})
    assert (row.answers, row.side, row.correct, row.status) == ((), None, False, "failed")


def test_a_question_without_an_answer_cant_be_counted():
    with pytest.raises(RecordError, match="no answer to be graded by"):
        counted(question=SUM)


def test_tokens_are_those_that_had_to_be_worked_on():
    row = counted()
    assert row.computed_tokens == sum(draft.computed_tokens for draft in row.drafts) > 0
    assert row.calls == 3


def test_results_come_back_as_they_were(tmp_path):
    rows = [counted(), counted({"*": "Answer: 54"})]
    outcomes.write(rows, tmp_path / "results.jsonl")
    assert list(outcomes.read(tmp_path / "results.jsonl")) == rows


def test_a_line_that_is_no_outcome_is_named(tmp_path):
    outcomes.write([counted()], tmp_path / "results.jsonl")
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"system": "x"}\n')
    with pytest.raises(RecordError, match=r"results.jsonl, line 2: task"):
        list(outcomes.read(tmp_path / "results.jsonl"))
