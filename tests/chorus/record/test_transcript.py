"""Records on disk: what is saved comes back, what can't be saved leaves nothing behind, what is no record is refused."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus import Answer, Chorus, RecordError
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import NotSaved
from chorus.record import jsonl, transcript

SCRIPT = {
    "default": {"text": "It is so.\nAnswer: 56", "confidence": 0.7},
    "turns": [{"turn": "1.skeptic", "text": "Doubtful.\nAnswer: 54", "confidence": 0.4}],
}


@pytest.fixture(scope="module")
def answer() -> Answer:
    with Chorus(ScriptedEngine(Script.model_validate(SCRIPT)), "skeptic,formalist,decomposer") as chorus:
        return chorus.ask("What is 7 * 8?")


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that is filling up: what fits is written, then nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Saving


def test_what_is_saved_comes_back(answer, tmp_path):
    file = tmp_path / "debates.jsonl"
    other = answer.model_copy(update={"id": "other"})
    transcript.append(answer, file)
    transcript.append(other, file)
    assert list(transcript.read(file)) == [answer, other]


def test_a_record_is_one_line_of_json_with_its_schema(answer, tmp_path):
    file = tmp_path / "debates.jsonl"
    transcript.append(answer, file)
    (line,) = file.read_text().splitlines(keepends=True)
    assert line.endswith("\n")
    assert json.loads(line)["schema"] == 1
    assert json.loads(line)["question"]["question"] == "What is 7 * 8?"


@settings(max_examples=30)
@given(st.text(max_size=50))
def test_whatever_was_said_comes_back(answer, said):
    said = said.encode("utf-8", "replace").decode()
    turn = answer.turns[0].model_copy(update={"text": said})
    held = answer.model_copy(update={"turns": (turn, *answer.turns[1:])})
    line = jsonl.dumps(held)
    assert "\n" not in line
    assert jsonl.loads(line) == held


@pytest.mark.parametrize("last", ['{"schema":1,"id":"cut', '{"made by hand": true}'])
def test_a_record_never_continues_a_line_that_was_left_open(answer, tmp_path, last):
    file = tmp_path / "debates.jsonl"
    file.write_text(last)
    transcript.append(answer, file)
    assert file.read_text() == f"{last}\n{jsonl.dumps(answer)}\n"


def test_a_full_device_is_named_and_counts_as_unfinished_work(answer):
    with pytest.raises(NotSaved, match="can't save the debate to /dev/full: No space left on device") as caught:
        transcript.append(answer, "/dev/full")
    assert caught.value.exit_code == 3


def test_a_disk_that_fills_up_amid_a_record_keeps_none_of_it(answer, tmp_path):
    file = tmp_path / "debates.jsonl"
    transcript.append(answer, file)
    before = file.read_bytes()
    with files_at_most(len(before) + 100), pytest.raises(NotSaved, match="File too large"):
        transcript.append(answer, file)
    assert file.read_bytes() == before
    transcript.append(answer, file)
    assert list(transcript.read(file)) == [answer, answer]


@pytest.mark.parametrize(("place", "problem"), [("no/where.jsonl", "No such file"), (".", "Is a directory")])
def test_a_place_that_is_no_file_is_named(answer, tmp_path, place, problem):
    with pytest.raises(NotSaved, match=problem):
        transcript.append(answer, tmp_path / place)


def test_a_record_can_be_sent_down_a_pipe(answer, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        transcript.append(answer, pipe)
        assert jsonl.loads(os.read(reader, 1 << 16)) == answer
    finally:
        os.close(reader)


# Reading


def test_empty_lines_are_passed_over(answer, tmp_path):
    file = tmp_path / "debates.jsonl"
    file.write_text(f"\n{jsonl.dumps(answer)}\n\n  \n")
    assert list(transcript.read(file)) == [answer]


def test_the_records_before_a_cut_line_can_be_read(answer, tmp_path):
    file = tmp_path / "debates.jsonl"
    line = jsonl.dumps(answer)
    file.write_text(f"{line}\n{line[:1000]}")
    records = transcript.read(file)
    assert next(records) == answer
    with pytest.raises(RecordError, match=r"debates\.jsonl, line 2: not JSON; if the file was cut off there, remove"):
        next(records)


def without(line: str, field: str) -> str:
    return json.dumps({name: value for name, value in json.loads(line).items() if name != field})


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda line: "hello", "line 1: not JSON"),
        (lambda line: "[" * 100_000, "line 1: not JSON"),
        (lambda line: "\x00" * 1000, "line 1: not JSON"),
        (lambda line: "[1, 2]", "not a debate's record"),
        (lambda line: '{"id": "a", "question": "?"}', r"not a debate's record \(no `schema`\)"),
        (lambda line: line.replace('"schema":1', '"schema":2'), "schema 2; this version reads schema 1"),
        (lambda line: without(line, "turns"), "line 1: turns: Field required"),
        (lambda line: line.replace('"status":"done"', '"status":"odd"', 1), "line 1: status: "),
        (lambda line: line.replace('"confidence":', '"confidence":1', 1), "confidence: Input should be less"),
        (lambda line: line.replace('"id":', '"mine":1,"id":', 1), "line 1: mine: Extra inputs are not permitted"),
    ],
)
def test_a_line_that_is_no_record_is_named_with_its_field(answer, tmp_path, spoil, problem):
    file = tmp_path / "debates.jsonl"
    file.write_text(spoil(jsonl.dumps(answer)) + "\n")
    with pytest.raises(RecordError, match=problem):
        list(transcript.read(file))


def test_bytes_that_are_no_text_are_no_record(tmp_path):
    file = tmp_path / "debates.jsonl"
    file.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(RecordError, match="line 1: not JSON"):
        list(transcript.read(file))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(RecordError, match=r"can't read gone\.jsonl: No such file or directory"):
        list(transcript.read(Path("gone.jsonl")))
