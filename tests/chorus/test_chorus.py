"""The whole story: asking, streaming, closing, and what is refused at the door."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from contextlib import aclosing

import pytest
from debates import LIBRARY, after, engine, fails, in_virtual_time, until

from chorus import Chorus, DebateFailed
from chorus.chorus import as_question
from chorus.config import Settings
from chorus.engines import registry
from chorus.errors import ConfigError, EngineError, QuestionError, TopologyError
from chorus.record import events, jsonl
from chorus.types import Message, Question
from personas import PersonaError

pytestmark = pytest.mark.usefixtures("bare_place")

PRODUCT = "What is 7 * 8?"


@pytest.fixture
def script(tmp_path):
    """The SPEC of a scripted engine."""
    path = tmp_path / "script.yaml"
    path.write_text('default: {text: "Answer: 56"}\nlatency: {first: 0.5}\n')
    return f"scripted:{path}"


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "chorus-ask"]


# ---- asking ------------------------------------------------------------------------------------------------------


def test_asking_gives_an_answer_with_its_record():
    with Chorus(engine()) as chorus:
        answer = chorus.ask(PRODUCT)
    assert (answer.answer, answer.status, str(answer)) == ("56", "done", "56")
    assert len(answer.turns) == 6
    assert answer.versions["networkx"]
    assert set(answer.personas) == {seat.persona for seat in answer.plan.seats}


def test_one_chorus_answers_several_questions(script):
    with Chorus(script) as chorus:
        answers = [chorus.ask(one) for one in (PRODUCT, "What is 6 * 9?", Question(id="x", text="What is 2 + 2?"))]
    assert [answer.answer for answer in answers] == ["56"] * 3
    assert len({answer.id for answer in answers}) == 3
    assert answers[2].id.startswith("x-")


def test_questions_asked_at_once_open_one_engine(script, monkeypatch):
    opened = []
    open_engine = registry.open_engine

    async def count(*args, **more):
        opened.append(args)
        await asyncio.sleep(1)
        return await open_engine(*args, **more)

    async def all_at_once(chorus):
        async with chorus:
            return await asyncio.gather(*(chorus.aask(PRODUCT) for _ in range(5)))

    monkeypatch.setattr(registry, "open_engine", count)
    chorus = Chorus(script)
    for times in (1, 2):
        assert len(in_virtual_time(all_at_once(chorus))) == 5
        assert opened == [(script,)] * times


def test_asking_works_inside_a_running_loop_as_in_a_notebook(script):
    async def cell():
        with Chorus(script) as chorus:
            return chorus.ask(PRODUCT)

    assert asyncio.run(cell()).answer == "56"


def test_asking_gives_what_streaming_gives(script):
    async def stream():
        async with Chorus(script) as chorus, aclosing(chorus.stream(PRODUCT)) as held:
            return (await until(held, events.Decided)).answer

    with Chorus(script) as chorus:
        assert jsonl.dumps(chorus.ask(PRODUCT)) == jsonl.dumps(in_virtual_time(stream()))


def test_questions_may_be_asked_at_once(script):
    async def all_at_once():
        async with Chorus(script) as chorus:
            return await asyncio.gather(*(chorus.aask(f"What is {number} * 8?") for number in range(20)))

    for _ in range(2):
        answers = in_virtual_time(all_at_once())
        assert len({answer.id for answer in answers}) == 20


def test_a_chorus_that_was_closed_can_be_asked_again(script):
    chorus = Chorus(script)

    async def together():
        async with chorus:
            await asyncio.gather(*(chorus.aask(PRODUCT) for _ in range(3)))

    in_virtual_time(together())
    in_virtual_time(together())
    assert chorus.ask(PRODUCT).answer == "56"
    chorus.close()
    assert chorus.ask(PRODUCT).answer == "56"
    chorus.close()
    chorus.close()
    assert threads() == []


def test_an_engine_that_was_passed_in_is_not_closed():
    speaker = engine()
    for _ in range(2):
        with Chorus(speaker) as chorus:
            assert chorus.ask(PRODUCT).answer == "56"

    async def directly():
        async with Chorus(speaker) as chorus:
            return await chorus.aask(PRODUCT)

    assert in_virtual_time(directly()).answer == "56"


def test_an_engine_that_it_opened_is_closed(script):
    with Chorus(script) as chorus:
        chorus.ask(PRODUCT)
        opened = chorus._engine
    with pytest.raises(EngineError, match="closed"):
        in_virtual_time(opened.generate(None, None))


def test_a_stream_that_is_left_cancels_the_calls_in_flight():
    async def leave(speaker):
        async with aclosing(Chorus(speaker).stream(PRODUCT)) as held:
            await until(held, events.TurnStarted)
            await asyncio.sleep(1)
        return speaker.calls

    calls = in_virtual_time(leave(engine(default=after(60))))
    assert (calls.running, calls.aborted) == (0, 3)


def test_cancelling_a_question_cancels_its_calls():
    async def cancel(speaker):
        asking = asyncio.create_task(Chorus(speaker).aask(PRODUCT))
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return speaker.calls.running

    assert in_virtual_time(cancel(engine(default=after(60)))) == 0


def test_ctrl_c_while_asking_leaves_nothing_running():
    speaker = engine(default=after(60), real_time=True)
    main = threading.main_thread().ident
    ctrl_c = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
    ctrl_c.start()
    with Chorus(speaker) as chorus:
        with pytest.raises(KeyboardInterrupt):
            chorus.ask(PRODUCT)
        for _ in range(100):
            time.sleep(0.01 if speaker.calls.running else 0)
        assert speaker.calls.running == 0, "it doesn't wait for the chorus to be closed"
    assert (speaker.calls.started, speaker.calls.running) == (3, 0)
    assert threads() == []


# ---- failures ----------------------------------------------------------------------------------------------------


def test_a_debate_that_came_to_nothing_is_raised_with_its_record():
    with Chorus(engine(default=fails("the server is down"))) as chorus, pytest.raises(DebateFailed) as raised:
        chorus.ask(Question(id="q7", text=PRODUCT))
    assert "no answer to 'q7'" in str(raised.value)
    assert "the server is down" in str(raised.value)
    assert raised.value.answer.status == "failed"
    assert len(raised.value.answer.turns) == 6


def test_a_debate_that_was_cut_still_answers():
    with Chorus(engine(), max_calls=4) as chorus:
        answer = chorus.ask(PRODUCT)
    assert (answer.status, answer.answer, answer.reason) == ("cut", "56", "the budget of 4 calls is spent")


def test_settings_reach_the_debate():
    with Chorus(engine(default=after(2)), voices=4, rounds=3, max_seconds=3, concurrency=2, seed=9) as chorus:
        answer = chorus.ask(PRODUCT)
    assert (len(answer.plan.seats), answer.plan.rounds, answer.seed, answer.usage.wall_s) == (4, 3, 9, 3)
    assert [turn.status for turn in answer.turns[:4]] == ["done", "done", "cancelled", "cancelled"]
    with Chorus(engine({"1.*": fails(retryable=True)}), attempts=2, quorum=1) as chorus, pytest.raises(DebateFailed):
        chorus.ask(PRODUCT)


def test_what_a_written_cast_took_is_counted():
    ann, bo = ({"name": name, "cue": "Measure.", "method": ["Look.", "Measure."]} for name in ("Ann", "Bo"))
    cast = json.dumps([ann, bo])
    speaker = engine({"0.cast": cast})
    with Chorus(speaker, "written", voices=2, rounds=1) as chorus:
        answer = chorus.ask(PRODUCT)
    assert answer.plan.routed_by == "written"
    assert answer.usage.calls == speaker.calls.started == 3
    with Chorus(engine({"0.cast": cast}), "written", voices=2, rounds=1, max_calls=2) as chorus:
        assert chorus.ask(PRODUCT).status == "cut"


# ---- settings ----------------------------------------------------------------------------------------------------


def test_arguments_go_before_settings_in_hand_and_these_before_files(tmp_path, monkeypatch):
    settings = Settings(voices=4, rounds=3)
    (tmp_path / "chorus.toml").write_text("rounds = 5\nattempts = 9\n")
    monkeypatch.setenv("CHORUS_SEED", "7")
    chorus = Chorus(engine(), settings=settings, voices=2, rounds=None)
    assert (chorus.settings.voices, chorus.settings.rounds) == (2, 3)
    assert (chorus.settings.attempts, chorus.settings.seed) == (3, 0)
    looked = Chorus(engine())
    assert (looked.settings.rounds, looked.settings.seed) == (5, 7)


def test_personas_may_be_a_spec_or_cards():
    with Chorus(engine(), "skeptic,skeptic", topology="chain") as chorus:
        answer = chorus.ask(PRODUCT)
    assert [seat.seat for seat in answer.plan.seats] == ["skeptic", "skeptic-2"]
    assert answer.plan.edges == (("skeptic", "skeptic-2", "full"),)
    with Chorus(engine(), [LIBRARY.get("tester")]) as chorus:
        assert list(chorus.ask(PRODUCT).personas) == ["tester"]


@pytest.mark.parametrize(
    ("settings", "kind", "problem"),
    [
        ({"roundz": 3}, ConfigError, r"roundz \(arguments\): no such setting; did you mean rounds"),
        ({"rounds": 0}, ConfigError, r"rounds \(arguments\): .*got 0"),
    ],
)
def test_a_setting_that_cant_be_is_refused_when_the_chorus_is_made(settings, kind, problem):
    with pytest.raises(kind, match=problem):
        Chorus(engine(), **settings)


@pytest.mark.parametrize(
    ("arguments", "kind", "problem"),
    [
        ({"engine": "scriptd:x.yaml"}, ConfigError, "there is no engine 'scriptd': did you mean 'scripted'"),
        ({"engine": "openai"}, ConfigError, "is not an engine SPEC"),
        ({"engine": "scripted:gone.yaml"}, ConfigError, "can't read the script gone.yaml"),
        ({"personas": "skeptik"}, PersonaError, "did you mean skeptic"),
        ({"topology": "rign"}, TopologyError, "did you mean ring"),
        ({"topology": "gone.json"}, TopologyError, "gone.json is not there"),
        ({"decision": "pluralty"}, ConfigError, "did you mean plurality"),
    ],
)
def test_what_is_not_there_is_refused_when_it_is_asked_for(arguments, kind, problem):
    with Chorus(**{"engine": engine(), **arguments}) as chorus, pytest.raises(kind, match=problem):
        chorus.ask(PRODUCT)
    assert threads() == []


# ---- questions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " \n\t ", "\0\x01\x1b", "\u200b\u2060"])
def test_a_question_that_says_nothing_is_refused(text):
    with Chorus(engine()) as chorus:
        for question in (text, Question(text=text)):
            with pytest.raises(QuestionError, match="the question is empty"):
                chorus.ask(question)


def test_a_question_as_long_as_a_document_is_refused():
    with Chorus(engine()) as chorus, pytest.raises(QuestionError, match="has 100,000 characters; at most 20,000"):
        chorus.ask("a" * 100_000)
    assert len(as_question("a" * 20_000).text) == 20_000


def test_half_a_character_in_a_question_is_mended():
    history = (Message(role="user", content="b \udc00"),)
    asked = Question(text="What is it?", choices=("a \ud800", "c"), history=history, answer="\udfff")
    mended = as_question(asked)
    assert (mended.choices, mended.history[0].content, mended.answer) == (("a \ufffd", "c"), "b \ufffd", "\ufffd")
    assert as_question("7 \ud83d?").text == "7 \ufffd?"
    with Chorus(engine(default="Answer: A")) as chorus:
        answer = chorus.ask(asked)
    assert jsonl.loads(jsonl.dumps(answer)) == answer


def test_a_question_in_order_is_left_as_it_is():
    asked = Question(text="¿Cuánto es 7 × 8? 🎭", history=(Message(role="user", content="\ufeff"),))
    assert as_question(asked) is asked
