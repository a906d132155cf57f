"""Questions by the name of their task, and the command that writes them."""

import json

import pytest
from command_line import Command

from chorus.debate import grade
from chorus.errors import QuestionError
from chorus.question_file import read_questions
from chorus.types import Question
from evals import tasks
from evals.tasks import simple
from evals.tasks.capitals import CAPITALS
from evals.tasks.catalogue import catalogue


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    return Command(tmp_path, monkeypatch, capsys)


def test_ids_say_task_split_and_number():
    assert [question.id for question in tasks.load("two-digit-sums", "dev", 3)] == [
        f"two-digit-sums/dev/{number}" for number in (1, 2, 3)
    ]


def test_fewer_are_the_first_of_more():
    assert tasks.load("word-problems", "test", 50)[:7] == tasks.load("word-problems", "test", 7)


def test_a_split_with_fewer_questions_gives_what_it_has():
    assert 0 < len(tasks.load("capitals", "dev", 10_000)) < len(CAPITALS)


@pytest.mark.parametrize("task", list(simple.tasks()), ids=lambda task: task.name)
def test_our_own_questions_can_be_graded(task):
    for question in tasks.load(task.name, "dev", 30):
        assert question.kind == task.kind
        assert grade.extract(f"Answer: {question.answer}", question.kind) is not None
        assert grade.same(grade.extract(f"Answer: {question.answer}", question.kind), question.answer, question.kind)


def test_sums_and_word_problems_are_right():
    for question in tasks.load("two-digit-sums", "dev", 20):
        a, b = question.text.removeprefix("What is ").rstrip("?").split(" + ")
        assert int(a) + int(b) == int(question.answer)
    (first,) = tasks.load("largest-of-three", "dev", 1)
    assert int(first.answer) == max(int(word.strip(",?")) for word in first.text.split() if word.strip(",?").isdigit())


def test_names_are_unique_and_every_task_says_where_it_comes_from():
    assert len(tasks.names()) == len(set(tasks.names())) >= 30
    assert all(task.source and task.licence for task in catalogue().values())
    assert tasks.find("mmlu-dev").seen


def test_an_unknown_name_is_told_the_closest():
    with pytest.raises(QuestionError, match="no task 'two-digit-sum'; did you mean two-digit-sums"):
        tasks.load("two-digit-sum", "dev", 1)


def test_the_majority_answer_is_counted_by_the_grader():
    asked = [
        Question(id=str(at), text="?", kind="number", answer=answer) for at, answer in enumerate(("2", "7", "7.0", "8"))
    ]
    assert tasks.majority(asked) == ("7", 0.5)
    letters = [Question(id=str(at), text="?", choices=("x", "y"), answer=letter) for at, letter in enumerate("ABA")]
    assert tasks.majority(letters) == ("A", pytest.approx(2 / 3))
    assert tasks.majority([]) == ("", 0.0)


def test_the_command_writes_a_question_file(command, tmp_path):
    ran = command("eval", "questions", "two-digit-sums", "--split", "train", "-n", "5", "--out", "sums.jsonl")
    assert ran.code == 0
    assert list(read_questions(tmp_path / "sums.jsonl")) == tasks.load("two-digit-sums", "train", 5)
    assert ran.err.startswith("two-digit-sums, train: 5 questions; ")
    line = json.loads((tmp_path / "sums.jsonl").read_text().splitlines()[0])
    assert set(line) == {"id", "question", "answer", "kind"}


def test_the_command_says_when_there_are_too_few(command):
    ran = command("eval", "questions", "one-digit-products", "--split", "dev", "-n", "500")
    assert ran.code == 0
    many = len(ran.out.splitlines())
    assert f"{many} questions (there are no more than {many})" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "--split", "dev"], "there is no task 'nothing'"),
        (["./none.jsonl", "--split", "dev"], "can't read none.jsonl"),
        (["capitals", "--split", "dev", "--out", "no/such.jsonl"], "there is no folder no"),
        (["capitals", "--split", "all"], "'all' is not one of"),
        (["capitals"], "Missing option '--split'"),
        (["capitals", "--split", "dev", "-n", "0"], "Invalid value for '-n'"),
    ],
)
def test_the_command_refuses(command, arguments, said):
    ran = command("eval", "questions", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_the_list_names_every_task(command):
    ran = command("eval", "tasks")
    assert ran.code == 0
    told = [line.split()[0] for line in ran.out.splitlines()[1:-1]]
    assert told == tasks.names()
    assert "possibly contaminated" in next(line for line in ran.out.splitlines() if line.startswith("mmlu-dev"))
