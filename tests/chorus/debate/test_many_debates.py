"""Thousands of debates before one engine at once: who goes first, and what waiting costs in memory."""

import asyncio
import tracemalloc

import pytest
from debates import LIBRARY, SEATS, after, in_virtual_time, plan
from debates import engine as scripted

from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines.turnstile import Turnstile
from chorus.types import Question

LIMIT = 64
"""Calls inside the engine at once."""

KIB_EACH = 32
"""Bound on what a debate of two voices may hold while it waits, in KiB."""

COUNTS = [500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
TWO_VOICES = plan(seats=SEATS[:2], decision="plurality")
CAST = {seat: LIBRARY.get(seat) for seat in SEATS[:2]}


async def hold(lane, number: int, ended: list[int]) -> str:
    question = Question(id=f"q{number}", text="What is 7 * 8?", kind="number")
    answer = await Debate(TWO_VOICES, question, CAST, lane, limits=Limits()).hold()
    ended.append(number)
    return answer.status


def all_at_once(count: int, owner=lambda number: "anna"):
    """Hold so many debates at once, and return the order in which they ended, their statuses and the engine."""
    engine, ended = scripted(default=after(1)), []

    async def main() -> list[str]:
        turnstile = Turnstile(engine, limit=LIMIT, max_waiting=2 * count)
        held = [hold(turnstile.lane(owner(number)), number, ended) for number in range(count)]
        return await asyncio.gather(*held)

    return in_virtual_time(main()), ended, engine


@pytest.mark.parametrize("count", COUNTS)
def test_debates_end_in_the_order_in_which_they_began(count):
    statuses, ended, engine = all_at_once(count)
    assert statuses == ["done"] * count
    assert engine.calls.peak <= LIMIT
    assert engine.calls.running == 0
    # None is overtaken by more than those that were inside the engine with it.
    assert max(abs(place - number) for place, number in enumerate(ended)) <= LIMIT


def test_who_asks_for_a_thousand_keeps_nobody_waiting():
    _, ended, _ = all_at_once(1010, owner=lambda number: "anna" if number < 1000 else "ben")
    bens_last = max(ended.index(number) for number in range(1000, 1010))
    # Ben's debates have 40 calls and Anna's as many meanwhile, and those that were inside before.
    assert bens_last < 10 + 10 + LIMIT


@pytest.mark.parametrize("count", COUNTS)
def test_what_waiting_debates_hold_is_bounded(count):
    all_at_once(2)  # what is loaded once
    tracemalloc.start()
    try:
        all_at_once(count)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < count * KIB_EACH * 1024
    assert left < 8 << 20, "nothing of them stays"
