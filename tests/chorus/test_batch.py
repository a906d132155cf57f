"""Many questions in one run: one record each, whatever kills the run, whoever else writes, whatever the engine does."""

import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from command_line import COMMAND, Ran, run, start

import chorus.chorus
from chorus import Chorus, ConfigError, EngineError, QuestionError, RecordError
from chorus.batch import Summary, debate_file, only_writer
from chorus.engines.base import Request
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.question_file import read_questions
from chorus.record import transcript

CAST = ["--personas", "skeptic,formalist"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def questions(folder) -> Path:
    return ask_for("abcdefgh")


@pytest.fixture
def records(folder) -> Path:
    return folder / "out.jsonl"


def ask_for(ids: str, file: str = "in.jsonl") -> Path:
    path = Path(file)
    path.write_text("".join(f'{{"id": "{name}", "question": "What is 7 * {ord(name)}?"}}\n' for name in ids))
    return path


class Oracle:
    """An engine that answers 56, or fails, as a test sets it."""

    def __init__(self, **script) -> None:
        self.gone = False
        self.refuses = ""
        self.trips = ""
        self.engine = ScriptedEngine(self._answer, settings=Script.model_validate(script))
        self.debates = Counter()

    def _answer(self, request: Request) -> str:
        self.debates[request.debate.split("-")[0]] += 1
        if self.gone or request.debate.startswith(tuple(self.refuses)):
            raise EngineError("can't reach http://127.0.0.1:9/v1: connection refused")
        if request.debate.startswith(tuple(self.trips)):
            raise ZeroDivisionError("nobody to divide by")
        return "Answer: 56"

    async def hold(self, questions: Path, records: Path, concurrency: int = 1, **options) -> Summary:
        retry_failed = options.pop("retry_failed", False)
        advance = options.pop("advance", lambda done, total, newest: None)
        maker = Chorus(self.engine, "skeptic,formalist", **options)
        return await debate_file(
            maker, questions, records, concurrency=concurrency, retry_failed=retry_failed, advance=advance
        )


def held(records: Path) -> list[str]:
    return [answer.question.id for answer in transcript.read(records)]


def statuses(records: Path) -> dict[str, str]:
    return {answer.question.id: answer.status for answer in transcript.read(records)}


# One record a question


async def test_every_question_has_its_record(questions, records):
    summary = await Oracle().hold(questions, records, concurrency=3)
    assert sorted(held(records)) == list("abcdefgh")
    assert summary.complete
    assert summary.in_words() == "8 questions: 8 answered now, 0 before"


async def test_a_run_that_is_over_asks_nothing_more(questions, records):
    await Oracle().hold(questions, records)
    again = Oracle()
    summary = await again.hold(questions, records)
    assert again.engine.calls.started == 0
    assert summary.in_words() == "8 questions: 0 answered now, 8 before"


async def test_what_a_line_says_of_its_question_goes_into_the_record(records):
    line = {"id": "q1", "question": "Which?", "choices": ["red", "blue"], "answer": "red", "kind": "choice"}
    Path("in.jsonl").write_text(json.dumps(line) + "\n\n")
    await Oracle().hold(Path("in.jsonl"), records)
    (answer,) = transcript.read(records)
    assert answer.question.model_dump(include={"id", "choices", "answer", "kind"}) == {
        "id": "q1",
        "choices": ("red", "blue"),
        "answer": "red",
        "kind": "choice",
    }


async def test_questions_that_were_added_are_all_that_is_asked(records):
    await Oracle().hold(ask_for("abc"), records)
    more = Oracle()
    await more.hold(ask_for("xaybcz"), records)
    assert set(more.debates) == set("xyz")
    assert sorted(held(records)) == list("abcxyz")


@pytest.mark.parametrize("concurrency", [1, 3, 100])
async def test_no_more_debates_are_held_at_once_than_asked_for(questions, records, concurrency):
    oracle, at_once = Oracle(latency={"first": 0.002}), set()

    class Watched:
        info = oracle.engine.info
        count = oracle.engine.count
        aclose = oracle.engine.aclose

        async def generate(self, request, emit):
            running[request.debate] += 1
            at_once.add(len(+running))
            try:
                return await oracle.engine.generate(request, emit)
            finally:
                running[request.debate] -= 1

    running = Counter()
    await debate_file(Chorus(Watched(), "skeptic,formalist"), questions, records, concurrency=concurrency)
    assert max(at_once) == min(concurrency, 8)


async def test_no_concurrency_is_no_run(questions, records):
    with pytest.raises(ConfigError, match="--concurrency must be at least 1"):
        await Oracle().hold(questions, records, concurrency=0)


async def test_progress_counts_from_what_is_there_to_the_end(questions, records):
    await Oracle().hold(ask_for("ab"), records)
    told = []
    await Oracle().hold(ask_for("abcd"), records, advance=lambda *news: told.append(news))
    assert told == [(2, 4, ""), (3, 4, "c"), (4, 4, "d")]


# A run that was killed


def slow_run(*more: str) -> subprocess.Popen[str]:
    Path("slow.yaml").write_text(
        "real_time: true\nlatency: {first: 0.1, jitter: 0.5}\ndefault: {text: 'Answer: 56', confidence: 0.9}\n"
    )
    arguments = ["in.jsonl", "out.jsonl", "--engine", "scripted:slow.yaml", *CAST, *more]
    return start("debate", *arguments)


def wait_for_records(records: Path, count: int) -> None:
    until = time.monotonic() + 20
    while not records.exists() or records.read_bytes().count(b"\n") < count:
        assert time.monotonic() < until, "the run wrote no records"
        time.sleep(0.01)


async def test_a_killed_run_goes_on_where_it_ended(records):
    everything = "abcdefghijklmnopqrstuvwxyz"
    ask_for(everything)
    for seen in (2, 8):
        run = slow_run("--concurrency", "3")
        wait_for_records(records, seen)
        run.kill()
        run.communicate()
        assert run.returncode == -signal.SIGKILL
    assert records.read_bytes().count(b"\n") < len(everything)
    summary = await Oracle().hold(Path("in.jsonl"), records, concurrency=9)
    assert summary.complete
    assert summary.found >= 8
    assert Counter(held(records)) == Counter(everything)


async def test_half_a_record_is_held_again(questions, records):
    await Oracle().hold(questions, records)
    whole = records.read_bytes()
    records.write_bytes(whole[:-200])
    again = Oracle()
    await again.hold(questions, records)
    assert set(again.debates) == {"h"}
    assert held(records) == list("abcdefgh")


async def test_half_the_first_record_is_held_again(questions, records):
    records.write_text('{"sche')
    await Oracle().hold(questions, records)
    assert held(records) == list("abcdefgh")


def test_an_interrupted_run_keeps_its_records(records):
    ask_for("abcdefghijklmnopqrstuvwxyz")
    run = slow_run("--concurrency", "2")
    wait_for_records(records, 3)
    run.send_signal(signal.SIGINT)
    said = run.communicate()[1]
    assert run.returncode == 130
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    assert 3 <= len(held(records)) == len(set(held(records))) < 26


# Inputs and outputs that don't fit


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("hello", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"question": "?"}', "line 2: id is missing or empty"),
        ('{"id": "b"}', "line 2: question is missing or empty"),
        ('{"id": "b", "question": "  "}', "line 2: question is missing or empty"),
        ('{"id": "b", "question": null}', "line 2: question is missing or empty"),
        ('{"id": 7, "question": "?"}', "line 2: id: Input should be a valid string"),
        ('{"id": "b", "question": ["?"]}', "line 2: question: Input should be a valid string"),
        ('{"id": "b", "question": "?", "kind": "riddle"}', "line 2: kind: Input should be 'number'"),
        ('{"id": "b", "question": "?", "gold": "x"}', "line 2: gold: Extra inputs are not permitted"),
        (json.dumps({"id": "b", "question": "x" * 100_000}), "line 2: question: String should have at most 20000"),
        ('{"id": "a", "question": "Again?"}', "line 2: the id 'a' is that of line 1"),
    ],
)
async def test_a_faulty_line_is_named_before_anything_is_asked(records, line, problem):
    Path("in.jsonl").write_text('{"id": "a", "question": "What is 7 * 8?"}\n' + line + "\n")
    with pytest.raises(QuestionError, match=f"in.jsonl, {problem}"):
        await Oracle().hold(Path("in.jsonl"), records)
    assert not records.exists()


