"""Debates are let in by the engine calls that they will make, and what is let in finds room to its end."""

from __future__ import annotations

import asyncio

import pytest
from debates import SUM, after, cast, engine, fails, in_virtual_time, plan
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")

from chorus.debate.budget import Limits
from chorus.debate.checked import MOST_ANSWERS
from chorus.debate.scheduler import Debate
from chorus.engines.turnstile import Turnstile
from chorus.server.admission import GREED, Admission, Place, planned_calls
from chorus.server.problems import Refusal

SIX = plan(decision="plurality")
"""Three seats over two rounds, and nothing to ask for afterwards."""
SPLIT = {"1.skeptic": "Answer: 1", "2.skeptic": "Answer: 1", "2.estimator": "Answer: 2"}
"""Voices that disagree to the end, each with an answer of its own, so that a ballot is held or all answers are checked."""


def admission(room: int, *, shared: bool = True, places: int = 2, speaker=None) -> Admission:
    return Admission(Turnstile(speaker or engine(default=after(1)), places, room), room, shared=shared)


async def hold(of_owner: str, at: Admission, of=SIX, number: int = 0):
    """Let a debate in, hold it, and return its record; or the refusal."""
    place = at.place(of_owner)
    place.take(planned_calls(of))
    try:
        return await Debate(of, SUM.model_copy(update={"id": f"q{number}"}), cast(of), place, limits=Limits()).hold()
    finally:
        place.release()


class TestWhatAPlanAsksFor:
    @pytest.mark.parametrize(
        ("changes", "calls"),
        [
            ({"decision": "plurality"}, 6),
            ({"decision": "borda"}, 9),
            ({"decision": "checked"}, 15),
            ({"decision": "judge"}, 7),
            ({"decision": "synthesis"}, 7),
            ({"decision": "plurality", "mode": "vote", "rounds": 1, "spec": "none"}, 3),
            ({"decision": "plurality", "mode": "inner"}, 1),
        ],
    )
    def test_it_is_what_a_debate_asks_for_that_goes_all_its_way(self, changes, calls):
        speaker, of = engine(SPLIT), plan(**changes)
        in_virtual_time(Debate(of, SUM, cast(of), speaker, limits=Limits()).hold())
        assert planned_calls(of) == calls
        assert speaker.calls.started <= calls
        if of.mode != "inner":
            assert speaker.calls.started == calls


def test_a_large_cast_checks_no_more_answers_than_a_bound():
    many = plan("none", tuple(f"skeptic-{number}" for number in range(1, 21)), rounds=1, decision="checked")
    assert planned_calls(many) == 20 + 20 * MOST_ANSWERS


def test_whoever_is_let_in_is_heard_to_the_end():
    """A hundred debates at once and room for ten: ten are held whole, no call of theirs is refused."""

    async def run():
        at = admission(60, shared=False)
        return at, await asyncio.gather(*(hold("local", at, number=n) for n in range(100)), return_exceptions=True)

    at, came_of_it = in_virtual_time(run())
    refused = [one for one in came_of_it if isinstance(one, Refusal)]
    held = [one for one in came_of_it if not isinstance(one, Refusal)]
    assert (len(held), len(refused)) == (10, 90)
    assert not any(turn.status == "failed" for answer in held for turn in answer.turns)
    assert all(answer.usage.calls <= 6 for answer in held), "no call was made twice"
    assert {(one.status, one.code) for one in refused} == {(429, "busy")}
    assert at.held == 0


def test_room_comes_back_call_by_call():
    async def run():
        at = admission(9, shared=False, places=1)
        first = asyncio.create_task(hold("local", at))
        await asyncio.sleep(2.5)
        assert at.held == 4, "two of six calls have ended"
        with pytest.raises(Refusal):
            await hold("local", at)
        await asyncio.sleep(1)
        await asyncio.gather(first, hold("local", at, number=1))
        return at.held

    assert in_virtual_time(run()) == 0


