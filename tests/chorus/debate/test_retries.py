"""An engine that goes away in the middle of a debate, and comes back or doesn't; on a clock that jumps."""

import asyncio

import pytest
from debates import SEATS, after, engine, hold, plan

from chorus.engines.base import Completion, Emit, Engine, Request
from chorus.errors import EngineError, EngineUnreachable
from chorus.record import events

DOWN = "can't reach http://127.0.0.1:8000/v1: Connection refused"


class Outage:
    """An engine that can't be reached at some times; calls in flight when one begins break off."""

    def __init__(self, inner: Engine, *outages: tuple[float, float]) -> None:
        self._inner = inner
        self._outages = outages
        self.knocks: list[float] = []
        """When a call found it gone."""

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def _next(self, now: float) -> tuple[float, float]:
        return next(((start, end) for start, end in self._outages if now < end), (float("inf"), float("inf")))

    async def generate(self, request: Request, emit: Emit) -> Completion:
        now = asyncio.get_running_loop().time()
        start, _ = self._next(now)
        if now >= start:
            self.knocks.append(now)
            raise EngineUnreachable(DOWN)
        try:
            async with asyncio.timeout_at(None if start == float("inf") else start):
                return await self._inner.generate(request, emit)
        except TimeoutError:
            raise EngineError("lost the connection", retryable=True) from None


def outage(*outages, default=None) -> Outage:
    return Outage(engine(default=default or after(10)), *outages)


def test_a_server_that_is_restarted_is_waited_for():
    speaker = outage((15, 55))
    held = hold(speaker)
    assert held.answer.status == "done"
    assert [turn.status for turn in held.answer.turns if turn.kind == "speech"] == ["done"] * 6
    assert any("could not be reached for" in note for note in held.answer.notes)
    # It is noticed within seconds that the server is back.
    assert 65 <= held.ended("2.skeptic") <= 55 + 10 + 10
    assert held.turn("2.skeptic").usage.calls == 2, "one broke off, and one was made again; knocking is no call"


def test_waiting_spends_no_calls():
    # Six turns, of which three break off once.
    assert hold(outage((15, 100)), plan(decision="plurality"), max_calls=9).answer.status == "done"


def test_a_server_that_never_returns_ends_the_debate_with_what_there_is():
    held = hold(outage((15, float("inf"))), patience_s=60)
    assert held.answer.status == "cut"
    assert held.answer.answer == "56", "the first drafts stand"
    assert "3 of 3 voices failed in round 2: " + DOWN in held.answer.reason
    assert "(it has been gone for 60 s)" in held.answer.reason
    assert 75 <= held.answer.usage.wall_s <= 80


def test_the_voices_wait_together_and_not_one_after_another():
    speaker = outage((15, float("inf")))
    held = hold(speaker, plan("chain", rounds=3, decision="plurality"), quorum=0, patience_s=60)
    assert held.answer.usage.wall_s <= 80
    assert [turn.status for turn in held.answer.turns if turn.round == 3] == ["failed"] * 3
    assert len([at for at in speaker.knocks if at > 80]) == 0


def test_each_time_that_it_goes_it_is_waited_for_anew():
    held = hold(outage((5, 50), (65, 110), (125, 170)), attempts=4, patience_s=60)
    assert held.answer.status == "done"
    assert len([note for note in held.answer.notes if "could not be reached" in note]) >= 2


@pytest.mark.parametrize("patience_s", [0, 0.1])
def test_patience_may_be_none(patience_s):
    held = hold(outage((15, 20)), patience_s=patience_s, backoff_s=0.01)
    assert held.answer.status == "cut"
    assert held.answer.usage.wall_s < 17


def test_the_time_that_a_debate_may_take_bounds_its_patience():
    held = hold(outage((15, 100)), max_seconds=30)
    assert (held.answer.status, held.answer.usage.wall_s, held.answer.answer) == ("cut", 30, "56")


def test_an_outage_is_told_once_a_turn():
    held = hold(outage((15, 55)), plan("none", SEATS[:1]))
    told = [event.reason for event in held.of(events.TurnRetried)]
    assert told == ["lost the connection", DOWN]