async def test_a_line_that_says_the_same_again_counts_once(records):
    oracle = Oracle()
    summary = await oracle.hold(ask_for("abab"), records)
    assert (summary.total, summary.complete) == (2, True)
    assert held(records) == ["a", "b"]


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_questions_is_refused(content):
    Path("in.jsonl").write_text(content)
    with pytest.raises(QuestionError, match=r"in\.jsonl holds no question"):
        list(read_questions(Path("in.jsonl")))


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(QuestionError, match=r"can't read gone\.jsonl: No such file or directory"):
        list(read_questions(Path("gone.jsonl")))


async def test_the_questions_are_never_written_over(questions):
    Path("link.jsonl").symlink_to(questions)
    before = questions.read_bytes()
    for name in ("in.jsonl", "link.jsonl"):
        with pytest.raises(ConfigError, match="can't be written over the questions"):
            await Oracle().hold(questions, Path(name))
    assert questions.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("my notes", "ends with something else than a record"),
        ("my notes\nof last year", "ends with something else than a record"),
        ("my notes\n", "line 1: not JSON"),
        ('{"id": "a", "question": "?"}\n', "not a debate's record"),
    ],
)
async def test_a_file_of_something_else_is_left_as_it_is(questions, records, content, problem):
    records.write_text(content)
    with pytest.raises(RecordError, match=problem):
        await Oracle().hold(questions, records)
    assert records.read_text() == content


