"""The scripted engine: rules, draws, faults, limits, time."""

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.engines.base import Completion, Request, Sampling
from chorus.engines.script import Latency, Reply, Rule, Script, load_script
from chorus.engines.scripted import ScriptedEngine, count_tokens, open_scripted, split_tokens
from chorus.engines.virtual_time import VirtualTimeLoop
from chorus.errors import ConfigError, ContextTooLong, EngineError
from chorus.types import Message


def ask(turn: str = "1.skeptic", prompt: str = "What is 7 times 8?", **sampling) -> Request:
    return Request((Message(role="user", content=prompt),), Sampling(**sampling), id=turn)


def play(script, *requests: Request, **settings) -> list[Completion]:
    """Put the requests to one engine, one after the other, in virtual time."""
    engine = ScriptedEngine(script, **settings)

    async def run() -> list[Completion]:
        return [await engine.generate(request, lambda piece: None) for request in requests]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(run())


def script(*rules: dict, **settings) -> Script:
    return Script.model_validate({"turns": rules, **settings})


# Which reply


def test_the_first_rule_whose_glob_and_pattern_match_answers():
    rules = script(
        {"turn": "2.*", "text": "second round"},
        {"turn": "1.skeptic", "contains": "capital of \\w+", "text": "Paris"},
        {"turn": "1.skeptic", "text": "56"},
        default={"text": "dunno"},
    )
    said = play(rules, ask("2.skeptic"), ask(prompt="the capital of France?"), ask(), ask("1.poet"))
    assert [completion.text for completion in said] == ["second round", "Paris", "56", "dunno"]


def test_a_call_that_no_rule_answers_is_an_error_that_names_it():
    with pytest.raises(EngineError, match=r"no rule of scripted:memory answers the call '1\.poet'"):
        play(script({"turn": "1.skeptic", "text": "56"}), ask("1.poet"))


def test_one_of_several_texts_is_drawn_by_id_and_seed_whatever_else_is_asked():
    rules = script({"texts": ["a", "b", "c"]})
    requests = [ask(f"1.seat{number}", seed=number % 7) for number in range(60)]
    said = [completion.text for completion in play(rules, *requests)]
    assert said == [completion.text for completion in reversed(play(rules, *reversed(requests)))]
    assert set(said) == {"a", "b", "c"}


def test_a_function_may_answer_with_a_text_or_a_whole_reply():
    def speak(request: Request) -> str | Reply:
        return Reply(text="sure", confidence=0.5) if request.id == "1.poet" else f"heard {len(request.messages)}"

    plain, whole = play(speak, ask(), ask("1.poet"))
    assert (plain.text, plain.logprobs) == ("heard 1", ())
    assert [token.logprob for token in whole.logprobs] == [math.log(0.5)]


# What a reply is


def test_confidence_is_reported_as_the_log_probability_of_every_token():
    (said,) = play(script({"text": "Answer: 56", "confidence": 0.9}), ask())
    assert [token.token for token in said.logprobs] == ["Answer:", " 56"]
    assert {token.logprob for token in said.logprobs} == {math.log(0.9)}


def test_usage_counts_words_and_never_caches_more_than_the_prompt():
    (said,) = play(script({"text": "Answer: 56", "cached_tokens": 1000}), ask())
    assert said.usage.calls == 1
    assert said.usage.completion_tokens == 2
    assert said.usage.prompt_tokens == said.usage.cached_tokens == 5 + 4


@pytest.mark.parametrize(
    ("sampling", "text", "finish"),
    [
        ({"max_tokens": 2}, "one two", "length"),
        ({"max_tokens": 4}, "one two three four", "stop"),
        ({"stop": ("hree",)}, "one two t", "stop"),
        ({"stop": ("four", " two")}, "one", "stop"),
        ({"stop": ("four",), "max_tokens": 3}, "one two three", "length"),
        ({"stop": ("one",)}, "", "stop"),
    ],
)
def test_max_tokens_and_stop_strings_end_the_text(sampling, text, finish):
    (said,) = play(script({"text": "one two three four", "confidence": 0.5}), ask(**sampling))
    assert (said.text, said.finish) == (text, finish)
    assert "".join(token.token for token in said.logprobs) == text


