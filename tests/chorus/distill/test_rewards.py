"""What each reward pays, and what it never pays for."""

import math

import pytest
from workshop import CAST, question

from chorus.distill import rewards
from chorus.distill.attempts import Attempt
from chorus.distill.cast import Cast
from chorus.distill.scores import scores
from personas import Library

SPEAKERS = Cast(personas=Library.builtin().select(CAST), rounds=2, detail="full")


def attempt(text: str, *, style="answer", tokens: int = 10, answer: str | None = "56", name: str = "q1") -> Attempt:
    return Attempt(question(answer=answer, name=name), style, text, tokens, SPEAKERS)


def dialogue(*turns: tuple[str, str], answer: str = "56") -> Attempt:
    text = "\n".join([*(f"The {name}: {said}" for name, said in turns), f"Answer: {answer}"])
    return attempt(text, style="chorus")


CORRECTED = dialogue(("Skeptic", "It is 54."), ("Estimator", "It is 56."), ("Skeptic", "You are right, it is 56."))
MISLED = dialogue(("Skeptic", "It is 56."), ("Estimator", "It is 54."), ("Skeptic", "Then it is 54."))


def test_the_right_answer_pays_one_and_another_nothing():
    tried = [attempt("Answer: 56"), attempt("Answer: 54"), attempt(""), attempt("Answer: 56", answer=None)]
    assert rewards.correct(tried) == [1.0, 0.0, 0.0, None]


def test_a_voice_put_right_pays_and_a_voice_misled_costs():
    assert rewards.corrected([CORRECTED, MISLED]) == [0.5, -0.5]


def test_agreeing_from_the_start_pays_nothing_for_correction():
    calm = dialogue(("Skeptic", "It is 56."), ("Estimator", "It is 56."))
    assert rewards.corrected([calm, attempt("Answer: 56")]) == [0.0, 0.0]


def test_brevity_pays_only_where_the_answer_is_right():
    tried = [attempt("Answer: 56", tokens=5), attempt("Answer: 54", tokens=1), attempt("Answer: 56", tokens=90)]
    assert rewards.brief(tried, budget=20) == [0.75, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "style", "paid"),
    [
        ("Answer: 56", "answer", 1.0),
        ("56", "answer", 0.0),
        ("Answer:", "answer", 0.0),
        ("Answer: 1\nAnswer: 2", "answer", 0.0),
        ("The Skeptic: 56.\nThe Estimator: 56.\nAnswer: 56", "chorus", 1.0),
        ("The Skeptic: 56.\nAnswer: 56", "chorus", 0.5),
        ("The Skeptic: 56.\nThe Estimator: 56.", "chorus", 0.5),
        ("", "chorus", 0.0),
    ],
)
def test_the_form_that_readers_rely_on(text, style, paid):
    assert rewards.formed([attempt(text, style=style)]) == [paid]


def test_distinct_voices_pay_where_the_answer_is_right():
    echo = dialogue(("Skeptic", "It is 56."), ("Estimator", "It is 56."))
    wrong = dialogue(("Skeptic", "One two."), ("Estimator", "Three four."), answer="54")
    (same,), (other,), (false,) = (rewards.distinct([one]) for one in (echo, CORRECTED, wrong))
    assert same == 0.0
    assert other is not None
    assert 0.0 < other < 1.0
    assert false == 0.0


# Consensus


def measured(*pairs: tuple[float, float], worth: float = 0.8) -> list[dict[str, float]]:
    return [{"gold/accuracy": truth, "gold/consensus": agreed, "gold/majority_right": worth} for truth, agreed in pairs]


UNKNOWN = [attempt(f"Answer: {said}", answer=None) for said in ("56", "56", "54", "56")]


def test_consensus_pays_the_share_that_agrees_for_what_it_is_worth():
    paid = rewards.consensus(UNKNOWN, measured((0.5, 0.6)))
    assert paid == pytest.approx([0.6, 0.6, 0.0, 0.6])


def test_consensus_pays_nothing_before_it_was_measured():
    assert rewards.consensus(UNKNOWN, []) == [0.0] * 4


def test_consensus_has_nothing_to_say_where_the_truth_is_known():
    assert rewards.consensus([attempt("Answer: 56")], measured((0.5, 0.6))) == [None]


def test_consensus_is_taken_within_a_question():
    others = [attempt("Answer: 1", answer=None, name="q2"), attempt("Answer: 1", answer=None, name="q2")]
    assert rewards.consensus([*UNKNOWN, *others], measured((0.5, 0.5), worth=1.0))[-2:] == [1.0, 1.0]


def test_consensus_is_shut_off_for_good_where_truth_falls_while_it_rises():
    falling = measured((0.6, 0.5), (0.5, 0.6), (0.4, 0.7))
    assert rewards.shut_off(falling)
    assert rewards.reliability(falling + measured((0.9, 0.9))) == 0.0
    assert not rewards.shut_off(measured((0.6, 0.5), (0.5, 0.6), (0.55, 0.7), (0.5, 0.8)))


# Faults


def test_a_reward_that_raises_is_named():
    def broken(attempts):
        raise ZeroDivisionError("division by zero")

    with pytest.raises(rewards.RewardFault, match="'broken' failed: ZeroDivisionError"):
        rewards.checked("broken", broken)([attempt("56")])


@pytest.mark.parametrize("paid", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_is_named(paid):
    with pytest.raises(rewards.RewardFault, match=r"'odd' paid .* 'q1'"):
        rewards.checked("odd", lambda attempts: [paid])([attempt("56")])


def test_a_reward_that_forgets_somebody_is_named():
    with pytest.raises(rewards.RewardFault, match="'short' paid 1 times for 2"):
        rewards.checked("short", lambda attempts: [1.0])([attempt("56"), attempt("54")])


# What is counted besides


def test_the_scores_of_a_batch():
    batch = [attempt(f"Answer: {said}") for said in ("56", "54", "54", "54")]
    batch += [attempt("Answer: 54", name="q2"), attempt("Answer: 54", name="q2")]
    found = scores(batch)
    assert found["pass@1"] == pytest.approx(1 / 6)
    assert found["pass@k"] == 0.5
    assert found["consensus"] == pytest.approx((0.75 + 1.0) / 2)
    assert found["majority_right"] == 0.0
    assert "distinctness" not in found


def test_the_scores_of_dialogues():
    found = scores([CORRECTED, MISLED])
    assert (found["corrected"], found["misled"], found["voices"]) == (0.5, 0.5, 2.0)
    assert 0.0 < found["distinctness"] < 1.0