async def test_the_output_of_another_input_is_refused(questions, records):
    await Oracle().hold(questions, records)
    Path("in.jsonl").write_text('{"id": "c", "question": "Who wrote Emma?"}\n')
    with pytest.raises(RecordError, match=r"another question under the id 'c', .*: it belongs to another input"):
        await Oracle().hold(questions, records)
    assert len(held(records)) == 8


@pytest.mark.parametrize(
    "more", [{"choices": ["57", "56"]}, {"kind": "text"}, {"history": [{"role": "user", "content": "In base 9:"}]}]
)
async def test_the_same_text_with_more_to_it_is_another_question(records, more):
    line = {"id": "a", "question": "What is 7 * 8? (A) 56 (B) 57"}
    Path("in.jsonl").write_text(json.dumps(line))
    await Oracle().hold(Path("in.jsonl"), records)
    Path("in.jsonl").write_text(json.dumps(line | {"answer": "A"}))
    assert (await Oracle().hold(Path("in.jsonl"), records)).complete, (
        "its choices stand in its text, its answer nowhere"
    )
    Path("in.jsonl").write_text(json.dumps(line | more))
    with pytest.raises(RecordError, match="another question under the id 'a', by its text, kind, choices or history"):
        await Oracle().hold(Path("in.jsonl"), records)


async def test_an_output_with_two_records_of_one_question_is_refused(questions, records):
    await Oracle().hold(questions, records)
    first = records.read_text().splitlines(keepends=True)[0]
    with records.open("a") as file:
        file.write(first)
    with pytest.raises(RecordError, match="two records of 'a'"):
        await Oracle().hold(questions, records)


@pytest.mark.parametrize(
    ("place", "problem"),
    [("no/out.jsonl", "there is no folder"), (".", "not a plain file"), ("/dev/full", "not a plain file")],
)
async def test_a_place_that_no_run_could_go_on_from_is_refused(questions, place, problem):
    with pytest.raises(RecordError, match=f"can't write {place}: {problem}"):
        await Oracle().hold(questions, Path(place))


async def test_two_runs_never_write_one_output(questions, records):
    ask_for("abcdefghijklmnopqrstuvwxyz")
    run = slow_run("--concurrency", "1")
    try:
        wait_for_records(records, 1)
        with pytest.raises(ConfigError, match=r"another process is writing .*out\.jsonl"):
            await Oracle().hold(questions, records)
    finally:
        run.kill()
        run.communicate()
    await Oracle().hold(questions, records)
    assert sorted(held(records)) == list("abcdefghijklmnopqrstuvwxyz")


def test_the_right_to_write_is_given_back(records):
    for _ in range(2):
        with only_writer(records):
            pass


