"""A count from stored drafts is the count of the debate: ties, silence, failures and confidences included."""

from __future__ import annotations

import random

import pytest
from debates import SUM, engine, fails, hold, plan

from evals import recount
from evals.outcomes import outcome

ASKED = SUM.model_copy(update={"id": "products/dev/1", "answer": "56"})
SEATS = ("skeptic", "estimator", "formalist", "tester")


def replies(drawn: random.Random) -> dict[str, object]:
    """Random answers, confidences, silences and failures for two rounds of four seats."""
    said: dict[str, object] = {}
    for round_ in (1, 2):
        for seat in SEATS:
            text = drawn.choice(["Answer: 56", "Answer: 56.0", "Answer: 54", "Answer: 8", "I can't say."])
            sure = drawn.choice([0.4, 0.6, 0.6])
            said[f"{round_}.{seat}"] = fails() if drawn.random() < 0.1 else {"text": text, "confidence": sure}
    return said


@pytest.mark.parametrize("rule", recount.COUNTED)
@pytest.mark.parametrize("number", range(25))
def test_it_is_decided_as_in_the_debate(rule, number):
    of = plan(seats=SEATS, decision=rule, stop_error=0.0)
    record = hold(engine(replies(random.Random(number))), of, ASKED).answer
    row = outcome(record, "chorus", "products", "dev")
    again = recount.decided(row)
    assert (again.answer is None) == (row.side is None)
    if row.side is not None:
        assert again.answer == row.answers[row.side]
        assert again.confidence == pytest.approx(record.confidence)
        power = {"plurality": 0, "weighted": 1}[rule]
        assert recount.vote(recount.standing(row), power)[0] == again.answer


def test_seats_and_rounds_can_be_left_out():
    said = {"1.*": "Answer: 54", "2.*": "Answer: 56"}
    row = outcome(hold(engine(said), plan(decision="plurality"), ASKED).answer, "chorus", "products", "dev")
    assert recount.decided(row).answer == "56"
    assert recount.decided(row, last=1).answer == "54"
    assert recount.decided(row, []).answer is None
