"""Files of one's own, and what is said of their faults."""

import json
import re

import pytest

from chorus.errors import QuestionError
from evals import tasks
from evals.tasks import own
from evals.tasks.splits import SPLITS, deal

ROW = {"id": "q1", "question": "What is 3 + 4?", "answer": "7"}


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def refused(path):
    with pytest.raises(QuestionError) as error:
        own.read(path)
    return str(error.value)


def test_both_forms_hold_the_same_questions(tmp_path):
    rows = [ROW | {"kind": "number"}, {"id": "q2", "question": "Which, then?", "answer": "B", "choices": ["x", "y, z"]}]
    lines = tmp_path / "mine.csv"
    lines.write_text('id,question,answer,kind,choices\nq1,What is 3 + 4?,7,number,\nq2,"Which, then?",B,,"x | y, z"\n')
    assert own.read(lines) == own.read(jsonl(tmp_path / "mine.jsonl", *rows))
    assert own.read(lines)[1].choices == ("x", "y, z")


def test_each_question_is_of_one_split(tmp_path):
    rows = [ROW | {"id": f"q{number}", "question": f"What is {number}?"} for number in range(40)]
    path = jsonl(tmp_path / "mine.jsonl", *rows)
    dealt = {split: tasks.load(path, split, 100) for split in SPLITS}
    assert sorted(question.id for some in dealt.values() for question in some) == sorted(row["id"] for row in rows)
    assert all(deal(question.text) == split for split, some in dealt.items() for question in some)
    assert len(tasks.load(path, "train", 2)) == 2


def test_an_id_that_names_a_split_is_believed(tmp_path):
    rows = [ROW | {"id": f"sums/dev/{number}", "question": f"What is {number}?"} for number in range(9)]
    path = jsonl(tmp_path / "mine.jsonl", *rows)
    assert len(tasks.load(path, "dev", 100)) == 9
    assert tasks.load(path, "test", 100) == []


def test_what_the_command_wrote_can_be_read_again(tmp_path):
    asked = tasks.load("two-digit-sums", "dev", 5)
    path = tmp_path / "again.jsonl"
    path.write_text(
        "".join(f"{question.model_dump_json(by_alias=True, exclude_defaults=True)}\n" for question in asked)
    )
    assert tasks.load(str(path), "dev", 100) == asked


def test_bare_numbers_are_taken_as_written(tmp_path):
    (question,) = own.read(jsonl(tmp_path / "a.jsonl", {"id": 1, "question": "What is 3 + 4?", "answer": 7}))
    assert (question.id, question.answer) == ("1", "7")
    (question,) = own.read(jsonl(tmp_path / "b.jsonl", ROW | {"answer": 0}))
    assert question.answer == "0"


@pytest.mark.parametrize("name", ["id", "question", "answer"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_field_is_named_with_file_and_line(tmp_path, name, value):
    path = jsonl(tmp_path / "mine.jsonl", ROW, ROW | {"id": "q2"} | {name: value})
    assert refused(path) == f"{path}, line 2: {name}: is missing or empty"


def test_an_id_that_comes_twice_is_named_with_both_lines(tmp_path):
    path = jsonl(tmp_path / "mine.jsonl", ROW, ROW | {"id": "q2"}, ROW)
    assert refused(path) == f"{path}, line 3: id: 'q1' is that of line 1 too"


def test_another_encoding_is_named_with_its_line(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("id,question,answer\nq1,Où?,là\n".encode("latin-1"))
    assert re.fullmatch(
        re.escape(f"{path}, line 2: (encoding): is not UTF-8: ") + ".*; save it as UTF-8", refused(path)
    )


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("\ufeffid,question,answer\nq1,Où?,là\n".encode())
    assert own.read(path)[0].answer == "là"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", "{\n", "line 1: (row): is not JSON"),
        ("a.jsonl", "\n[1]\n", "line 2: (row): is not a JSON object"),
        ("a.jsonl", json.dumps(ROW | {"kind": "riddle"}), "line 1: kind: Input should be"),
        ("a.jsonl", json.dumps(ROW | {"hint": "7"}), "line 1: hint: Extra inputs are not permitted"),
        ("a.jsonl", json.dumps(ROW | {"question": ["a"]}), "line 1: question: Input should be a valid string"),
        ("a.jsonl", "", "holds no question"),
        ("a.csv", "", "line 1: id: one column of this name is needed"),
        ("a.csv", "id,question\nq1,What?\n", "line 1: answer: one column of this name is needed, of id, question"),
        ("a.csv", "id,question,answer\nq1,What?\n", "line 2: (row): has not one cell for each column"),
        ("a.csv", "id,question,answer\nq1,What?,1,2\n", "line 2: (row): has not one cell for each column"),
        ("a.csv", 'id,question,answer\nq1,"What?,1\n', "(row): is not CSV"),
        ("a.csv", "id,question,answer\n", "holds no question"),
    ],
)
def test_other_faults(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    message = refused(tmp_path / name)
    assert message.startswith(str(tmp_path / name))
    assert said in message


def test_a_file_that_is_not_there(tmp_path):
    assert refused(tmp_path / "no.csv") == f"can't read {tmp_path}/no.csv: No such file or directory"
    assert "Is a directory" in refused(tmp_path)