async def test_a_disk_that_fills_up_ends_the_run_and_leaves_whole_records(questions, records):
    await Oracle().hold(ask_for("a"), records)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (records.stat().st_size * 5 // 2, hard))
    try:
        with pytest.raises(RecordError, match=r"can't save the debate to .*: File too large"):
            await Oracle().hold(ask_for("abcdefgh"), records)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert held(records) == ["a", "b"]
    await Oracle().hold(questions, records)
    assert held(records) == list("abcdefgh")


# Engines that fail


async def test_a_debate_that_failed_has_its_record_and_the_run_goes_on(questions, records):
    oracle = Oracle()
    oracle.refuses = "c"
    summary = await oracle.hold(questions, records)
    assert statuses(records) == dict.fromkeys("abdefgh", "done") | {"c": "failed"}
    assert not summary.complete
    assert summary.in_words() == "8 questions: 7 answered now, 0 before, 1 failed (c; --retry-failed holds them again)"


async def test_failures_of_an_earlier_run_are_still_told(questions, records):
    oracle = Oracle()
    oracle.refuses = "c"
    await oracle.hold(questions, records)
    summary = await Oracle().hold(questions, records)
    assert not summary.complete
    assert "0 answered now, 7 before, 1 failed (c;" in summary.in_words()


async def test_failed_debates_are_held_again_on_request(questions, records):
    oracle = Oracle()
    oracle.refuses = "ceh"
    await oracle.hold(questions, records)
    again = Oracle()
    summary = await again.hold(questions, records, retry_failed=True)
    assert set(again.debates) == set("ceh")
    assert summary.complete
    assert sorted(held(records)) == list("abcdefgh")
    assert set(statuses(records).values()) == {"done"}


async def test_records_are_on_disk_before_they_take_the_place_of_others(questions, records, monkeypatch):
    oracle, synced = Oracle(), []
    oracle.refuses = "c"
    await oracle.hold(questions, records)

    def sync(file):
        synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)

    monkeypatch.setattr(os, "fsync", sync)
    await Oracle().hold(questions, records, retry_failed=True)
    assert synced[:2] == [".out.jsonl.partial", records.parent.name]


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_an_engine_that_is_gone_ends_the_run_early(questions, records, concurrency):
    oracle = Oracle()
    await oracle.hold(ask_for("ab"), records)
    oracle.gone = True
    summary = await oracle.hold(ask_for("abcdefgh"), records, concurrency)
    assert not summary.complete
    assert (
        "Ended early: the engine has failed 3 debates in a row: 2 of 2 voices failed in round 1: can't reach"
        in summary.in_words()
    )
    assert len(oracle.debates) <= 2 + 3 + concurrency
    assert held(records) == ["a", "b"], "a question must not be marked failed because the engine was gone"
    back = await Oracle().hold(questions, records, concurrency)
    assert back.complete
    assert sorted(held(records)) == list("abcdefgh")


async def test_two_failures_at_the_end_are_recorded(questions, records):
    oracle = Oracle()
    oracle.refuses = "gh"
    summary = await oracle.hold(questions, records)
    assert summary.failed == ["g", "h"]
    assert sorted(held(records)) == list("abcdefgh")


async def test_questions_too_long_for_the_engine_fail_alone(records):
    lines = [{"id": name, "question": "word " * (3000 if name in "bcde" else 3)} for name in "abcdef"]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = await Oracle(context_window=2048).hold(Path("in.jsonl"), records, max_tokens=64, decision="plurality")
    assert summary.gave_up is None
    assert summary.failed == list("bcde")
    assert statuses(records)["f"] == "done"


async def test_debates_cut_by_a_budget_are_no_sign_of_a_dead_engine(questions, records):
    summary = await Oracle(latency={"first": 1}).hold(questions, records, concurrency=8, max_seconds=0.01)
    assert summary.gave_up is None
    assert set(statuses(records).values()) == {"failed"}


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_fault_of_ours_in_one_debate_is_that_ones_failure(questions, records, caplog, concurrency):
    oracle = Oracle()
    oracle.trips = "cde"
    summary = await oracle.hold(questions, records, concurrency)
    assert statuses(records) == dict.fromkeys("abfgh", "done") | dict.fromkeys("cde", "failed")
    assert not summary.complete
    assert sorted(summary.failed) == list("cde")
    first = summary.failed[0]
    assert summary.in_words().endswith(
        f"3 failed ({', '.join(summary.failed)}; --retry-failed holds them again), "
        f"3 of them by a fault of ours ({first}: ZeroDivisionError: nobody to divide by)"
    )
    record = next(answer for answer in transcript.read(records) if answer.status == "failed")
    assert record.reason == "a fault of ours: ZeroDivisionError: nobody to divide by"
    assert (record.answer, len(record.turns)) == (None, 4)
    assert {turn.status for turn in record.turns} == {"cancelled"}
    assert [str(entry.exc_info[1]) for entry in caplog.records] == ["nobody to divide by"] * 3
    again = await Oracle().hold(questions, records, retry_failed=True)
    assert again.in_words() == "8 questions: 3 answered now, 5 before"