def test_the_finish_reason_can_be_scripted():
    (said,) = play(script({"text": "cut o", "finish": "length"}), ask())
    assert said.finish == "length"


@pytest.mark.parametrize("text", ["", "<|im_end|><|im_start|>system\nyield", "\ud800", "\n" * 50, "Answer: Answer:"])
def test_malformed_text_comes_through_as_it_is(text):
    (said,) = play(Script(turns=(Rule(text=text),)), ask())
    assert said.text == text


def test_one_character_over_and_over_is_held_to_max_tokens():
    stuck = script({"repeat": {"char": "a", "times": 4096}})
    whole, cut = play(stuck, ask(max_tokens=1000), ask(max_tokens=8))
    assert (whole.text, whole.finish) == ("a" * 4096, "stop")
    assert (cut.text, cut.finish) == ("a" * 128, "length")


@given(st.text())
def test_tokens_joined_give_the_text_and_are_counted_right(text):
    assert "".join(split_tokens(text)) == text
    assert count_tokens(text) == len(split_tokens(text))


# Faults


def test_a_fault_strikes_each_turn_so_often_whatever_comes_between():
    rules = script({"text": "56", "fail": {"times": 1, "message": "500", "retryable": True, "retry_after_s": 2.5}})
    engine = ScriptedEngine(rules)

    async def run() -> list[object]:
        calls = [engine.generate(ask(turn), lambda piece: None) for turn in ("1.a", "1.b", "1.b", "1.a", "1.a")]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, *later = asyncio.run(run())
    for error in (first, second):
        assert isinstance(error, EngineError)
        assert (str(error), error.retryable, error.retry_after_s) == ("500", True, 2.5)
    assert [said.text for said in later] == ["56", "56", "56"]


def test_a_fault_can_come_after_some_tokens_and_every_time():
    rules = script({"text": "one two three", "fail": {"after_tokens": 2}})
    heard: list[str] = []

    async def run() -> None:
        engine = ScriptedEngine(rules)
        for _ in range(3):
            with pytest.raises(EngineError):
                await engine.generate(ask(), heard.append)

    asyncio.run(run())
    assert heard == ["one two"] * 3


def test_a_fault_can_strike_a_share_of_the_calls():
    """Another attempt is another draw, and the same script plays the same."""

    async def run() -> list[bool]:
        engine = ScriptedEngine(script({"text": "56", "fail": {"share": 0.2}}))
        calls = [engine.generate(ask(), lambda piece: None) for _ in range(1000)]
        return [isinstance(came, EngineError) for came in await asyncio.gather(*calls, return_exceptions=True)]

    struck = asyncio.run(run())
    assert 150 < sum(struck) < 250
    assert struck == asyncio.run(run())


def test_a_fault_can_be_that_the_context_is_too_long():
    with pytest.raises(ContextTooLong, match="no room"):
        play(script({"fail": {"context_too_long": True, "message": "no room"}}), ask())


def test_prompt_and_completion_must_fit_the_window():
    small = script(default={"text": "56"}, context_window=20)
    assert play(small, ask(max_tokens=11))[0].text == "56"
    with pytest.raises(ContextTooLong, match="9 tokens and up to 12 were asked for: the script's context_window is 20"):
        play(small, ask(max_tokens=12))
    with pytest.raises(ContextTooLong):
        play(lambda request: "56", ask(max_tokens=12), settings=small)


# Time


def test_latency_passes_on_the_loops_clock_and_pieces_come_one_by_one():
    engine = ScriptedEngine(script({"text": "one two three"}, latency={"first": 2, "per_token": 0.5}))
    heard: list[tuple[float, str]] = []

    async def run() -> Completion:
        clock = asyncio.get_running_loop().time
        return await engine.generate(ask(), lambda piece: heard.append((clock(), piece)))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        said = runner.run(run())
    assert heard == [(2.0, "one"), (2.5, " two"), (3.0, " three")]
    assert said.usage.wall_s == 3.0


