"""Ten thousand debates queued at once on one engine: they end in order, and what waits stays small."""

from __future__ import annotations

import asyncio
import resource

import pytest
from debates import SUM, after, cast, engine, in_virtual_time, plan

from chorus.debate.scheduler import Debate
from chorus.engines.turnstile import Turnstile

DEBATES = 10_000
INSIDE = 64
KIB_EACH = 64
"""What a debate that waits may hold, in KiB. Its record alone, kept here to the end, takes a part of it."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_debates_at_once():
    speaker = engine(default=after(1))
    of = plan(mode="vote", rounds=1, spec="none")

    async def run():
        turnstile, ended = Turnstile(speaker, INSIDE, 3 * DEBATES), []

        async def hold(number: int) -> None:
            one = Debate(of, SUM.model_copy(update={"id": f"q{number}"}), cast(of), turnstile.lane("anna"))
            answer = await one.hold()
            assert answer.answer == "56"
            ended.append(number)

        await asyncio.gather(*(hold(number) for number in range(DEBATES)))
        assert (turnstile.running, turnstile.waiting) == (0, 0)
        return ended

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = in_virtual_time(run())
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert speaker.calls.peak == INSIDE
    assert sorted(ended) == list(range(DEBATES))
    assert max(abs(place - number) for place, number in enumerate(ended)) <= INSIDE, "first come, first served"
    assert grown_kib < KIB_EACH * DEBATES, f"{grown_kib / DEBATES:.1f} KiB a debate"
    print(f"{grown_kib / DEBATES:.1f} KiB a debate")
