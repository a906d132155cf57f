"""The turnstile's promises, under any order of events that hypothesis can think of.

Calls are made, answered, failed and given up, one at a time and several within one turn of the event loop: that is how a
debate ends whose calls are partly inside and partly waiting.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chorus.engines.base import Completion, Request
from chorus.engines.turnstile import Turnstile
from chorus.errors import EngineError
from chorus.types import Usage

OWNERS = ("anna", "bob", "cleo")
MAX_WAITING = 8


@dataclass(eq=False)
class Call:
    """One call as the test sees it."""

    owner: str
    debate: str
    task: asyncio.Task[Completion] | None = None
    given_up: bool = False
    ending: asyncio.Future[Completion] | None = None
    """Set once the call is inside: ends it."""
    came_before: bool = False
    """Whether it was there before what happens now."""
    passed_by: dict[str, int] = field(default_factory=dict)
    """While it waits: how many calls of each other owner have gone in since its own owner last had a turn."""


class ByHand:
    """An engine whose calls end when the test says so."""

    def __init__(self) -> None:
        self.entered: list[Request] = []
        self.inside: dict[str, asyncio.Future[Completion]] = {}
        self.most = 0

    async def generate(self, request: Request, emit: object) -> Completion:
        self.entered.append(request)
        self.inside[request.id] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.inside))
        try:
            return await self.inside[request.id]
        finally:
            del self.inside[request.id]


class Rules(RuleBasedStateMachine):
    """What may happen, and what holds after each of it."""

    @initialize(limit=st.integers(1, 3))
    def open(self, limit: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.engine = ByHand()
        self.turnstile = Turnstile(self.engine, limit, MAX_WAITING)
        self.calls: dict[str, Call] = {}
        self.debates: list[tuple[str, str]] = []
        """In the order of their first calls."""

    def teardown(self) -> None:
        for _ in range(len(self.calls)):  # each time round ends one call at least
            for ending in list(self.engine.inside.values()):
                ending.set_result(Completion("", "stop", Usage()))
            self.settle()
        assert all(call.task.done() for call in self.calls.values()), "a call was lost"
        assert (self.turnstile.running, self.turnstile.waiting) == (0, 0), "a place leaked"
        assert not self.turnstile._queues
        self.loop.close()

    # ---- what happens ------------------------------------------------------------------------------------------------

    @rule(owner=st.sampled_from(OWNERS), debate=st.sampled_from("123"))
    def ask(self, owner: str, debate: str) -> None:
        self._ask(owner, debate)
        self.settle()

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        if self.engine.inside:
            name = data.draw(st.sampled_from(sorted(self.engine.inside)))
            self.engine.inside[name].set_result(Completion("56", "stop", Usage()))
            self.settle()

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.engine.inside:
            name = data.draw(st.sampled_from(sorted(self.engine.inside)))
            self.engine.inside[name].set_exception(EngineError("out of sorts"))
            self.settle()

    @rule(data=st.data(), newcomer=st.sampled_from([None, *OWNERS]))
    def several_at_once(self, data: st.DataObject, newcomer: str | None) -> None:
        """Some give up and some are answered before any of them has run again; somebody may come in between."""
        alive = [name for name, call in self.calls.items() if not call.task.done()]
        if not alive:
            return
        for name in data.draw(st.lists(st.sampled_from(alive), unique=True, max_size=6)):
            ending = self.engine.inside.get(name)
            if ending and data.draw(st.booleans()):
                ending.set_result(Completion("56", "stop", Usage()))
            else:
                self.calls[name].given_up = True
                self.calls[name].task.cancel()
        if newcomer:
            self._ask(newcomer, "4")
        self.settle()

    # ---- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def never_more_inside_than_the_limit(self) -> None:
        assert self.engine.most <= self.turnstile.limit
        assert self.turnstile.running == len(self.engine.inside)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        alive = [name for name, call in self.calls.items() if not call.task.done()]
        assert self.turnstile.waiting == len(alive) - len(self.engine.inside)
        assert self.turnstile.waiting <= MAX_WAITING
        if self.turnstile.waiting:
            assert self.turnstile.running == self.turnstile.limit

    @invariant()
    def every_call_ends_as_it_should(self) -> None:
        """Answered, failed, refused for want of room, or cancelled by whoever made it; nothing else."""
        for call in self.calls.values():
            if not call.task.done():
                continue
            if call.task.cancelled():
                assert call.given_up
            elif call.task.exception() is not None:
                assert isinstance(call.task.exception(), EngineError)

    @invariant()
    def the_queue_holds_no_heap_of_the_dead(self) -> None:
        assert sum(map(len, self.turnstile._queues.values())) <= 2 * self.turnstile.waiting

    def _fair(self, entered: str) -> None:
        """Check one call that has gone in against all that waited with it."""
        call = self.calls[entered]
        waited = [
            other
            for name, other in self.calls.items()
            if name not in self.seen and not other.task.done() and not other.given_up and other is not call
        ]
        for other in waited:
            if not other.came_before:  # of two things in one moment nobody can say which came first
                continue
            if other.owner == call.owner:
                mine, its = ((one.owner, one.debate) for one in (call, other))
                assert self.debates.index(mine) <= self.debates.index(its), "a younger debate went first"
                other.passed_by.clear()
            else:
                other.passed_by[call.owner] = other.passed_by.get(call.owner, 0) + 1
                assert other.passed_by[call.owner] <= 1, f"{call.owner} went twice while {other.owner} waited"

    # ---- how -----------------------------------------------------------------------------------------------------------

    def _ask(self, owner: str, debate: str) -> None:
        name, call = f"call{len(self.calls)}", Call(owner, debate)
        lane = self.turnstile.lane(owner)
        call.task = self.loop.create_task(lane.generate(Request((), id=name, debate=debate), lambda _: None))
        self.calls[name] = call
        if (owner, debate) not in self.debates:
            self.debates.append((owner, debate))

    def settle(self) -> None:
        """Let everybody run until nothing moves, and see who has gone in."""
        before = len(self.engine.entered)
        self.seen = {request.id for request in self.engine.entered}
        for _ in range(8):
            self.loop.run_until_complete(asyncio.sleep(0))
        for request in self.engine.entered[before:]:
            self.seen.add(request.id)
            self._fair(request.id)
        for call in self.calls.values():
            call.came_before = True


TestRules = pytest.mark.timeout(300)(Rules.TestCase)  # an end by the clock would pass for a rule that was broken
TestRules.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
