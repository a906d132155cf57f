"""Reading a file of questions: the short way takes no line that the long one refuses, and says the same of the others."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import QuestionError
from chorus.question_file import _long, _short, read_lines, read_questions
from chorus.types import MAX_QUESTION_CHARS, MAX_QUESTION_ID_CHARS, Question

STRINGS = st.text() | st.sampled_from(["a", "7 * 8?", "", " ", "\u200b", "\ud800", "<|", "A" * 200, "A" * 201])
VALUES = STRINGS | st.none() | st.booleans() | st.integers() | st.lists(STRINGS, max_size=2)
OBJECTS = st.dictionaries(
    st.sampled_from(["id", "question", "text", "kind", "choices", "history", "answer", "ID"]), VALUES, max_size=3
)


def as_line(data, escaped: bool) -> bytes:
    return json.dumps(data, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


LINES = (
    st.binary(max_size=40)
    | st.builds(as_line, OBJECTS | VALUES, st.booleans())
    | st.builds(as_line, st.fixed_dictionaries({"id": STRINGS, "question": STRINGS}), st.booleans())
    | st.sampled_from([
        b'{"id": "a", "id": "b", "question": "Which?"}',
        b'\xef\xbb\xbf{"id": "a", "question": "Which?"}',
        b'{"id": "a", "question": NaN}',
        b'{"id": "a", "question": "Which?"} {}',
        b'{"id": "a", "question": "Which?",}',
        b'{"id": "a", "question": "tab\there"}',
        b'{"id": "a", "question": "\xff"}',
        b'{"id": "a\\ud83d", "question": "Half a pair?"}',
    ])
)  # fmt: skip


@given(LINES)
def test_the_short_way_takes_no_line_that_the_long_one_refuses(raw):
    short = _short(raw)
    if short is not None:
        assert _long(raw, "here") == short


@pytest.fixture
def read(tmp_path):
    def lines(*raw: str | bytes) -> list[Question]:
        path = tmp_path / "in.jsonl"
        path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in raw))
        return list(read_questions(path))

    return lines


def test_most_lines_are_read_the_short_way(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"question": "What is 7 * 8?", "id": "a"}\n{"id": "b", "question": "7 * 9?", "answer": "63"}\n')
    short, long = read_lines(path)
    assert short.whole is None
    assert short.question() == Question(id="a", text="What is 7 * 8?")
    assert long.question() == Question(id="b", text="7 * 9?", answer="63")


def test_a_line_that_says_what_goes_without_saying_is_no_other(read):
    assert read(
        '{"id": "a", "question": "Who?"}', "", '{"id": "a", "question": "Who?", "kind": null, "choices": []}'
    ) == [Question(id="a", text="Who?")]
    with pytest.raises(QuestionError, match="line 2: the id 'a' is that of line 1"):
        read('{"id": "a", "question": "Who?"}', '{"id": "a", "question": "Who?", "kind": "short"}')


def test_the_longest_that_may_be_asked(read):
    name, text = "n" * MAX_QUESTION_ID_CHARS, "é" * MAX_QUESTION_CHARS
    assert read(json.dumps({"id": name, "question": text})) == [Question(id=name, text=text)]
    with pytest.raises(QuestionError, match="line 1: id: String should have at most 200"):
        read(json.dumps({"id": f"{name}n", "question": text}))


def test_options_that_no_letter_is_left_for_are_refused(read):
    line = {"id": "a", "question": "Which?", "choices": [f"number {number}" for number in range(27)]}
    with pytest.raises(
        QuestionError, match="line 1: choices: are 27: a question has at most 26, each named by a letter"
    ):
        read(json.dumps(line))
    assert len(read(json.dumps(line | {"choices": line["choices"][:26]}))[0].choices) == 26


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_fault(read):
    raw = b'\xef\xbb\xbf{"id": "a", "question": "Who?"}\r\n{"id": "b", "question": "When?"}\r'
    assert [question.id for question in read(raw)] == ["a", "b"]


def test_other_scripts_and_signs_are_read_the_long_way_where_need_be(read):
    assert [
        question.text for question in read('{"id": "ä", "question": "¿Qué?"}', '{"id": "-", "question": "誰?"}')
    ] == [
        "¿Qué?",
        "誰?",
    ]


def test_nothing_is_opened_before_it_is_read():
    lines = read_lines(Path("gone.jsonl"))
    with pytest.raises(QuestionError, match=r"can't read gone\.jsonl"):
        next(lines)
