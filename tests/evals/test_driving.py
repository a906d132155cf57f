"""Engines between a debate and a server: each changes what its name says, and nothing else."""

import asyncio
import statistics

import pytest
from debates import in_virtual_time
from fake_openai_server import FakeOpenAIServer

from chorus.engines.base import Completion, Request, Sampling
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import EngineError
from chorus.types import Message, Usage
from evals.bench.driving import Agreeing, Barrier, Call, Noting, Paced, lengths, replay

TEN_WORDS = "one two three four five six seven eight nine ten"


def request(turn: str, debate: str = "d", **sampling: object) -> Request:
    return Request((Message(role="user", content="?"),), Sampling(**sampling), turn, debate)


def engine(**script: object) -> ScriptedEngine:
    return ScriptedEngine(Script.model_validate({"default": {"text": TEN_WORDS}} | script))


async def test_a_paced_turn_has_the_length_that_is_set_for_it_and_no_stop_strings():
    said = await Paced(engine(), {"1.a": 3}).generate(request("1.a", max_tokens=100, stop=("two",)), lambda _: None)
    assert (said.text, said.finish) == ("one two three", "length")


async def test_a_noted_call_carries_its_times_and_its_engines_words():
    noting, heard = Noting(engine()), []
    said = await noting.generate(request("1.a"), heard.append)
    assert "".join(heard) == said.text == TEN_WORDS
    (call,) = noting.calls
    assert call.began <= call.first <= call.ended
    assert call.completion is said


async def test_calls_that_were_cut_off_are_counted_and_not_noted():
    noting = Noting(engine(latency={"first": 60}, real_time=True))
    call = asyncio.create_task(noting.generate(request("1.a"), lambda _: None))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (noting.begun, noting.calls) == (1, [])


def test_a_barrier_holds_a_round_back_until_the_whole_one_before_it_has_spoken():
    async def hold() -> dict[str, float]:
        slow = {"turn": "1.b", "text": "late", "latency": {"first": 5}}
        speaking = Barrier(engine(turns=[slow], latency={"first": 1}), 2)
        ended: dict[str, float] = {}

        async def speak(turn: str, debate: str = "d") -> None:
            await speaking.generate(request(turn, debate), lambda _: None)
            ended[f"{debate}/{turn}"] = asyncio.get_running_loop().time()

        others = [speak("1.a", "e"), speak("2.a", "e")]  # another debate, whose first round is never whole
        waiting = asyncio.gather(speak("1.a"), speak("1.b"), speak("2.a"), *others)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 20)
        return ended

    assert in_virtual_time(hold()) == {"d/1.a": 1, "e/1.a": 1, "d/1.b": 5, "d/2.a": 6}


async def test_a_failed_turn_does_not_keep_the_barrier_shut():
    fails = {"turn": "1.b", "text": "", "fail": {"message": "down"}}
    speaking = Barrier(engine(turns=[fails], real_time=True), 2)
    spoken = await asyncio.gather(
        *(speaking.generate(request(turn), lambda _: None) for turn in ("2.a", "1.a", "1.b")), return_exceptions=True
    )
    assert [type(one) for one in spoken] == [Completion, Completion, EngineError]


async def test_agreeing_voices_all_give_one_answer():
    said = await Agreeing(engine()).generate(request("1.a"), lambda _: None)
    assert said.text == f"{TEN_WORDS}\nAnswer: 56"


TURNS = [f"{number}.{seat}" for number in range(1, 40) for seat in "abcde"]


def test_lengths_are_all_equal_without_spread():
    assert set(lengths(TURNS, 48).values()) == {48}


def test_lengths_are_spread_as_asked_and_stay_within_bounds():
    drawn = lengths(TURNS, 48, spread=0.5, seed=3)
    assert drawn == lengths(reversed(TURNS), 48, spread=0.5, seed=3) != lengths(TURNS, 48, spread=0.5, seed=4)
    assert min(drawn.values()) >= 12
    assert max(drawn.values()) <= 128
    assert statistics.mean(drawn.values()) == pytest.approx(48, rel=0.1)
    assert statistics.stdev(drawn.values()) == pytest.approx(24, rel=0.25)


def test_no_turn_is_empty():
    assert min(lengths(TURNS, 1, spread=0.5).values()) == 1


def noted(turn: str, tokens: int) -> Call:
    return Call(request(turn), Completion("said", "length", Usage(completion_tokens=tokens)), 0, 0, 1)


async def test_a_replay_sends_the_same_prompts_and_lengths_each_after_what_it_heard():
    heard = {"1.a": (), "1.b": (), "2.a": ("1.a", "1.b")}
    async with FakeOpenAIServer() as server:
        calls = [noted("2.a", 5), noted("1.b", 4), noted("1.a", 3)]
        assert await replay(server.url, "fake", calls, heard) > 0
        assert sorted(chat["max_tokens"] for chat in server.chats[:2]) == [3, 4]
        assert server.chats[2] == {
            "model": "fake",
            "messages": [{"role": "user", "content": "?"}],
            "max_tokens": 5,
            "temperature": 0.0,
            "ignore_eos": True,
        }


async def test_a_replay_all_at_once_waits_for_nothing():
    async with FakeOpenAIServer() as server:
        await replay(server.url, "fake", [noted("2.a", 5), noted("1.a", 3)], None)
        assert len(server.chats) == 2
