"""An answer explained in words."""

import pytest
from debates import engine, hold, plan

from chorus.record.explanation import explain


@pytest.mark.parametrize("spelled", ["56", "$56", "56.0"])
def test_who_changed_their_mind_heard_the_answer_however_it_was_spelled(spelled):
    script = {"1.skeptic": "Answer: 54", "*.estimator": f"Answer: {spelled}", "1.formalist": "Answer: 54"}
    told = explain(hold(engine(script), plan(decision="plurality")).answer)
    assert "- 2.skeptic changed from 54 to 56, after hearing it from 1.estimator." in told


def test_a_check_is_told_as_one():
    script = {"1.skeptic": "Answer: 54", "2.*": {"text": "no", "confidence": 0.75}, "3.*": "Hm."}
    told = explain(hold(engine(script), plan(rounds=1, decision="checked")).answer)
    assert "2.skeptic (skeptic), check of 54: 25% right" in told
    assert "3.skeptic (skeptic), check took no position" in told


def test_what_nobody_had_said_is_told_as_such():
    script = {"1.*": "Answer: 54"}
    told = explain(hold(engine(script), plan(decision="plurality")).answer)
    assert "- 2.skeptic changed from 54 to 56, which none of those it heard had said." in told
