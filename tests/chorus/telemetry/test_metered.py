"""A metered engine: every call counted once, by how it ended, and the engine inside as it was."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from debates import after, debate, engine, fails, in_virtual_time, plan, until

from chorus import Chorus
from chorus.engines.base import Request, Sampling
from chorus.errors import EngineError
from chorus.record import events
from chorus.telemetry.counters import Counters
from chorus.telemetry.metered import metered
from chorus.types import Message

pytestmark = pytest.mark.usefixtures("bare_place")

ENGINE = {"engine": "scripted", "model": "memory"}


class Meter:
    """Counters, and what they say of the one engine."""

    def __init__(self):
        self.counters = Counters()

    def __call__(self, name, **labels):
        return self.counters.registry.get_sample_value(f"chorus_engine_{name}", {**ENGINE, **labels})

    def calls(self):
        return {outcome: self("calls_total", outcome=outcome) for outcome in ("done", "failed", "aborted")}


@pytest.fixture
def meter():
    return Meter()


def request(turn="1.skeptic"):
    return Request((Message(role="user", content="What is 7 * 8?"),), Sampling(64), turn, "sum-1")


def silent(_):
    pass


# ---- calls -------------------------------------------------------------------------------------------------------


def test_a_debate_is_counted_as_its_record_says(meter):
    speaker = engine(default=after(2, cached_tokens=9))
    with Chorus(speaker, counters=meter.counters) as chorus:
        used = chorus.ask("What is 7 * 8?").usage
    assert meter.calls() == {"done": used.calls, "failed": 0, "aborted": 0}
    assert used.calls == 6
    assert meter("prompt_tokens_total") == used.prompt_tokens > 0
    assert meter("cached_tokens_total") == used.cached_tokens == 6 * 9
    assert meter("completion_tokens_total") == used.completion_tokens > 0
    assert (meter("running_calls"), meter("retries_total"), meter("aborts_total")) == (0, 0, 0)


def test_an_engine_that_a_chorus_opens_is_counted_too(meter, tmp_path):
    (tmp_path / "s.yaml").write_text('default: {text: "Answer: 56"}\n')
    with Chorus("scripted:s.yaml", counters=meter.counters, mode="solo") as chorus:
        chorus.ask("What is 7 * 8?")
    labels = {"engine": "scripted", "model": "s.yaml", "outcome": "done"}
    assert meter.counters.registry.get_sample_value("chorus_engine_calls_total", labels) == 1


def test_a_call_and_its_first_token_are_timed_on_the_loops_clock(meter):
    speaker = engine(default={"text": "one two three", "latency": {"first": 0.3, "per_token": 1.0}})
    in_virtual_time(metered(speaker, meter.counters).generate(request(), silent))
    assert meter("first_token_seconds_sum") == pytest.approx(0.3)
    assert meter("call_seconds_sum") == pytest.approx(2.3)
    assert meter("call_seconds_count") == meter("first_token_seconds_count") == 1


def test_what_the_engine_says_comes_through_as_it_is(meter):
    speaker = engine(default={"text": "one two three", "latency": {"per_token": 1.0}})
    heard = []
    completion = in_virtual_time(metered(speaker, meter.counters).generate(request(), heard.append))
    assert heard == ["one", " two", " three"]
    assert completion.text == "one two three"


def test_calls_in_flight_are_shown_while_they_run(meter):
    async def look():
        speaker = metered(engine(default=after(5)), meter.counters)
        calls = [asyncio.create_task(speaker.generate(request(f"1.{name}"), silent)) for name in "abc"]
        await asyncio.sleep(1)
        during = meter("running_calls")
        await asyncio.gather(*calls)
        return during

    assert in_virtual_time(look()) == 3
    assert meter("running_calls") == 0


def test_a_cancelled_call_is_an_abort_and_its_tokens_are_not_counted(meter):
    async def leave():
        held = debate(metered(engine(default=after(5)), meter.counters), plan("complete", rounds=1))
        async with aclosing(held.run()) as stream:
            await until(stream, events.TurnStarted)
            await asyncio.sleep(1)

    in_virtual_time(leave())
    assert meter.calls() == {"done": 0, "failed": 0, "aborted": 3}
    assert (meter("aborts_total"), meter("running_calls")) == (3, 0)
    assert (meter("prompt_tokens_total"), meter("call_seconds_count")) == (0, 0)


def test_an_error_that_is_not_the_engines_is_a_failure_too(meter):
    def broken(_):
        raise RuntimeError("a fault of ours")

    from chorus.engines.scripted import ScriptedEngine

    speaker = metered(ScriptedEngine(broken), meter.counters)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        in_virtual_time(speaker.generate(request(), silent))
    assert meter.calls() == {"done": 0, "failed": 1, "aborted": 0}
    assert meter("running_calls") == 0


# ---- retries -----------------------------------------------------------------------------------------------------


def test_calls_made_again_are_retries(meter):
    speaker = engine({"1.skeptic": fails(times=2, retryable=True)})
    with Chorus(speaker, "skeptic,estimator", rounds=1, counters=meter.counters) as chorus:
        answer = chorus.ask("What is 7 * 8?")
    assert answer.turns[0].usage.calls == 3
    assert meter.calls() == {"done": 2, "failed": 2, "aborted": 0}
    assert meter("retries_total") == 2


def test_a_failure_that_is_not_made_up_for_is_no_retry(meter):
    speaker = engine({"1.skeptic": fails(retryable=True), "1.estimator": fails(retryable=False)})
    names = "skeptic,estimator,formalist,tester"
    with Chorus(speaker, names, rounds=1, attempts=2, counters=meter.counters) as chorus:
        for _ in range(2):  # the same debate again: what failed in the first is not retried in the second
            assert chorus.ask("What is 7 * 8?").answer == "56"
    assert meter.calls() == {"done": 4, "failed": 6, "aborted": 0}
    assert meter("retries_total") == 2


def test_another_call_of_the_same_task_is_no_retry(meter):
    async def call():
        speaker = metered(engine({"1.a": fails(retryable=True)}), meter.counters)
        with pytest.raises(EngineError):
            await speaker.generate(request("1.a"), silent)
        await speaker.generate(request("1.b"), silent)
        with pytest.raises(EngineError):
            await speaker.generate(request("1.a"), silent)

    in_virtual_time(call())
    assert meter("retries_total") == 0


# ---- what it leaves alone ----------------------------------------------------------------------------------------


def test_it_is_the_engine_inside_in_every_other_way(meter):
    inside = engine(default=after(5))
    outside = metered(inside, meter.counters)
    messages = request().messages

    async def close():
        call = asyncio.create_task(outside.generate(request(), silent))
        await asyncio.sleep(1)
        counted = await outside.count(messages), await inside.count(messages)
        await outside.aclose()
        return call, counted

    call, counted = in_virtual_time(close())
    assert outside.info is inside.info
    assert outside.calls is inside.calls
    assert counted[0] == counted[1]
    assert call.cancelled()
    with pytest.raises(AttributeError, match="load"):
        _ = outside.load


def test_without_counters_the_engine_is_called_directly():
    speaker = engine()
    with Chorus(speaker) as chorus:
        assert chorus._engine is speaker
