"""An engine's replica with continuous batching, as a process of the simulation.

It works in steps. Each step takes in what waits, as long as there is room in the batch, computes the prompts of what it
took in, and adds a token to every sequence; `rates.Rates` says how long that takes. Steps in which nothing changes are
taken together; a call that arrives meanwhile is taken in at the end of the step under way. One that answers what a step
has just brought comes too late for the next, as on a real engine, unless there is nothing else to do.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from evals.bench.capacity.rates import Rates

_NEARLY = 1e-9
"""Of a step: what rounding may put an arrival after the step that it fell into the end of."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    computed: int
    written: int
    ended: simpy.Event


class Replica:
    """One engine.

    Args:
        env: the simulation.
        rates: how fast it is.
    """

    def __init__(self, env: simpy.Environment, rates: Rates) -> None:
        self._env = env
        self._rates = rates
        self._waiting: deque[_Waiting] = deque()
        self._running: list[tuple[int, int, simpy.Event]] = []
        """A heap of (the step after which a sequence ends, a number, its event)."""
        self._numbers = itertools.count()
        self._steps = 0
        self._arrived = env.event()
        self.debates = 0
        """Open ones; whoever shares the work out keeps count."""
        self.busy_s = 0.0
        """Spent in steps."""
        self.batch_s = 0.0
        """Seconds times the sequences in the step; over `busy_s` it is the mean batch."""
        env.process(self._work())

    def submit(self, computed: int, written: int) -> simpy.Event:
        """Ask for a completion, and return the event of its end.

        Args:
            computed: prompt tokens that are not in the cache.
            written: tokens of the completion, at least 1.
        """
        ended = self._env.event()
        self._waiting.append(_Waiting(computed, max(written, 1), ended))
        if not self._arrived.triggered:
            self._arrived.succeed()
        return ended

    def _work(self) -> Generator[simpy.Event, Any, None]:
        while True:
            if not (self._running or self._waiting):
                self._arrived = self._env.event()
                yield self._arrived
            read_s = self._take_in()
            steps = self._running[0][0] - self._steps
            step_s = self._rates.step_s + len(self._running) * self._rates.token_s
            began, whole_s = self._env.now, read_s + steps * step_s
            over = self._env.timeout(whole_s)
            if len(self._running) < self._rates.batch:
                self._arrived = self._env.event()
                yield over | self._arrived
                spent = self._env.now - began
                if not over.processed:
                    steps = min(steps, max(1, math.ceil((spent - read_s) / step_s - _NEARLY)))
                    whole_s = read_s + steps * step_s
                    yield self._env.timeout(max(0.0, whole_s - spent))
            else:
                yield over
            self.busy_s += whole_s
            self.batch_s += whole_s * len(self._running)
            self._steps += steps
            while self._running and self._running[0][0] <= self._steps:
                heapq.heappop(self._running)[2].succeed()

    def _take_in(self) -> float:
        """Move what waits into the batch, as far as it goes, and return the seconds that its prompts take."""
        computed = 0
        while self._waiting and len(self._running) < self._rates.batch:
            call = self._waiting.popleft()
            computed += call.computed
            heapq.heappush(self._running, (self._steps + call.written, next(self._numbers), call.ended))
        return computed * self._rates.prompt_s