def test_a_failed_call_keeps_its_room_until_its_debate_is_over():
    """It may be made again."""

    async def run():
        at = admission(60, speaker=engine(default=fails()))
        answer = await hold("anna", at)
        return answer, at.held

    answer, held = in_virtual_time(run())
    assert answer.status == "failed"
    assert held == 0


def test_a_debate_that_is_cancelled_gives_all_its_room_back():
    async def run():
        at = admission(60)
        one = asyncio.create_task(hold("anna", at))
        await asyncio.sleep(0.5)
        assert at.held == 6
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        return at.held

    assert in_virtual_time(run()) == 0


def test_an_idle_server_takes_a_debate_of_any_size():
    async def run():
        at = admission(4)
        answer = await hold("anna", at)
        place = at.place("bob")
        place.take(1000)
        with pytest.raises(Refusal):
            at.place("anna")
        return answer

    assert in_virtual_time(run()).status == "done"


def debates_until_refused(at: Admission, owner: str) -> int:
    """Begin debates of six calls for an owner until one is refused, and return how many were not."""
    for begun in range(1000):
        try:
            at.place(owner).take(6)
        except Refusal:
            return begun
    raise AssertionError("nothing was ever refused")


def test_one_key_that_takes_all_it_can_leaves_room_for_the_next():
    at = admission(1000)
    assert 6 * debates_until_refused(at, "anna") == 750
    assert debates_until_refused(at, "bob") > 20
    at.place("cleo").take(6)


def test_without_keys_the_one_owner_has_all():
    assert 6 * debates_until_refused(admission(1000, shared=False), "local") == 996


def test_who_asks_for_nothing_yet_is_sent_away_where_there_is_no_hope():
    """Before its debate is planned, which can cost calls itself."""
    at = admission(10, shared=False)
    at.place("local").take(10)
    with pytest.raises(Refusal, match="busy: 10 engine calls are still to be made"):
        at.place("local")


def test_who_is_sent_away_is_told_when_there_will_be_room():
    """Calls take a second each, two at a time: six of them are three seconds."""

    async def run():
        at = admission(12, shared=False)
        await hold("local", at)
        first, second = (asyncio.create_task(hold("local", at, number=n)) for n in (1, 2))
        await asyncio.sleep(0.5)
        with pytest.raises(Refusal) as refused:
            await hold("local", at, number=3)
        await asyncio.sleep(refused.value.retry_after_s)
        await asyncio.gather(first, second, hold("local", at, number=3))
        return refused.value.retry_after_s

    assert in_virtual_time(run()) == pytest.approx(3)


STEPS = st.lists(st.tuples(st.sampled_from(["anna", "bob", "cleo"]), st.integers(1, 40), st.booleans()), max_size=60)


def refused_seconds(at: Admission, owner: str, calls: int, places: list[Place]) -> float | None:
    """Ask for room; return None when there was some, else how long to wait."""
    try:
        place = at.place(owner)
        place.take(calls)
    except Refusal as refused:
        return refused.retry_after_s
    places.append(place)
    return None


@given(STEPS, st.integers(1, 100), st.booleans())
def test_no_order_of_events_overfills_the_room(steps, room, shared):
    at = admission(room, shared=shared)
    held: dict[str, list[Place]] = {"anna": [], "bob": [], "cleo": []}
    for owner, calls, release in steps:
        if release and held[owner]:
            held[owner].pop(calls % len(held[owner])).release()
            continue
        before = at.held
        wait = refused_seconds(at, owner, calls, held[owner])
        if wait is not None:
            assert wait >= 1
            assert at.held == before > 0, "only a server at work refuses"
        elif before:
            assert (free := room - at.held) >= 0
            assert not shared or sum(place.held for place in held[owner]) <= GREED * free
    everybody = [place for places in held.values() for place in places]
    assert at.held == sum(place.held for place in everybody)
    for place in everybody * 2:
        place.release()
    assert at.held == 0
