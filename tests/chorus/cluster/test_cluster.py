"""One record a question, whatever the workers do: die, answer twice, fall silent, or never get a word in."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus import Chorus, ConfigError, QuestionError, RecordError
from chorus.batch import GIVE_UP_AFTER, only_writer
from chorus.cluster.run import SHARD_S, Refused, debate_shards
from chorus.cluster.worker import Reply
from chorus.engines.scripted import ScriptedEngine
from chorus.record import shards, transcript
from chorus.types import Question


@pytest.fixture(scope="module")
def answer():
    with Chorus(ScriptedEngine(lambda request: "Answer: 56"), "skeptic,formalist") as chorus:
        return chorus.ask("What is 7 * 8?")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Fleet:
    """Answers each question, but for what a test has it do."""

    at_once = 4

    def __init__(self, answer) -> None:
        self.asked = Counter()
        self.answer = answer
        self.silent_for: set[str] = set()
        """Ids that no engine has a word for."""
        self.twice = False
        self.dies_after: int | None = None
        self.refuses: Reply | None = None
        self.now = 0.0

    def hold(self, lines, *, alone):
        for number, line in enumerate(lines):
            if number == self.dies_after:
                raise KeyboardInterrupt
            replies = [self._reply(Question.model_validate_json(line))]
            self.now += 1.0
            yield replies * (2 if self.twice else 1)

    def _reply(self, question: Question) -> Reply:
        self.asked[question.id] += 1
        if self.refuses:
            return self.refuses
        silent = question.id in self.silent_for
        record = self.answer.model_copy(update={"question": question, "status": "failed" if silent else "done"})
        return Reply(*shards.row(record), unheard=silent, reason="out of tea" if silent else "")

    def run(self, ids: str = "", **options):
        if ids:
            ask_for(ids)
        return debate_shards(self, Path("in.jsonl"), Path("out"), clock=lambda: self.now, **options)


def ask_for(ids: str) -> None:
    lines = [{"id": name, "question": f"What is 7 * {ord(name)}?"} for name in ids]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def held() -> list[str]:
    return [record.question.id for record in transcript.read("out")]


def test_every_question_has_its_record(answer):
    summary = Fleet(answer).run("abcdefgh")
    assert held() == list("abcdefgh")
    assert summary.in_words() == "8 questions: 8 answered now, 0 before"


def test_a_run_that_is_over_asks_nothing_more(answer):
    Fleet(answer).run("abcd")
    again = Fleet(answer)
    assert again.run().in_words() == "4 questions: 0 answered now, 4 before"
    assert not again.asked


def test_a_question_that_stands_there_twice_is_asked_once(answer):
    fleet = Fleet(answer)
    assert fleet.run("abab").total == 2
    assert fleet.asked == Counter("ab")
    assert held() == list("ab")


def test_two_questions_with_one_id_are_refused(answer):
    lines = [{"id": "a", "question": text} for text in ("One?", "Two?")]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(QuestionError, match="line 2: the id 'a' is that of line 1"):
        Fleet(answer).run()


def test_answers_that_come_twice_are_written_once(answer):
    fleet = Fleet(answer)
    fleet.twice = True
    assert fleet.run("abcdefgh").done == 8
    assert held() == list("abcdefgh")


def test_a_run_that_dies_keeps_what_came_in(answer):
    fleet = Fleet(answer)
    fleet.dies_after = 5
    with pytest.raises(KeyboardInterrupt):
        fleet.run("abcdefgh")
    assert held() == list("abcde")
    assert Fleet(answer).run().in_words() == "8 questions: 3 answered now, 5 before"
    assert held() == list("abcdefgh")


def test_answers_wait_for_others_but_not_for_long(answer):
    told = []
    Fleet(answer).run("abcdefghijklmnopqrstuvwxyz", advance=lambda done, total, newest: told.append(done))
    waited = [after - before for before, after in itertools.pairwise(told)]
    assert max(waited) == SHARD_S + 1
    assert sum(waited) == 26 == len(held())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=5))
def test_whatever_dies_each_question_has_one_record_in_the_end(answer, tmp_path_factory, deaths):
    ids, out = "abcdefghij", tmp_path_factory.mktemp("run")
    questions = out / "in.jsonl"
    questions.write_text("".join(json.dumps({"id": name, "question": f"{name}?"}) + "\n" for name in ids + ids[:3]))
    for dies_after, twice in [*deaths, (None, True)]:
        fleet = Fleet(answer)
        fleet.dies_after, fleet.twice = dies_after, twice
        try:
            debate_shards(fleet, questions, out / "out", clock=lambda: 0.0)
        except KeyboardInterrupt:
            assert dies_after < len(ids)
    assert Counter(record.question.id for record in transcript.read(out / "out")) == Counter(ids)


def test_progress_counts_what_is_on_disk(answer):
    told = []
    Fleet(answer).run("ab")
    Fleet(answer).run("abcd", advance=lambda *news: told.append(news))
    assert told == [(2, 4, ""), (4, 4, "d")]


# Engines that have no word


def test_a_question_that_one_engine_had_no_word_for_is_held_again(answer):
    fleet = Fleet(answer)
    fleet.silent_for = {"c"}
    first = iter([True])
    reply = fleet._reply

    def once(question):
        said = reply(question)
        return said if next(first, False) or question.id != "c" else said._replace(unheard=False, failed=False)

    fleet._reply = once
    summary = fleet.run("abcd")
    assert summary.complete
    assert sorted(held()) == list("abcd")


@pytest.mark.parametrize("silent", ["c", "h", "ch"])
def test_one_that_stays_without_a_word_has_failed(answer, silent):
    fleet = Fleet(answer)
    fleet.silent_for = set(silent)
    summary = fleet.run("abcdefgh")
    assert fleet.asked == Counter("abcdefgh") + Counter(silent)
    assert summary.done == 8 - len(silent)
    assert summary.failed == list(silent)
    assert Fleet(answer).run().failed == list(silent)
    again = Fleet(answer)
    assert again.run(retry_failed=True).complete
    assert again.asked == Counter(silent)
    assert sorted(held()) == list("abcdefgh")


def test_an_engine_that_goes_away_marks_nothing_as_failed(answer):
    fleet = Fleet(answer)
    fleet.silent_for = set("efghijklmnop")
    summary = fleet.run("abcdefghijklmnop")
    assert summary.gave_up
    assert summary.failed == []
    assert held() == list("abcd")
    assert Fleet(answer).run().complete


def test_failures_of_questions_that_are_not_asked_are_left_alone(answer):
    fleet = Fleet(answer)
    fleet.silent_for = {"b"}
    fleet.run("ab")
    Fleet(answer).run("ac", retry_failed=True)
    assert sorted(held()) == list("abc")


@pytest.mark.parametrize("count", [GIVE_UP_AFTER, 26])
def test_an_engine_that_is_gone_ends_the_run_early_and_marks_nothing(answer, count):
    ids = "abcdefghijklmnopqrstuvwxyz"[:count]
    fleet = Fleet(answer)
    fleet.silent_for = set(ids)
    summary = fleet.run(ids)
    assert "Ended early: the engine has failed" in summary.in_words()
    assert "debates in a row: out of tea" in summary.in_words()
    assert max(fleet.asked.values()) == 1
    assert len(fleet.asked) <= max(GIVE_UP_AFTER, Fleet.at_once) + 1
    assert held() == []
    assert Fleet(answer).run().complete


def test_what_fits_no_question_ends_the_run_with_the_workers_code(answer):
    fleet = Fleet(answer)
    fleet.refuses = Reply("a", 0, True, "", reason="unknown decision rule 'coin'", exit_code=2)
    with pytest.raises(Refused, match="unknown decision rule 'coin'") as refused:
        fleet.run("ab")
    assert refused.value.exit_code == 2
    assert held() == []


@pytest.mark.parametrize("planned", [True, False])
def test_a_fault_of_ours_in_one_debate_is_that_ones_failure(answer, planned):
    fleet = Fleet(answer)
    reply = fleet._reply

    def trip(question):
        said = reply(question)
        if question.id != "c":
            return said
        record = said.record.replace('"status":"done"', '"status":"failed"') if planned else ""
        return said._replace(failed=True, record=record, fault="KeyError: 'x'")

    fleet._reply, fleet.twice = trip, True
    summary = fleet.run("abcd")
    assert fleet.asked == Counter("abcd")
    assert summary.in_words() == (
        "4 questions: 3 answered now, 0 before, 1 failed (c; --retry-failed holds them again), "
        "1 of them by a fault of ours (c: KeyError: 'x')"
    )
    assert held() == list("abcd" if planned else "abd")
    again = Fleet(answer)
    assert again.run().failed == (["c"] if planned else [])
    assert again.asked == Counter("" if planned else "c")


def test_a_fault_of_ours_says_nothing_of_the_engine(answer):
    fleet = Fleet(answer)
    fleet.silent_for = set("abdefghijklm")
    reply = fleet._reply

    def trip(question):
        said = reply(question)
        return said if question.id != "c" else said._replace(failed=True, record="", fault="KeyError: 'x'")

    fleet._reply = trip
    summary = fleet.run("abcdefghijklm")
    assert summary.gave_up
    assert summary.failed == ["c"]


# Questions that kill their workers


class Deadly(Fleet):
    """A fleet whose workers die of some questions, and of what is in their block: here, two by two."""

    def __init__(self, answer, killers: str, planned: bool = True) -> None:
        super().__init__(answer)
        self.killers = set(killers)
        self.planned = planned

    def hold(self, lines, *, alone):
        asked = [Question.model_validate_json(line) for line in lines]
        for at in range(0, len(asked), 1 if alone else 2):
            block = asked[at : at + (1 if alone else 2)]
            dies = not self.killers.isdisjoint(question.id for question in block)
            replies = [self._reply(question) for question in block]
            yield [self._lost(reply, alone) for reply in replies] if dies else replies

    def _lost(self, reply: Reply, alone: bool) -> Reply:
        record = reply.record.replace('"status":"done"', '"status":"failed"') if alone and self.planned else ""
        return reply._replace(failed=True, record=record, lost=True, reason="it kills")


@pytest.mark.parametrize(("killers", "planned"), [("c", True), ("c", False), ("cg", True), ("aceg", True)])
def test_a_question_that_kills_its_worker_has_failed_and_those_beside_it_are_held(answer, killers, planned):
    fleet = Deadly(answer, killers, planned)
    summary = fleet.run("abcdefgh")
    assert (summary.done, summary.failed, summary.gave_up) == (8 - len(killers), list(killers), None)
    assert {record.question.id for record in transcript.read("out") if record.status == "failed"} == (
        set(killers) if planned else set()
    )
    assert fleet.asked[killers[0]] == 2, "once in its block, once alone"
    again = Fleet(answer)
    assert again.run().failed == (list(killers) if planned else [])
    assert again.asked == Counter("" if planned else killers)


def test_workers_that_die_of_everything_end_the_run_early_and_nothing_has_failed(answer):
    ids = "abcdefghijklmnopqrstuvwxyz"
    fleet = Deadly(answer, ids)
    summary = fleet.run(ids)
    assert "Ended early: the workers' processes die" in summary.in_words()
    assert (summary.failed, held()) == ([], [])
    assert fleet.asked.total() < len(ids), "it isn't tried on all"
    assert Fleet(answer).run().complete


# Inputs and outputs that don't fit


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "b", "question": "What is 7 * 98?"', "line 2: not JSON"),
        ('{"id": "b", "question": ""}', "line 2: question is missing or empty"),
        ('{"id": "b", "question": "What is 7 * 98?", "gold": "686"}', "line 2: gold: Extra inputs are not permitted"),
        ('{"id": "b", "question": "What is 7 * 98?", "kind": "riddle"}', "line 2: kind: Input should be"),
        ('{"id": "a", "question": "What is 7 * 98?"}', "line 2: the id 'a' is that of line 1"),
    ],
)
def test_a_faulty_line_is_named_though_all_was_answered_already(answer, line, problem):
    Fleet(answer).run("abc")
    lines = Path("in.jsonl").read_text().splitlines()
    Path("in.jsonl").write_text("\n".join([lines[0], line, lines[2]]))
    again = Fleet(answer)
    with pytest.raises(QuestionError, match=f"in.jsonl, {problem}"):
        again.run()
    assert not again.asked
    assert held() == list("abc")


def test_a_question_goes_out_with_all_that_its_line_says(answer):
    line = {"id": "q", "question": "Which?", "choices": ["red", "blue"], "answer": "red", "kind": "choice"}
    Path("in.jsonl").write_text(json.dumps(line) + "\n")
    Fleet(answer).run()
    (record,) = transcript.read("out")
    assert record.question == Question.model_validate(line)


def test_the_output_of_another_input_is_refused(answer):
    Fleet(answer).run("abc")
    Path("in.jsonl").write_text('{"id": "c", "question": "Who wrote Emma?"}\n')
    with pytest.raises(RecordError, match="answers another question under the id 'c', by"):
        Fleet(answer).run()


@pytest.mark.parametrize(
    "more", [{"choices": ["686", "687"]}, {"kind": "text"}, {"history": [{"role": "user", "content": "In base 9:"}]}]
)
@pytest.mark.parametrize("scanned", [True, False])
def test_the_same_text_with_more_to_it_is_another_question(answer, more, scanned):
    Fleet(answer).run("a")
    if not scanned:
        Path("out/.part-000000.index").unlink()
    (line,) = Path("in.jsonl").read_text().splitlines()
    Path("in.jsonl").write_text(json.dumps(json.loads(line) | {"answer": "679"}))
    assert Fleet(answer).run().complete, "the right answer is no part of what is asked"
    Path("in.jsonl").write_text(json.dumps(json.loads(line) | more))
    with pytest.raises(RecordError, match="another question under the id 'a', by its text, kind, choices or history"):
        Fleet(answer).run()


@pytest.mark.parametrize("scanned", [True, False])
def test_choices_that_were_read_out_of_the_text_are_no_other_question(answer, scanned):
    """Records hold them, the input doesn't."""
    text = "Which is a colour? (A) red (B) seven"
    Path("in.jsonl").write_text(json.dumps({"id": "a", "question": text}))
    fleet, asked = Fleet(answer), Question(id="a", question=text)
    record = answer.model_copy(update={"question": asked.model_copy(update={"choices": ("red", "seven")})})
    fleet._reply = lambda question: Reply(*shards.row(record)._replace(asked=shards.hash_of(asked)))
    fleet.run()
    if not scanned:
        Path("out/.part-000000.index").unlink()
    assert Fleet(answer).run().complete


def test_the_folder_that_the_run_is_started_in_may_be_the_output(answer, tmp_path, monkeypatch):
    ask_for("ab")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert debate_shards(Fleet(answer), Path("../in.jsonl"), Path(".")).done == 2
    with only_writer(here), pytest.raises(ConfigError, match="another process is writing"), only_writer(Path(".")):
        pass


def test_a_file_is_no_folder(answer):
    Path("out").write_text("")
    with pytest.raises(ConfigError, match="out is a file, and on Ray records go into a folder"):
        Fleet(answer).run("a")


def test_two_runs_never_write_one_output(answer):
    with only_writer(Path("out")), pytest.raises(ConfigError, match="another process is writing out"):
        Fleet(answer).run("a")
