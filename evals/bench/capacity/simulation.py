"""Debates on replicas, simulated event by event. The same load, rates and seed give the same figures.

Debates come at set moments, or a set number of them is always open. Each goes to the replica with the fewest open
debates and stays there, so that its turns find their prefixes. A turn is sent the moment the turns that it waits for have
ended, as the scheduler of the chorus does it. What is left out: the network, the chorus's own time, failures, a cache that
is too small for the debates it holds (`hit` stands for that), and early stop.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from evals.bench.capacity.rates import Rates
from evals.bench.capacity.replica import Replica
from evals.bench.capacity.workload import Debate, Load

Length = Callable[[int, random.Random], int]
"""The set length of a turn -> how long this one is."""

WARMING = 0.2
"""Share of the debates that open and close a run and are not looked at: it fills up and runs dry in them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. Times are seconds from its beginning."""

    spans: tuple[tuple[float, float], ...]
    """When each debate came and when it was answered, in the order of the answers."""
    wall_s: float
    busy_s: float
    """Of all replicas together."""
    batch: float
    """Sequences in a step, mean over the time in steps."""
    replicas: int

    @property
    def debates_per_s(self) -> float:
        """Debates answered in a second, between the warming up and the running dry."""
        edge = int(WARMING * len(self.spans))
        first, last = self.spans[edge][1], self.spans[-1 - edge][1]
        return sum(first < ended <= last for _, ended in self.spans) / (last - first)

    @property
    def busy(self) -> float:
        """Share of the replicas' time that was spent in steps, ends included."""
        return self.busy_s / (self.wall_s * self.replicas)

    @property
    def latencies(self) -> list[float]:
        """Seconds from each debate's coming to its answer, in the order of their coming."""
        return [ended - began for began, ended in sorted(self.spans)]

    def quantile(self, share: float) -> float:
        """Return the latency that such a share of debates don't exceed, between warming up and running dry."""
        edge = int(WARMING * len(self.spans))
        ranked = sorted(self.latencies[edge : len(self.spans) - edge])
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def run(
    rates: Rates,
    debates: Iterable[tuple[float, Debate]],
    *,
    replicas: int = 1,
    hit: float = 1.0,
    length: Length | None = None,
    seed: int = 0,
) -> Outcome:
    """Hold debates that come at set moments.

    Args:
        rates: of each replica.
        debates: (the second at which it comes, what it asks for), in that order.
        replicas: how many there are.
        hit: share of the prompt tokens that could come from the cache and do.
        length: of turns; as the debates say unless given.
        seed: draws lengths.
    """
    hall = _Hall(rates, replicas, hit, length, seed)

    def come() -> Generator[simpy.Event, Any, None]:
        for at, debate in debates:
            yield hall.env.timeout(at - hall.env.now)
            hall.env.process(hall.hold(debate))

    hall.env.process(come())
    return hall.outcome()


def saturate(rates: Rates, load: Load, *, hit: float = 1.0, seed: int = 0) -> Outcome:
    """Hold as many debates as fill one replica's batch twice over, one following another."""
    hall = _Hall(rates, 1, hit, None, seed)
    widest = max(sum(1 for call in load.whole if not call.waits), 1)
    users = 2 * math.ceil(rates.batch / widest)
    kinds = itertools.islice(drawn(load, seed), max(10 * users, 400))

    def one_after_another() -> Generator[simpy.Event, Any, None]:
        for debate in kinds:
            yield hall.env.process(hall.hold(debate))

    for _ in range(users):
        hall.env.process(one_after_another())
    return hall.outcome()


def poisson(load: Load, per_s: float, debates: int, seed: int) -> list[tuple[float, Debate]]:
    """Return debates that come independently of each other, so many a second on average."""
    draw, at = random.Random(f"arrivals/{seed}"), 0.0
    arrivals = []
    for kind in itertools.islice(drawn(load, seed), debates):
        at += draw.expovariate(per_s)
        arrivals.append((at, kind))
    return arrivals


def drawn(load: Load, seed: int) -> Iterator[Debate]:
    """Yield debates of a load without end, gated ones among them by chance."""
    draw = random.Random(f"kinds/{seed}")
    while True:
        yield load.gated if load.gated and draw.random() < load.answered else load.whole


class _Hall:
    """Replicas, and the debates that are held on them."""

    def __init__(self, rates: Rates, replicas: int, hit: float, length: Length | None, seed: int) -> None:
        self.env = simpy.Environment()
        self._replicas = [Replica(self.env, rates) for _ in range(replicas)]
        self._hit = hit
        self._length = length
        self._draw = random.Random(f"lengths/{seed}")
        self._spans: list[tuple[float, float]] = []

    def hold(self, debate: Debate) -> Generator[simpy.Event, Any, None]:
        """Hold one debate on the replica that has the fewest."""
        began = self.env.now
        replica = min(self._replicas, key=lambda each: each.debates)
        replica.debates += 1
        ended: dict[str, simpy.Event] = {}
        for call in debate:
            written = self._length(call.written, self._draw) if self._length else call.written
            waits = [ended[earlier] for earlier in call.waits]
            computed = call.computed(self._hit)
            ended[call.id] = (
                self.env.process(self._after(waits, replica, computed, written))
                if waits
                else replica.submit(computed, written)
            )
        yield self.env.all_of(ended.values())
        replica.debates -= 1
        self._spans.append((began, self.env.now))

    def _after(
        self, waits: Sequence[simpy.Event], replica: Replica, computed: int, written: int
    ) -> Generator[simpy.Event, Any, None]:
        yield self.env.all_of(waits)
        yield replica.submit(computed, written)

    def outcome(self) -> Outcome:
        self.env.run()
        busy_s = sum(replica.busy_s for replica in self._replicas)
        batch_s = sum(replica.batch_s for replica in self._replicas)
        return Outcome(tuple(self._spans), self.env.now, busy_s, batch_s / busy_s, len(self._replicas))
