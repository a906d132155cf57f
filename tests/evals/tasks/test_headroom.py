"""The search for tasks with room, on an engine that follows a script."""

import json

import pytest

from evals import tasks
from evals.tasks import headroom
from evals.tasks.headroom import has_room

pytest.importorskip("statsmodels", reason="needs the `evals` extra")

TASKS = ("one-digit-sums", "capitals")


@pytest.fixture
def measure(tmp_path):
    """Returns a function that measures two tasks with voices that follow a script, and returns the table's rows."""

    def run(script, *more):
        (tmp_path / "script.yaml").write_text(script)
        headroom.main([
            "--engine", f"scripted:{tmp_path}/script.yaml", "--records", str(tmp_path / "records"), "--count", "12",
            "--results", str(tmp_path), "--tasks", *TASKS, *more,
        ])  # fmt: skip
        rows = json.loads((tmp_path / "headroom.json").read_text())["rows"]
        return {row["task"]: row for row in rows}

    return run


def test_a_voice_that_repeats_one_answer_has_its_share_and_no_room(measure):
    answer, share = tasks.majority(tasks.load("one-digit-sums", "dev", 12))
    rows = measure(f'default: {{text: "Answer: {answer}"}}\n')
    assert rows["one-digit-sums"]["accuracy"] == rows["one-digit-sums"]["majority answer"] == pytest.approx(share)
    assert rows["capitals"]["accuracy"] == 0.0
    assert {row["room"] for row in rows.values()} == {""}
    assert {row["any of 8"] for row in rows.values()} == {""}


def test_what_any_method_finds_is_more_than_what_their_vote_does(measure):
    question = tasks.load("one-digit-sums", "dev", 1)[0]
    turns = f'turns: [{{turn: "1.skeptic", text: "Answer: {question.answer}"}}]\n'
    rows = measure(turns + 'default: {text: "Answer: 1000"}\n', "--methods", "one-digit-sums")
    assert rows["one-digit-sums"]["vote of 8"] == 0.0
    assert rows["one-digit-sums"]["any of 8"] >= 1 / 12
    assert rows["capitals"]["any of 8"] == ""


def test_a_second_run_asks_nothing_again(measure, capsys):
    measure('default: {text: "Answer: 1"}\n')
    assert "24 questions: 24 answered now, 0 before" in capsys.readouterr().out
    measure('default: {text: "Answer: 1"}\n')
    assert "24 questions: 0 answered now, 24 before" in capsys.readouterr().out


def test_a_table_can_be_made_of_what_is_on_record(measure, tmp_path):
    measure('default: {text: "Answer: 1"}\n')
    records = tmp_path / "records" / "plain.jsonl"
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:15]))
    rows = measure('default: {text: "Answer: 2"}\n', "--recorded")
    assert sum(row["questions"] for row in rows.values()) == 15
    assert len(records.read_text().splitlines()) == 15


@pytest.mark.parametrize(
    ("accuracy", "baseline", "room"),
    [(0.5, 0.1, True), (0.5, 0.5, False), (0.05, 0.0, False), (0.95, 0.1, False), (0.1, 0.0, True), (0.9, 0.8, True)],
)
def test_room_lies_between_and_above_the_majority_answer(accuracy, baseline, room):
    assert has_room(accuracy, baseline) is room


def test_every_difficulty_is_a_candidate():
    assert {"chain-sums", "chain-sums@3-terms", "capitals"} <= set(headroom.candidates())
    assert not {"mmlu-dev", "gsm8k"} & set(headroom.candidates())