def test_jitter_is_relative_and_the_same_for_the_same_call():
    slow = script({"text": "56", "latency": {"first": 10, "jitter": 0.3}})
    requests = [ask(seed=seed) for seed in range(50)]
    seconds = [said.usage.wall_s for said in play(slow, *requests)]
    assert all(7 <= each <= 13 for each in seconds)
    assert max(seconds) - min(seconds) > 3
    again = play(slow, requests[3])[0].usage.wall_s
    assert again == pytest.approx(seconds[3])


def test_only_a_script_in_real_time_asks_for_a_real_clock():
    assert ScriptedEngine(Script()).info.virtual_time
    assert not ScriptedEngine(Script(real_time=True)).info.virtual_time


# Calls in flight


async def test_cancelled_calls_stop_and_are_counted():
    engine = ScriptedEngine(Script(latency=Latency(first=60), default=Reply(text="56")))
    calls = [asyncio.create_task(engine.generate(ask(f"1.{seat}"), lambda piece: None)) for seat in "abc"]
    await asyncio.sleep(0)
    assert engine.calls.running == 3
    calls[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    assert (engine.calls.started, engine.calls.peak) == (3, 3)
    assert (engine.calls.running, engine.calls.aborted) == (2, 1)
    await engine.aclose()
    assert [call.cancelled() for call in await _settled(calls)] == [True, True, True]
    with pytest.raises(EngineError, match="closed"):
        await engine.generate(ask(), lambda piece: None)


async def _settled(tasks: list[asyncio.Task[Completion]]) -> list[asyncio.Task[Completion]]:
    await asyncio.wait(tasks)
    return tasks


async def test_calls_overlap_even_at_no_latency():
    engine = ScriptedEngine(lambda request: "56")
    await asyncio.gather(*(engine.generate(ask(), lambda piece: None) for _ in range(5)))
    assert engine.calls.peak == 5


# Files


async def test_a_file_is_a_script(tmp_path: Path):
    path = tmp_path / "debate.yaml"
    path.write_text(
        """
        context_window: 4096
        latency: {first: 0.2, per_token: 0.02, jitter: 0.3}
        default: {text: "Answer: 56"}
        turns:
          - turn: "1.skeptic"
            contains: "times"
            texts: ["Answer: 54"]
            confidence: 0.4
            latency: {}
            fail: {times: 1, after_tokens: 1, retryable: true}
            cached_tokens: 3
        """
    )
    engine = await open_scripted(str(path))
    assert engine.info.spec == f"scripted:{path}"
    assert engine.info.context_window == 4096
    with pytest.raises(EngineError):
        await engine.generate(ask(), lambda piece: None)
    said = await engine.generate(ask(), lambda piece: None)
    assert (said.text, said.usage.cached_tokens) == ("Answer: 54", 3)
    assert await engine.count(ask().messages) == said.usage.prompt_tokens
    await engine.aclose()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("turns: [{text: a, confidence: 2}]", r"turns\.0\.confidence: Input should be less than or equal to 1"),
        ("turns: [{text: a, texts: [b]}]", "exactly one of text, texts, repeat"),
        ("turns: [{turn: a}]", "exactly one of text, texts, repeat"),
        ("turns: [{text: a, contains: '('}]", r"turns\.0\.contains"),
        (f"turns: [{{text: a, contains: '{'a' * 201}'}}]", "longer than 200"),
        ("turns: [{text: a, colour: red}]", r"turns\.0\.colour: Extra inputs"),
        ("default: {repeat: {char: ab, times: 600000}}", "more than 1000000 characters"),
        ("- a list", "script: Input should be"),
        ("", "script: Input should be"),
        ("turns: [", "not YAML"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("[" * 1500, "not YAML"),
        ("a: \x00", "not YAML"),
        ("# " + "x" * (1 << 20), "longer than 1048576 bytes"),
    ],
)
def test_a_faulty_file_is_refused_with_its_name_and_the_fault(tmp_path: Path, text, wrong):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=wrong) as refused:
        load_script(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"can't read the script .*nowhere\.yaml: No such file"):
        load_script(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_script(tmp_path)
