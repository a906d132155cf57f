"""The dataflow of a debate: when turns start, what closing the stream does, and that a seed fixes every byte."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from itertools import permutations

import pytest
from debates import SEATS, after, debate, engine, fails, hold, in_virtual_time, plan, until
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.debate import topology
from chorus.engines.script import Reply
from chorus.engines.scripted import ScriptedEngine
from chorus.record import events, jsonl
from chorus.replay import redecide

SIX = ("skeptic", "estimator", "formalist", "decomposer", "tester", "analogist")


def uneven(request):
    """Every turn takes a time of its own, from 1 to 9 seconds."""
    draw = sum(request.id.encode()) % 83 / 10 + 1
    return Reply(text="Answer: 56", latency={"first": draw})


# ---- when a turn starts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["complete", "ring", "star", "chain", "tree", "layers:3,2,1", "regular:d=3", "none"])
def test_a_turn_starts_the_moment_the_turns_it_hears_are_in(spec):
    of = plan(spec, SIX, rounds=3)
    held = hold(ScriptedEngine(uneven), of)
    dag = topology.unroll(topology.build(spec, SIX), 3)
    for place in dag:
        heard = [held.ended(topology.turn_id(*before)) for before in dag.predecessors(place)]
        assert held.started(topology.turn_id(*place)) == pytest.approx(max(heard, default=0.0)), place


def test_no_round_waits_for_the_slowest_voice_of_the_one_before():
    speaker = engine({"1.skeptic": after(9), "*": after(1)})
    held = hold(speaker, plan("chain", SEATS))
    assert held.ended("1.skeptic") == 9
    assert held.started("2.formalist") == 1, "it hears the estimator and itself only"
    assert held.started("2.estimator") == 9, "it hears the skeptic"


def test_seats_that_hear_nobody_start_together():
    held = hold(ScriptedEngine(uneven), plan("none", SIX, rounds=1))
    assert [event.at for event in held.of(events.TurnStarted)] == [0.0] * 6


@pytest.mark.parametrize("concurrency", [1, 2, 5, 64])
def test_no_more_turns_are_in_flight_than_allowed(concurrency):
    speaker = ScriptedEngine(uneven)
    held = hold(speaker, plan("complete", SIX), concurrency=concurrency)
    assert speaker.calls.peak == min(concurrency, 6)
    assert {turn.status for turn in held.answer.turns} == {"done"}


def test_a_turn_that_waits_for_its_slot_has_not_started():
    held = hold(engine(default=after(2)), plan("none", rounds=1), concurrency=1)
    assert [event.at for event in held.of(events.TurnStarted)] == [0, 2, 4]


# ---- what a turn hears -------------------------------------------------------------------------------------------


def test_a_turn_hears_the_round_before_along_the_edges_and_itself():
    held = hold(engine(), plan("chain", rounds=3))
    assert held.turn("1.formalist").heard == ()
    assert held.turn("2.skeptic").heard == ("1.skeptic",)
    assert held.turn("3.formalist").heard == ("2.estimator", "2.formalist")


def test_a_persona_named_twice_holds_two_seats():
    held = hold(engine(), plan("complete", ("skeptic", "skeptic-2"), rounds=1))
    assert [(turn.id, turn.persona) for turn in held.answer.turns] == [
        ("1.skeptic", "skeptic"),
        ("1.skeptic-2", "skeptic"),
    ]


def test_the_record_lists_turns_by_round_and_seat_however_they_came_in():
    held = hold(engine({"1.skeptic": after(5), "*": after(1)}), plan("none"))
    assert [turn.id for turn in held.answer.turns] == [f"{number}.{seat}" for number in (1, 2) for seat in SEATS]
    assert held.of(events.TurnFinished)[-1].turn.id == "2.skeptic"


# ---- the same again ----------------------------------------------------------------------------------------------


def wild(seed):
    """A debate with draws, jitter, faults and flips."""
    of = plan("complete", SIX, rounds=3, decision="weighted")
    warm = tuple(seat.model_copy(update={"temperature": 0.7}) for seat in of.seats)
    speaker = engine(
        {
            "2.tester": fails(times=2, retryable=True, after_tokens=1),
            "3.analogist": fails(),
            "*": {"texts": ["Answer: 54", "Well, Answer: 56", "Answer: 63"], "confidence": 0.8},
        },
        latency={"first": 0.5, "per_token": 0.1, "jitter": 0.5},
    )
    return hold(speaker, of.model_copy(update={"seats": warm}), seed=seed)


def test_the_same_seed_gives_the_same_events_and_record_byte_for_byte():
    one, other = wild(7), wild(7)
    assert jsonl.dumps(one.answer) == jsonl.dumps(other.answer)
    assert one.events == other.events


def test_another_seed_gives_another_debate():
    one, other = wild(7), wild(8)
    assert one.answer.id != other.answer.id
    assert [turn.seed for turn in one.answer.turns] != [turn.seed for turn in other.answer.turns]
    assert [turn.text for turn in one.answer.turns] != [turn.text for turn in other.answer.turns]


def test_a_record_round_trips():
    answer = wild(3).answer
    assert jsonl.loads(jsonl.dumps(answer)) == answer


# ---- closing the stream ------------------------------------------------------------------------------------------


class Slow(ScriptedEngine):
    """An engine that takes a second to let go of a call that is cancelled."""

    let_go = 0

    async def generate(self, request, emit):
        try:
            return await super().generate(request, emit)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            self.let_go += 1
            raise


def slow():
    return Slow(lambda request: Reply(text="Well, I think so. Answer: 56", latency={"first": 1, "per_token": 1}))


async def read(one):
    """Read a debate to its end."""
    async with aclosing(one.run()) as stream:
        return [event async for event in stream]


def test_leaving_the_stream_cancels_every_call_in_flight_before_it_returns():
    async def leave(speaker):
        one = debate(speaker)
        async with aclosing(one.run()) as stream:
            await until(stream, events.TurnDelta)
            assert speaker.calls.running == 3
        assert (speaker.calls.running, speaker.let_go) == (0, 3)
        return one.record("interrupted")

    answer = in_virtual_time(leave(slow()))
    assert (answer.status, answer.reason) == ("failed", "interrupted")
    assert [turn.status for turn in answer.turns] == ["cancelled"] * 6
    assert answer.turns[0].text == "Well,", "what had been said by then is kept"
    assert jsonl.loads(jsonl.dumps(answer)) == answer


def test_leaving_the_stream_amid_checks_cancels_them_and_what_was_made_counts():
    async def attempt():
        speaker = engine({"1.skeptic": "Answer: 54", "2.skeptic": "yes", "2.*": after(60), "3.*": after(60)})
        one = debate(speaker, plan(rounds=1, decision="checked"))
        stream = one.run()
        while not (isinstance(event := await anext(stream), events.TurnFinished) and event.turn.kind == "check"):
            pass
        await stream.aclose()
        return speaker, one.record("interrupted")

    speaker, left = in_virtual_time(attempt())
    assert (speaker.calls.running, speaker.calls.aborted) == (0, 5)
    assert (left.status, left.answer, left.confidence) == ("cut", "54", pytest.approx(1 / 3))
    assert [turn.status for turn in left.turns if turn.kind == "check"].count("cancelled") == 5


def test_cancelling_the_reader_cancels_every_call_in_flight():
    async def cancel(speaker):
        one = debate(speaker)
        reader = asyncio.create_task(read(one))
        await asyncio.sleep(1.5)
        assert speaker.calls.running == 3
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (speaker.calls.running, speaker.let_go) == (0, 3)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return one.record("interrupted")

    assert in_virtual_time(cancel(slow())).reason == "interrupted"


def test_a_reader_that_just_walks_off_leaves_nothing_behind():
    async def walk_off(speaker):
        async for event in debate(speaker).run():
            if isinstance(event, events.TurnDelta):
                break
        gc.collect()
        await asyncio.sleep(2)
        return speaker.calls.running

    assert in_virtual_time(walk_off(slow())) == 0


def test_a_deadline_around_the_debate_counts_as_an_interruption():
    async def in_time(speaker):
        one = debate(speaker, plan(rounds=3))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(one), 3)
        return one.record("interrupted")

    answer = in_virtual_time(in_time(engine(default=after(2))))
    assert (answer.status, answer.answer) == ("cut", "56")
    assert [turn.status for turn in answer.turns] == ["done"] * 3 + ["cancelled"] * 6
    assert {turn.reason for turn in answer.turns[3:]} == {"interrupted"}
    assert answer.usage.wall_s == 3
    assert jsonl.loads(jsonl.dumps(answer)) == answer


@pytest.mark.parametrize("steps", range(8))
def test_it_can_be_closed_at_any_moment(steps):
    async def close_early(speaker):
        one = debate(speaker)
        stream = one.run()
        for _ in range(steps):
            await anext(stream)
        await stream.aclose()
        assert speaker.calls.running == 0
        return one.record("interrupted")

    answer = in_virtual_time(close_early(engine()))
    assert len(answer.turns) == 6
    assert jsonl.loads(jsonl.dumps(answer)) == answer


def test_a_debate_that_never_began_has_a_record_too_even_without_a_loop():
    answer = debate(engine()).record("interrupted")
    assert (answer.status, answer.reason, answer.usage.wall_s) == ("failed", "interrupted", 0)
    assert {turn.status for turn in answer.turns} == {"cancelled"}


def test_the_record_of_a_debate_that_ended_stays_what_it_was():
    async def ask_late():
        one = debate(engine(default=after(2)))
        async with aclosing(one.run()) as stream:
            decided = await until(stream, events.Decided)
        await asyncio.sleep(100)
        return decided.answer, one.record("interrupted")

    answer, later = in_virtual_time(ask_late())
    assert later is answer
    assert later.status == "done"


def test_a_fault_of_ours_is_raised_and_leaves_nothing_running():
    def broken(request):
        if request.id == "1.estimator":
            raise ZeroDivisionError("a bug")
        return Reply(text="Answer: 56", latency={"first": 5})

    async def attempt(speaker):
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await read(debate(speaker))
        assert speaker.calls.running == 0

    in_virtual_time(attempt(ScriptedEngine(broken)))


def test_a_debate_that_a_fault_of_ours_ended_has_a_record_in_which_nothing_is_decided():
    def broken(request):
        if request.id == "2.estimator":
            raise ZeroDivisionError("a bug")
        return "Answer: 56"

    async def attempt():
        one = debate(ScriptedEngine(broken), plan(rounds=2))
        with pytest.raises(ZeroDivisionError):
            await one.hold()
        return one.failed("a bug"), one.record("interrupted")

    failed, later = in_virtual_time(attempt())
    assert (failed.status, failed.reason, failed.answer, failed.decision.answer) == ("failed", "a bug", None, None)
    assert [turn.status for turn in failed.turns if turn.round == 1] == ["done"] * 3
    assert "cancelled" in {turn.status for turn in failed.turns if turn.round == 2}
    assert later is failed
    assert asyncio.run(redecide(failed, failed.decision.rule)) == failed, "seen again it has no answer either"


def test_a_fault_of_ours_in_a_ballot_is_raised_too():
    def broken(request):
        if request.id.startswith("2."):
            raise ZeroDivisionError("a bug")
        return f"Answer: {len(request.id)}"

    with pytest.raises(ZeroDivisionError):
        hold(ScriptedEngine(broken), plan(rounds=1))


# ---- any graph, any luck -----------------------------------------------------------------------------------------

REPLIES = {
    "ok": after(1),
    "slow": after(7, "Answer: 63"),
    "mute": after(2, "Who knows."),
    "fail": fails(),
    "late": {**fails(after_tokens=1), "latency": {"first": 3}},
    "again": {**fails(times=1, retryable=True, retry_after_s=2)},
    "gone": fails(retryable=True),
}


@st.composite
def graphs(draw):
    """Up to four seats and a legal topology over them."""
    seats = SIX[: draw(st.integers(1, 4))]
    pairs = sorted(permutations(seats, 2))
    edges = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    for alone in set(seats) - {seat for edge in edges for seat in edge} if edges else ():
        edges.add((alone, next(seat for seat in seats if seat != alone)))
    return seats, tuple((u, v, "full") for u, v in sorted(edges))


@settings(max_examples=300, deadline=None)
@given(
    graph=graphs(),
    rounds=st.integers(1, 3),
    luck=st.lists(st.sampled_from(sorted(REPLIES)), min_size=16, max_size=16),
    rule=st.sampled_from(["plurality", "weighted", "borda", "checked", "judge", "unanimity"]),
    limits=st.fixed_dictionaries(
        {"concurrency": st.integers(1, 4), "quorum": st.sampled_from([0.0, 0.5, 1.0])},
        optional={
            "max_calls": st.integers(1, 9),
            "max_seconds": st.floats(0.5, 12),
            "max_total_tokens": st.integers(1, 3000),
        },
    ),
)
def test_whatever_happens_every_place_ends_as_one_turn(graph, rounds, luck, rule, limits):
    seats, edges = graph
    places = [(number, seat) for number in range(1, rounds + 1) for seat in seats]
    script = {topology.turn_id(*place): REPLIES[fate] for place, fate in zip(places, luck, strict=False)}
    speaker = engine({**script, "*.judge": REPLIES[luck[-1]]})
    held = hold(speaker, plan("none", seats, edges=edges, rounds=rounds, decision=rule), **limits)

    answer = held.answer
    speeches = {(turn.round, turn.seat): turn for turn in answer.turns if turn.kind == "speech"}
    ended_early = any("all voices agreed" in note for note in answer.notes)
    assert list(speeches) == places[: len(speeches)] if ended_early else list(speeches) == places
    assert len({turn.id for turn in answer.turns}) == len(answer.turns)

    graph = topology.unroll(topology.from_edges(seats, edges), rounds)
    for place, turn in speeches.items():
        before = [speeches[one] for one in graph.predecessors(place)]
        assert turn.status == "done" or turn.reason
        if turn.status == "done":
            assert set(turn.heard) == {one.id for one in before if one.status == "done"}
            assert all(held.started(turn.id) >= held.ended(one.id) for one in before)

    assert held.of(events.Decided) == held.events[-1:]
    started = [event.turn for event in held.of(events.TurnStarted)]
    ended = [event.turn.id for event in held.endings()]
    assert set(started) <= set(ended)
    assert len(set(ended)) == len(ended)
    assert len(set(started)) == len(started)
    assert speaker.calls.running == 0
    assert speaker.calls.peak <= limits["concurrency"]
    assert answer.usage.calls == speaker.calls.started <= limits.get("max_calls", 999)
    assert answer.usage.wall_s <= limits.get("max_seconds", 999) + 1e-6
    assert (answer.answer is None) == (answer.status == "failed")
    assert answer.status == "done" or answer.reason
    assert jsonl.loads(jsonl.dumps(answer)) == answer
