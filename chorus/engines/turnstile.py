"""One fair queue before an engine that many debates share.

    turnstile = Turnstile(engine, limit=16, max_waiting=1000)
    lane = turnstile.lane("anna")          # an Engine, for whatever Anna asks

At most `limit` calls are inside the engine. Where more want in, owners take turns, so that one who asks for a thousand
debates makes nobody wait for more than the calls now inside; and within an owner the oldest debate goes first, so that
debates end in the order in which they began instead of all at the end. A waiting call costs one future and one heap entry.

Invariants: while anybody waits the engine is full; a call is counted as waiting or as running until it ends, however it
ends; one that gives up leaves the queue when it next runs, at no more cost than any other.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Sequence

from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request
from chorus.errors import EngineError
from chorus.types import Message

REMEMBERED = 1 << 16
"""Debates whose place is remembered between their calls; of more, the longest idle count as new."""

_SMOOTHING = 0.1
"""Weight of the newest call in the running mean of their seconds."""

_Waiting = tuple[int, int, "asyncio.Future[None]"]
"""Age of the debate, order of arrival, and what is set when the call may go in."""


class Turnstile:
    """See the module's docstring.

    Args:
        engine: where the calls go. The caller closes it.
        limit: calls inside at once.
        max_waiting: calls that may wait; further ones are refused.
    """

    def __init__(self, engine: Engine, limit: int, max_waiting: int) -> None:
        if limit < 1 or max_waiting < 0:
            raise ValueError(f"a turnstile needs a limit of 1 or more, and no negative queue: {limit}, {max_waiting}")
        self.engine = engine
        self.limit = limit
        self.max_waiting = max_waiting
        self.running = 0
        """Calls inside the engine."""
        self.waiting = 0
        """Calls in the queue."""
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        """Of each owner with calls that wait, in the order in which they are served."""
        self._ages: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._numbers = itertools.count()
        self._call_s: float | None = None

    def lane(self, owner: str) -> Engine:
        """Return the engine as one owner may use it."""
        return _Lane(self, owner)

    def estimate_wait_s(self) -> float:
        """Return about how long a call made now would wait, in seconds; at least 1 where any would."""
        if not self.waiting and self.running < self.limit:
            return 0.0
        return max(1.0, self.seconds_for(self.waiting + 1))

    def seconds_for(self, calls: int) -> float:
        """Return about how long the engine takes for so many calls, in seconds; 0 before the first has ended."""
        return (self._call_s or 0.0) * calls / self.limit

    async def generate(self, owner: str, request: Request, emit: Emit) -> Completion:
        """Wait for a place, then call the engine. Raises EngineError, also when too many wait."""
        await self._enter(owner, request.debate)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            completion = await self.engine.generate(request, emit)
        finally:
            self._leave()
        taken = clock() - began
        self._call_s = taken if self._call_s is None else self._call_s + _SMOOTHING * (taken - self._call_s)
        return completion

    async def _enter(self, owner: str, debate: str) -> None:
        age = self._age(owner, debate)
        self._let_in()
        if self.running < self.limit:  # so nobody waits
            self.running += 1
            return
        if self.waiting >= self.max_waiting:
            raise EngineError(
                f"{self.waiting} calls are waiting for the engine already",
                retryable=True,
                retry_after_s=self.estimate_wait_s(),
            )
        await self._wait(owner, age)

    async def _wait(self, owner: str, age: int) -> None:
        admitted = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(owner, _Queue())
        queue.push((age, next(self._numbers), admitted))
        self.waiting += 1
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.cancelled():
                self._give_up(owner, queue)
            else:
                self._leave()  # it was let in at the very moment that it gave up
            raise

    def _leave(self) -> None:
        """Give a place up, to the next call if there is one."""
        self.running -= 1
        self._let_in()

    def _let_in(self) -> None:
        """Fill the places that are free: one call of each owner in turn."""
        while self.running < self.limit and self._queues:
            owner, queue = next(iter(self._queues.items()))
            admitted = queue.pop()
            if queue:
                self._queues.move_to_end(owner)
            else:
                del self._queues[owner]
            if admitted:
                self.waiting -= 1
                self.running += 1
                admitted.set_result(None)

    def _give_up(self, owner: str, queue: _Queue) -> None:
        """Count a call out that was cancelled while it waited."""
        self.waiting -= 1
        queue.tidy()
        # It may have gone already, and another of this owner's stand in its place.
        if not queue and self._queues.get(owner) is queue:
            del self._queues[owner]

    def _age(self, owner: str, debate: str) -> int:
        """Return a number that is lower the earlier the debate made its first call."""
        key = (owner, debate)
        if key in self._ages:
            self._ages.move_to_end(key)
            return self._ages[key]
        if len(self._ages) >= REMEMBERED:
            self._ages.popitem(last=False)
        self._ages[key] = age = next(self._numbers)
        return age


class _Queue:
    """One owner's calls that wait, the oldest debate's first.

    The future of a call that gives up is cancelled before anybody else runs, so the entry is known to be void from then
    on. Void entries are dropped when they come up, or all together once they are half of the queue: so giving up costs
    no search, and the queue is never longer than twice the calls that wait.
    """

    __slots__ = ("_calls", "_void")

    def __init__(self) -> None:
        self._calls: list[_Waiting] = []
        self._void = 0
        """Calls that gave up since the last clearance."""

    def __len__(self) -> int:
        return len(self._calls)

    def push(self, call: _Waiting) -> None:
        heapq.heappush(self._calls, call)

    def pop(self) -> asyncio.Future[None] | None:
        """Take out the next call that still waits; None when none does, and the queue is empty then."""
        while self._calls:
            admitted = heapq.heappop(self._calls)[2]
            if not admitted.done():
                return admitted
        return None

    def tidy(self) -> None:
        """Take note that a call gave up."""
        self._void += 1
        if 2 * self._void >= len(self._calls):
            self._calls = [call for call in self._calls if not call[2].done()]
            heapq.heapify(self._calls)
            self._void = 0


class _Lane:
    """The engine as one owner uses it."""

    def __init__(self, turnstile: Turnstile, owner: str) -> None:
        self._turnstile = turnstile
        self._owner = owner

    @property
    def info(self) -> EngineInfo:
        """What the engine is."""
        return self._turnstile.engine.info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages, in turn. Raises EngineError."""
        return await self._turnstile.generate(self._owner, request, emit)

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take."""
        return await self._turnstile.engine.count(messages)

    async def aclose(self) -> None:
        """Leave the engine open: others use it too."""
