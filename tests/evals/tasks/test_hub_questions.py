"""Data sets of the hub. None can be reached in tests: a loader that stands in for the hub's hands out rows in their form."""

import sys
from types import SimpleNamespace

import pytest

from chorus.debate import grade
from chorus.errors import QuestionError
from evals import tasks
from evals.tasks import hub
from evals.tasks.splits import SPLITS

ROWS = {
    "gsm8k": lambda n: {"question": f"Ann has {n} eggs and buys 1000. How many now?", "answer": f"She adds.\n#### 1,{n:03}"},
    "mmlu-pro": lambda n: {"question": f"Is {n} it?", "options": [f"{n}", "two", "many"], "answer_index": 2},
    "gpqa": lambda n: {
        "Question": f" Why {n}? ", "Correct Answer": "because", "Incorrect Answer 1": "no", "Incorrect Answer 2": "yes",
        "Incorrect Answer 3": "maybe",
    },
    "bbh-boolean-expressions": lambda n: {"input": f"not ( True ) and {n} is", "target": "False"},
    "bbh-date-understanding": lambda n: {
        "input": f"Today is day {n}. What is it?\nOptions:\n(A) 1/2/3\n(B) 4/5/6", "target": "(B)",
    },
    "bbh-object-counting": lambda n: {"input": f"I have {n} plums. How many fruits do I have?", "target": "7"},
}  # fmt: skip


@pytest.fixture
def a_hub(monkeypatch):
    """Returns a function that has the hub answer as it says."""

    def stand_in(answer):
        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=answer))

    return stand_in


@pytest.mark.parametrize("name", ROWS)
def test_rows_become_questions_in_three_splits(a_hub, name):
    a_hub(lambda path, config, split: [ROWS[name](number + (500 if split == "test" else 0)) for number in range(100)])
    asked = {split: tasks.load(name, split, 1000) for split in SPLITS}
    texts = [question.text for some in asked.values() for question in some]
    assert len(texts) == len(set(texts))
    for question in (question for some in asked.values() for question in some):
        kind = grade.infer_kind(question)
        said = grade.extract(f"Answer: {question.answer}", kind, question.choices)
        assert grade.same(said, question.answer, kind, question.choices)
    assert min(map(len, asked.values())) >= 5


def test_the_answers_are_theirs(a_hub):
    a_hub(lambda path, config, split: [ROWS["gsm8k"](number) for number in range(30)])
    for question in tasks.load("gsm8k", "dev", 30):
        assert int(question.answer) == 1000 + int(question.text.split()[2])
    a_hub(lambda path, config, split: [ROWS["gpqa"](number) for number in range(60)])
    asked = tasks.load("gpqa", "train", 60)
    assert {question.choices[ord(question.answer) - ord("A")] for question in asked} == {"because"}
    assert len({question.answer for question in asked}) == 4


def test_a_test_split_of_their_own_is_ours_whole(a_hub):
    parts = []

    def answer(path, config, split):
        parts.append((path, config, split))
        return [ROWS["gsm8k"](number) for number in range(50 if split == "test" else 100, 150)]

    a_hub(answer)
    assert len(tasks.load("gsm8k", "test", 1000)) == 100
    assert len(tasks.load("gsm8k", "train", 1000)) + len(tasks.load("gsm8k", "dev", 1000)) == 50
    assert [part for _, _, part in parts] == ["test", "train", "train"]


def test_no_hub_is_said_in_one_line(a_hub):
    def answer(path, config, split):
        raise ConnectionError("Couldn't reach the hub\nwith details")

    a_hub(answer)
    with pytest.raises(QuestionError) as error:
        tasks.load("gsm8k", "dev", 5)
    assert str(error.value) == "the data set openai/gsm8k can't be had from the hub: Couldn't reach the hub"


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(QuestionError, match="read by the package datasets: pip install datasets"):
        tasks.load("mmlu-pro", "dev", 5)


def test_a_row_in_another_form_is_named(a_hub):
    a_hub(lambda path, config, split: [{"question": "What?"}])
    with pytest.raises(QuestionError, match="openai/gsm8k, row 0: not as expected: KeyError"):
        tasks.load("gsm8k", "dev", 5)


def test_all_four_are_there():
    told = {task.name for task in hub.tasks()}
    assert {"gsm8k", "mmlu-pro", "gpqa"} < told
    assert sum(name.startswith("bbh-") for name in told) >= 3
