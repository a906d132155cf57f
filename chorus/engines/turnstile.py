"""One fair queue before an engine that many debates share.

    turnstile = Turnstile(engine, limit=16, max_waiting=1000)
    lane = turnstile.lane("anna")          # an Engine, for whatever Anna asks

At most `limit` calls are inside the engine. Where more want in, owners take turns, so that one who asks for a thousand
debates makes nobody wait for more than the calls now inside; and within an owner the oldest debate goes first, so that
debates end in the order in which they began instead of all at the end. A call that is cancelled while it waits leaves the
queue at once. A waiting call costs one future and one heap entry.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict, deque
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
        self._queues: dict[str, list[_Waiting]] = {}
        self._turns: deque[str] = deque()
        """Owners with a queue, in the order in which they are served."""
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
        return max(1.0, (self._call_s or 0.0) * (self.waiting + 1) / self.limit)

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
        if self.running < self.limit and not self.waiting:
            self.running += 1
            return
        if self.waiting >= self.max_waiting:
            raise EngineError(
                f"{self.waiting} calls are waiting for the engine already",
                retryable=True,
                retry_after_s=self.estimate_wait_s(),
            )
        admitted = asyncio.get_running_loop().create_future()
        self._queue(owner, (age, next(self._numbers), admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._leave()  # it was let in at the very moment that it gave up
            else:
                self._withdraw(owner, admitted)
            raise

    def _queue(self, owner: str, call: _Waiting) -> None:
        if owner not in self._queues:
            self._queues[owner] = []
            self._turns.append(owner)
        heapq.heappush(self._queues[owner], call)
        self.waiting += 1

    def _withdraw(self, owner: str, admitted: asyncio.Future[None]) -> None:
        """Take a call out of the queue."""
        queue = self._queues[owner]
        place = next(place for place, call in enumerate(queue) if call[2] is admitted)
        queue[place] = queue[-1]
        queue.pop()
        heapq.heapify(queue)
        self.waiting -= 1
        if not queue:
            del self._queues[owner]
            self._turns.remove(owner)

    def _leave(self) -> None:
        """Give a place up, to the next call if there is one."""
        self.running -= 1
        while self._turns and self.running < self.limit:
            owner = self._turns.popleft()
            queue = self._queues[owner]
            _, _, admitted = heapq.heappop(queue)
            self.waiting -= 1
            if queue:
                self._turns.append(owner)
            else:
                del self._queues[owner]
            if not admitted.done():
                self.running += 1
                admitted.set_result(None)

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