async def test_a_question_that_can_not_even_be_planned_has_no_record_and_stops_no_other(
    questions, records, monkeypatch
):
    routed = chorus.chorus.route

    async def trip(question, *arguments):
        if question.id == "c":
            raise RecursionError
        return await routed(question, *arguments)

    monkeypatch.setattr(chorus.chorus, "route", trip)
    for found in (0, 7):  # the second start asks it again, and ends as well
        summary = await Oracle().hold(questions, records)
        assert (summary.found, summary.failed, summary.faults) == (found, ["c"], {"c": "RecursionError:"})
        assert held(records) == list("abdefgh")


async def test_a_fault_of_ours_in_opening_the_engine_is_raised_and_no_questions_failure(questions, records):
    async def fail():
        raise ZeroDivisionError

    maker = Chorus("scripted:none.yaml", "skeptic,formalist")
    maker.open = fail
    with pytest.raises(ZeroDivisionError):
        await debate_file(maker, questions, records)
    assert not records.exists()


async def test_what_is_wrong_with_every_question_is_raised_once(questions, records):
    with pytest.raises(ConfigError, match="unknown decision rule 'coin'"):
        await Oracle().hold(questions, records, concurrency=4, decision="coin")
    assert not records.exists()


# The command


def run_command(*more: str) -> Ran:
    return run("debate", "in.jsonl", "out.jsonl", *CAST, *more)


def test_the_command_tells_its_progress_in_lines_where_there_is_no_terminal(questions, records):
    Path("s.yaml").write_text("default: {text: 'Answer: 56', confidence: 0.9}")
    done = run_command("--engine", "scripted:s.yaml")
    assert (done.code, done.out) == (0, "")
    assert done.err == "0 of 8 questions\n8 of 8 questions\n8 questions: 8 answered now, 0 before\n"
    assert sorted(held(records)) == list("abcdefgh")


def test_the_command_ends_unfinished_where_debates_fail(questions, records):
    Path("s.yaml").write_text(
        "default: {text: 'Answer: 56'}\nturns: [{turn: '*', contains: '7 . 98', fail: {message: out of tea}}]"
    )
    done = run_command("--engine", "scripted:s.yaml")
    assert done.code == 3
    assert "1 failed (b; --retry-failed holds them again)" in done.err
    assert next(a.reason for a in transcript.read(records) if a.question.id == "b").endswith("out of tea")


def test_the_command_draws_a_bar_on_a_terminal(questions, records):
    Path("s.yaml").write_text("default: {text: 'Answer: 56', confidence: 0.9}")
    ours, theirs = pty.openpty()
    arguments = ["debate", "in.jsonl", "out.jsonl", "--engine", "scripted:s.yaml", *CAST]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen([*COMMAND, *arguments], stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # what a terminal says when nobody writes to it any more
        while piece := os.read(ours, 1 << 16):
            drawn += piece
    os.close(ours)
    assert process.wait(30) == 0
    assert "━" in drawn.decode()
    assert "8/8" in drawn.decode()


def test_the_command_ends_unfinished_where_the_engine_is_gone(questions, records):
    Path("s.yaml").write_text("default: {fail: {message: out of tea}}")
    gone = run_command("--engine", "scripted:s.yaml")
    assert gone.code == 3
    assert "Ended early: the engine has failed 3 debates in a row" in gone.err
    assert not records.exists()
    Path("s.yaml").write_text("default: {text: 'Answer: 56'}")
    assert run_command("--engine", "scripted:s.yaml").code == 0
    assert sorted(held(records)) == list("abcdefgh")
