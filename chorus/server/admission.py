"""Whether a debate may begin, counted in engine calls and not in requests: one debate is many calls.

    place = admission.place(owner)         # an Engine; refuses at once where there is no hope
    ... the debate is planned on it ...
    place.take(planned_calls(plan))        # refuses what there is no room for
    ... the debate is held on it ...
    place.release()

A debate that is let in finds room in the queue for every call of its plan; one that would not is refused before it cost
anything, and told when to come back. Invariants:

- what the debates under way have still to ask for is never more than `room`, but where one debate alone is;
- an idle server takes any debate;
- of several owners, each holds at most `GREED` times what it leaves free, so that a newcomer finds room however much the
  others ask for. That is the dynamic threshold by which network switches share their memory (Choudhury and Hahne 1998):
  alone, an owner has 3/4 of the room; each of two that take all they can has 3/7.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from chorus.debate import decide
from chorus.debate.checked import MOST_ANSWERS
from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request
from chorus.engines.turnstile import Turnstile
from chorus.server.problems import Refusal
from chorus.types import Message, Plan

GREED = 3
"""An owner holds at most so many times the room that is still free. A choice: much for one, and something for the next."""


def planned_calls(plan: Plan) -> int:
    """Return how many engine calls a debate makes at most, calls that have to be made again not counted."""
    speeches = 1 if plan.mode == "inner" else len(plan.seats) * plan.rounds
    needs = decide.rule(plan.decision).needs
    if needs is None:
        return speeches
    seats = len(plan.seats)
    return speeches + {"ballot": seats, "check": seats * min(seats, MOST_ANSWERS)}.get(needs, 1)


class Admission:
    """Shares out the room in a turnstile's queue.

    Args:
        turnstile: where the calls of all debates go.
        room: engine calls that the debates under way may have before them.
        shared: whether several owners share it; a single one may have all.
    """

    def __init__(self, turnstile: Turnstile, room: int, *, shared: bool) -> None:
        self._turnstile = turnstile
        self._room = room
        self._shared = shared
        self._held: Counter[str] = Counter()
        self._usual = 1
        """Calls of the newest debate: about what one will ask for whose plan isn't known yet."""

    @property
    def held(self) -> int:
        """Engine calls that the debates under way have still before them."""
        return self._held.total()

    def place(self, owner: str) -> Place:
        """Return a place for one debate, which holds no room yet. Raises Refusal, 429, where it would get none."""
        self._check(owner, 1)
        return Place(self, owner, self._turnstile.lane(owner))

    def take(self, owner: str, calls: int) -> None:
        """Hold room for an owner's calls. Raises Refusal, 429, where there is none."""
        self._check(owner, calls)
        self._held[owner] += calls
        self._usual = calls

    def give_back(self, owner: str, calls: int) -> None:
        """Let go of room."""
        self._held[owner] -= calls
        if not self._held[owner]:
            del self._held[owner]

    def _check(self, owner: str, calls: int) -> None:
        if self.held and self._missing(owner, calls) > 0:
            until = self._turnstile.seconds_for(self._missing(owner, max(calls, self._usual)))
            raise Refusal(
                f"the server is busy: {self.held:,} engine calls are still to be made. Ask again later",
                status=429,
                code="busy",
                retry_after_s=max(1.0, until),
            )

    def _missing(self, owner: str, calls: int) -> int:
        """Return how many calls must end before an owner may have so many more; 0 or less when it may now."""
        free = self._room - self.held - calls
        if not self._shared:
            return -free
        mine = self._held[owner] + calls
        # A call of its own that ends frees one, and is one less that it holds.
        return math.ceil((mine - GREED * free) / (GREED + 1))


class Place:
    """One debate's way to the engine, and the room that it holds there.

    Each call that succeeds gives back its part of the room. One that failed keeps it, since it may be made again.
    """

    def __init__(self, admission: Admission, owner: str, engine: Engine) -> None:
        self._admission = admission
        self._owner = owner
        self._engine = engine
        self._calls = 0

    @property
    def held(self) -> int:
        """Calls that it holds room for."""
        return self._calls

    @property
    def info(self) -> EngineInfo:
        """What the engine is."""
        return self._engine.info

    def take(self, calls: int) -> None:
        """Hold room for so many calls more. Raises Refusal, 429, where there is none."""
        self._admission.take(self._owner, calls)
        self._calls += calls

    def release(self) -> None:
        """Let go of all that is held: the debate is over."""
        self._give_back(self._calls)

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages, in turn. Raises EngineError."""
        completion = await self._engine.generate(request, emit)
        self._give_back(min(1, self._calls))
        return completion

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take."""
        return await self._engine.count(messages)

    async def aclose(self) -> None:
        """Leave the engine open: others use it too."""
        await self._engine.aclose()

    def _give_back(self, calls: int) -> None:
        if calls:
            self._calls -= calls
            self._admission.give_back(self._owner, calls)
