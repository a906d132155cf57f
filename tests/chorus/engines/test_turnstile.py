"""Many debates share one engine fairly: owners take turns, and the oldest debate of each goes first."""

from __future__ import annotations

import asyncio
import random

import pytest
from debates import SUM, after, cast, engine, in_virtual_time, plan
from hypothesis import given
from hypothesis import strategies as st

from chorus.debate.scheduler import Debate
from chorus.engines.base import Completion, Request, Sampling
from chorus.engines.turnstile import Turnstile
from chorus.errors import EngineError
from chorus.types import Message, Usage

ONE_SECOND = after(1)


def call(debate: str, turn: str = "1.a") -> Request:
    return Request((Message(role="user", content="?"),), Sampling(8), turn, debate)


class Ended(list):
    """Which debates' calls ended, in order."""

    async def ask(self, turnstile: Turnstile, owner: str, debate: str) -> None:
        await turnstile.lane(owner).generate(call(debate), lambda _: None)
        self.append(debate)


def test_no_more_calls_go_in_than_the_limit():
    speaker = engine(default=ONE_SECOND)

    async def run():
        turnstile, ended = Turnstile(speaker, 3, 100), Ended()
        await asyncio.gather(*(ended.ask(turnstile, "anna", f"d{n}") for n in range(10)))
        return asyncio.get_running_loop().time(), turnstile

    seconds, turnstile = in_virtual_time(run())
    assert speaker.calls.peak == 3
    assert seconds == 4
    assert (turnstile.running, turnstile.waiting) == (0, 0)


def test_one_who_asks_for_much_makes_nobody_wait_for_it():
    """Bob comes after Anna's hundred calls, and goes in as soon as one of those inside has ended."""

    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 2, 1000), Ended()
        flood = [asyncio.create_task(ended.ask(turnstile, "anna", f"a{n}")) for n in range(100)]
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        await ended.ask(turnstile, "bob", "b")
        waited = asyncio.get_running_loop().time() - began
        await asyncio.gather(*flood)
        return waited

    assert in_virtual_time(run()) == 1.5


def test_the_oldest_debate_goes_first():
    """Its second round goes before the first rounds of debates that began after it."""

    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 1000), Ended()

        async def two_rounds(debate: str) -> None:
            await ended.ask(turnstile, "anna", debate)
            await ended.ask(turnstile, "anna", debate)

        await asyncio.gather(*(two_rounds(f"d{n}") for n in range(3)))
        return ended

    # The second debate was let in before the first one's second round was asked for.
    assert in_virtual_time(run()) == ["d0", "d1", "d0", "d1", "d2", "d2"]


def test_a_call_that_gives_up_waiting_is_gone():
    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 100), Ended()
        calls = [asyncio.create_task(ended.ask(turnstile, "anna", f"d{n}")) for n in range(4)]
        await asyncio.sleep(0.5)
        calls[1].cancel()
        await asyncio.sleep(0)
        assert turnstile.waiting == 2
        await asyncio.gather(*calls, return_exceptions=True)
        return ended, turnstile

    ended, turnstile = in_virtual_time(run())
    assert ended == ["d0", "d2", "d3"]
    assert (turnstile.running, turnstile.waiting) == (0, 0)


def test_a_call_that_gives_up_inside_makes_room():
    async def run():
        speaker = engine(default=after(100))
        turnstile, ended = Turnstile(speaker, 1, 100), Ended()
        calls = [asyncio.create_task(ended.ask(turnstile, "anna", f"d{n}")) for n in range(2)]
        await asyncio.sleep(1)
        calls[0].cancel()
        await calls[1]
        return asyncio.get_running_loop().time(), speaker.calls.aborted

    assert in_virtual_time(run()) == (101, 1)


def test_a_debate_that_is_cancelled_gives_up_all_its_calls_at_once():
    """One is inside, the others wait: the place of the first must not go to one that has given up as well."""

    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 100), Ended()
        calls = [asyncio.create_task(ended.ask(turnstile, "anna", "d0")) for _ in range(5)]
        other = asyncio.create_task(ended.ask(turnstile, "anna", "d1"))
        await asyncio.sleep(0.5)
        for one in calls:
            one.cancel()
        ways = await asyncio.gather(*calls, return_exceptions=True)
        await other
        return ways, ended, turnstile

    ways, ended, turnstile = in_virtual_time(run())
    assert [type(way) for way in ways] == [asyncio.CancelledError] * 5
    assert ended == ["d1"]
    assert (turnstile.running, turnstile.waiting) == (0, 0)


