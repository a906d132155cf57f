"""A worker: many batches at once on one engine, and what it says of engines that have no word for a question."""

import os
import threading
import time
from pathlib import Path

import pytest

from chorus import Chorus, Settings
from chorus.cluster.worker import Reply, Worker
from chorus.engines import reopened
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import EngineDied, EngineError
from chorus.record import jsonl
from chorus.record.shards import hash_of_text
from personas import Library


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def worker():
    made = []

    def make(script: str = "default: {text: 'Answer: 56'}", concurrency: int = 8, **settings) -> Worker:
        Path("s.yaml").write_text(script)
        chosen = Settings(engine="scripted:s.yaml", patience_s=0, **settings)
        made.append(Worker(chosen, Library.builtin().select("skeptic,formalist"), concurrency, os.getcwd()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def late(monkeypatch) -> list[str]:
    """An engine that isn't there the first time; gives the questions that asked for it."""
    opened = Chorus.convene
    asked = []

    async def convene(self, question):
        asked.append(question.id)
        if len(asked) == 1:
            raise EngineError("not yet")
        return await opened(self, question)

    monkeypatch.setattr(Chorus, "convene", convene)
    return asked


def replies_of(worker: Worker, lines: list[str]) -> list[Reply]:
    return [reply for replies in worker.hold(lines) for reply in replies]


def line(name: str, text: str = "What is 7 * 8?") -> str:
    return f'{{"id": "{name}", "question": "{text}"}}'


def test_each_question_has_its_reply(worker):
    replies = replies_of(worker(), [line("a"), line("b")])
    assert [(reply.id, reply.asked, reply.failed) for reply in replies] == [
        (name, hash_of_text("What is 7 * 8?"), False) for name in "ab"
    ]
    assert jsonl.loads(replies[1].record).answer == "56"


def test_batches_of_several_threads_share_the_room(worker):
    one = worker("real_time: true\nlatency: {first: 0.1}\ndefault: {text: 'Answer: 56'}", 3, mode="solo")
    threads = [
        threading.Thread(
            target=replies_of,
            args=(
                one,
                [line(f"{at}"), line(f"{at}b")],
            ),
        )
        for at in range(3)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.2, "six debates, no more than three at once"


def test_what_fits_no_question_is_told_with_its_code(worker):
    (reply,) = replies_of(worker(decision="coin"), [line("a")])
    assert (reply.exit_code, reply.record) == (2, "")
    assert "unknown decision rule 'coin'" in reply.reason


def test_an_engine_that_cant_be_opened_is_one_without_a_word(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    one = Worker(Settings(engine="openai:http://127.0.0.1:9/v1#m", patience_s=0), None, 2, os.getcwd())
    (reply,) = replies_of(one, [line("a")])
    one.close()
    assert reply.unheard
    assert "can't reach http://127.0.0.1:9" in reply.reason


def test_a_question_that_found_no_engine_was_never_held_whoever_spoke_afterwards(worker, late):
    first, second = replies_of(worker(concurrency=1), [line("a"), line("b")])
    assert (first.unheard, first.record) == (True, "")
    assert not second.failed


def test_a_worker_waits_for_an_engine_that_is_not_there_yet(worker, late):
    one = worker()
    one._patience_s = 30
    (reply,) = replies_of(one, [line("a")])
    assert (reply.failed, late) == (False, ["a", "a"])


class Mortal(ScriptedEngine):
    """An engine that dies of its second call, and answers no call afterwards."""

    made = 0

    def __init__(self) -> None:
        super().__init__(lambda request: "Answer: 56")
        Mortal.made += 1
        self.dies = Mortal.made == 1
        self.closed = False

    async def generate(self, request, emit):
        if self.dies and self.calls.started >= 1:
            raise EngineDied("its core died")
        return await super().generate(request, emit)

    async def aclose(self):
        self.closed = True
        await super().aclose()


def test_an_engine_that_dies_is_opened_again_and_its_debates_go_on(worker, monkeypatch):
    there: list[Mortal] = []

    async def open_mortal(spec):
        assert all(one.closed for one in there), "two want the memory of one"
        there.append(Mortal())
        return there[-1]

    monkeypatch.setattr(Mortal, "made", 0)
    monkeypatch.setattr(reopened, "open_engine", open_mortal)
    one = worker()
    one._chorus.settings = one._chorus.settings.model_copy(update={"patience_s": 120.0})
    replies = replies_of(one, [line(name) for name in "abcdef"])
    assert [(reply.id, reply.failed, reply.unheard) for reply in replies] == [(name, False, False) for name in "abcdef"]
    assert len(there) == 2


def test_a_debate_may_be_planned_and_given_up(worker):
    reply = worker().give_up(line("a"), "it kills")
    record = jsonl.loads(reply.record)
    assert (reply.id, reply.failed, reply.lost, reply.reason) == ("a", True, True, "it kills")
    assert (record.question.id, record.status, record.reason) == ("a", "failed", "it kills")
    assert record.usage.calls == 0


def test_one_that_can_not_be_planned_is_given_up_without_a_record(worker):
    reply = worker(decision="coin").give_up(line("a"), "it kills")
    assert (reply.id, reply.failed, reply.lost, reply.record) == ("a", True, True, "")


def test_an_engine_without_a_word_may_be_gone(worker):
    replies = replies_of(worker("default: {fail: {message: out of tea}}"), [line("a"), line("b")])
    assert all(reply.unheard and reply.failed and reply.record for reply in replies)


def test_one_that_speaks_afterwards_is_there_so_the_question_has_failed(worker):
    script = "default: {text: 'Answer: 56'}\nturns: [{turn: '*', contains: zebra, fail: {message: CUDA error}}]"
    one = worker(script, 1)
    told = replies_of(one, [line("a"), line("b", "Is it a zebra?"), line("c"), line("d", "Which zebra?")])
    assert [(reply.failed, reply.unheard) for reply in told] == [
        (False, False), (True, False), (False, False), (True, True),
    ]  # fmt: skip


def test_a_fault_of_ours_in_one_debate_is_that_ones_failure(worker, monkeypatch):
    convene = Chorus.convene

    async def trip(self, question):
        if question.id == "a":
            raise RecursionError
        debate = await convene(self, question)
        if question.id == "b":
            debate._walk = None
        return debate

    monkeypatch.setattr(Chorus, "convene", trip)
    first, second, third = replies_of(worker(), [line("a"), line("b"), line("c")])
    assert (first.failed, first.unheard, first.record, first.fault) == (True, False, "", "RecursionError:")
    assert (second.failed, second.unheard, second.fault) == (
        True,
        False,
        "TypeError: 'NoneType' object is not callable",
    )
    assert jsonl.loads(second.record).reason == f"a fault of ours: {second.fault}"
    assert (third.failed, third.fault) == (False, "")


def test_a_fault_of_ours_in_opening_the_engine_ends_the_run(worker, monkeypatch):
    async def trip(spec):
        raise OSError("no such device")

    monkeypatch.setattr(reopened, "open_engine", trip)
    (reply,) = replies_of(worker(), [line("a")])
    assert (reply.exit_code, reply.record) == (1, "")
    assert reply.reason == "the engine can't be opened, by a fault of ours: OSError: no such device"


def test_relative_paths_start_where_the_run_was_started(worker, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path("s.yaml").write_text("default: {text: 'Answer: 56'}")
    here = os.getcwd()
    monkeypatch.chdir(elsewhere)
    one = Worker(Settings(engine="scripted:s.yaml"), None, 1, here)
    assert not replies_of(one, [line("a")])[0].failed
    one.close()


def test_replies_come_in_order_and_before_the_block_is_over(worker):
    script = "real_time: true\nlatency: {first: 0.05}\ndefault: {text: 'Answer: 56'}\n"
    script += "turns: [{turn: '*', contains: slow, text: 'Answer: 56', latency: {first: 5}}]"
    began = time.monotonic()
    told = worker(script, 4, mode="solo").hold([line("c"), line("a"), line("b"), line("d", "Is it slow?")])
    assert [reply.id for replies in (next(told), next(told), next(told)) for reply in replies] == ["c", "a", "b"]
    assert time.monotonic() - began < 5
