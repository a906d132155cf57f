"""Questions that ship in installed packages, and what is said where the package isn't there."""

import pytest

from chorus.debate import grade
from chorus.errors import QuestionError
from evals import tasks
from evals.tasks import packaged
from evals.tasks.splits import SPLITS

SAMPLE = {
    "question": "Which of these\nis a number?\n(A) red (B) seven\n(C) tall (D) of\n wood",
    "target": "Let's think step by step. Not (A). The answer is (B).",
}


def test_a_worked_question_is_read():
    item = packaged._worked(SAMPLE)
    assert (item.text, item.answer) == ("Which of these is a number?", "B")
    assert item.choices == ("red", "seven", "tall", "of wood")


@pytest.mark.parametrize(
    "change",
    [
        {"target": "Nobody knows."},
        {"question": "Which?\n(A) red (B) seven (C) tall"},
        {"question": "Which?\n(A) red (B) seven (C) tall (D)"},
        {"question": "Which?\n(A) red (B) the red (C) tall (D) of wood"},
    ],
)
def test_a_question_that_can_not_be_graded_is_passed_over(change):
    assert packaged._worked(SAMPLE | change) is None


@pytest.mark.parametrize(
    ("name", "package"), [("biology", "inspect_ai"), ("theory-of-mind", "inspect_ai"), ("mmlu-dev", "lm_eval")]
)
def test_they_can_be_asked_and_graded(name, package):
    pytest.importorskip(package)
    asked = [question for split in SPLITS for question in tasks.load(name, split, 1000)]
    assert len({question.text for question in asked}) == len(asked) >= 20
    for question in asked:
        kind = grade.infer_kind(question)
        said = grade.extract(f"Answer: {question.answer}", kind, question.choices)
        assert said is not None
        assert grade.same(said, question.answer, kind, question.choices)


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(QuestionError, match="come with the package lm-eval: pip install lm-eval"):
        tasks.load("mmlu-dev", "dev", 1)


def test_a_package_that_was_rearranged_is_named(monkeypatch, tmp_path):
    class Found:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: Found)
    with pytest.raises(QuestionError, match="the installed inspect-ai holds no dataset/_examples"):
        tasks.load("biology", "dev", 1)