def test_one_who_comes_as_the_others_give_up_goes_in():
    """Nobody is left inside who could let it in later."""

    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 2), Ended()
        calls = [asyncio.create_task(ended.ask(turnstile, "anna", f"d{n}")) for n in range(2)]
        await asyncio.sleep(0.5)
        for one in calls:
            one.cancel()
        await ended.ask(turnstile, "bob", "b")
        return ended, asyncio.get_running_loop().time()

    assert in_virtual_time(run()) == (["b"], 1.5)


def test_ten_thousand_that_give_up_leave_nothing_behind():
    """Newest first, which a search from the front of the queue would take 50 million steps for."""

    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 10_000), Ended()
        calls = [asyncio.create_task(ended.ask(turnstile, "anna", f"d{n}")) for n in range(10_000)]
        await asyncio.sleep(0.5)
        for one in reversed(calls[2:]):
            one.cancel()
        await asyncio.gather(*calls[2:], return_exceptions=True)
        assert turnstile.waiting == 1
        assert len(turnstile._queues["anna"]) <= 2, "those who left hold no memory while the engine is busy"
        await asyncio.gather(*calls[:2])
        return ended, turnstile

    ended, turnstile = in_virtual_time(run())
    assert ended == ["d0", "d1"]
    assert (turnstile.running, turnstile.waiting, len(turnstile._queues)) == (0, 0, 0)


def test_closing_a_lane_leaves_the_engine_to_the_others():
    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 100), Ended()
        await turnstile.lane("anna").aclose()
        await ended.ask(turnstile, "bob", "b")
        assert turnstile.lane("bob").info == turnstile.engine.info
        return ended

    assert in_virtual_time(run()) == ["b"]


@pytest.mark.parametrize(("limit", "max_waiting"), [(0, 1), (1, -1)])
def test_a_turnstile_that_lets_nobody_in_is_not_made(limit, max_waiting):
    with pytest.raises(ValueError, match="a limit of 1 or more"):
        Turnstile(engine(), limit, max_waiting)


def test_a_full_queue_says_when_to_come_back():
    async def run():
        turnstile, ended = Turnstile(engine(default=ONE_SECOND), 1, 2), Ended()
        await ended.ask(turnstile, "anna", "d0")
        calls = [asyncio.create_task(ended.ask(turnstile, "anna", f"d{n}")) for n in range(1, 4)]
        await asyncio.sleep(0.5)
        with pytest.raises(EngineError, match="2 calls are waiting") as refused:
            await ended.ask(turnstile, "bob", "b")
        await asyncio.gather(*calls)
        return refused.value

    error = in_virtual_time(run())
    assert error.retryable
    assert error.retry_after_s == pytest.approx(3)


@given(st.integers(1, 4), st.integers(0, 2**32))
def test_whatever_happens_no_call_is_lost_and_no_place_leaks(limit, seed):
    """Calls come, end, fail and give up at random times."""
    draw = random.Random(seed)

    class Moody:
        inside, most = 0, 0
        info = engine().info

        async def generate(self, request, emit):
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await asyncio.sleep(draw.random())
                if draw.random() < 0.2:
                    raise EngineError("moody")
                return Completion("", "stop", Usage())
            finally:
                self.inside -= 1

    async def run():
        speaker = Moody()
        turnstile, ended = Turnstile(speaker, limit, 1000), Ended()
        calls = []
        for n in range(30):
            await asyncio.sleep(draw.random() / 10)
            calls.append(asyncio.create_task(ended.ask(turnstile, draw.choice("abc"), f"d{n % 7}")))
            if draw.random() < 0.3:
                draw.choice(calls).cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.done() for call in calls)
        assert speaker.most <= limit
        return turnstile

    turnstile = in_virtual_time(run())
    assert (turnstile.running, turnstile.waiting) == (0, 0)


def test_many_debates_at_once_end_in_the_order_in_which_they_began():
    """Two hundred debates of six turns each: none starves, and those that began first end first."""
    speaker = engine(default=ONE_SECOND)
    of = plan()

    async def run():
        turnstile, ended = Turnstile(speaker, 12, 10_000), []

        async def hold(number: int) -> None:
            one = Debate(of, SUM.model_copy(update={"id": f"q{number}"}), cast(of), turnstile.lane("anna"))
            await one.hold()
            ended.append(number)

        await asyncio.gather(*(hold(number) for number in range(200)))
        return ended

    ended = in_virtual_time(run())
    assert sorted(ended) == list(range(200))
    assert max(abs(place - number) for place, number in enumerate(ended)) <= 12
    assert speaker.calls.peak == 12
