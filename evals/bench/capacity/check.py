"""What the simulation says of a load, beside what a real vLLM server made of it.

`unfitted` takes the runs of `serving.json` that the rates were not fitted to. `check` makes a new run: the same debates come
at the same moments, drawn from the seed, on the server that it starts, held by the chorus itself, and on one simulated
replica. Machines that are shared are twice as fast on one day as on another, so the replica's rates are fitted to one and
two debates at once on the same server, a moment before. The prediction uses nothing else that was measured on it.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from chorus.debate import topology
from evals import report
from evals.bench.capacity import rates, simulation, workload
from evals.bench.capacity.rates import Rates
from evals.bench.capacity.simulation import Outcome
from evals.bench.capacity.workload import Call, Encode
from evals.bench.holding import Bench, Held, Server
from evals.bench.prefix_order import debate
from evals.bench.served import serve
from evals.bench.ways import CONCURRENT, EVEN, OURS, ROUNDS, SEATS, Cell

SERVING = report.RESULTS / "serving.json"
COLUMNS = ("figure", "predicted", "measured", "predicted / measured")
MODEL = "smollm2-135m"
FITTED_TO = (1, 2)
"""Debates at once to whose runs the rates are fitted: ours, and the way that reads more in as many steps."""


def check(
    encode: Encode,
    debates: int,
    share: float,
    seed: int,
    start: Callable[[str], AbstractContextManager[Server]] = serve,
) -> tuple[list[tuple[Any, ...]], Rates, dict[str, Any]]:
    """Return the table's rows, the rates that the prediction uses, and what they were made of.

    Args:
        encode: counts prompts.
        debates: how many come.
        share: of the debates that the replica could hold at most in a second, those that come.
        seed: draws the moments.
        start: runs the server.
    """
    tokens = rates.measured().tokens
    asked = of_an_empty_engine(tokens, encode, debates)
    ours, longer = (next(way for way in EVEN if way.name == name) for name in (OURS, CONCURRENT))
    with start(MODEL) as server:
        bench = Bench(server, tokens, seed)
        asyncio.run(bench.hold("even", ours, 1))  # warms the server up
        for at_once in FITTED_TO:
            bench.measure("even", at_once, 0, ways=[ours, longer])
        here = rates.fitted(list(bench.cells.values()), tokens, "runs on this server, a moment before")
        most = simulation.saturate(here, workload.plain("complete", tokens, encode)).debates_per_s
        come = [at for at, _ in simulation.poisson(workload.Load(asked[0]), share * most, debates, seed)]
        held = asyncio.run(bench.hold("even", ours, debates, come))
    foretold = simulation.run(here, list(zip(come, asked, strict=True)))
    data = {
        "came_s": come,
        "predicted_latencies_s": foretold.latencies,
        "measured_latencies_s": list(held.latencies),
    }
    computed = sum(call.computed(1.0) for calls in asked for call in calls)
    return compare(foretold, computed, held), here, data


def of_an_empty_engine(tokens: int, encode: Encode, debates: int) -> list[workload.Debate]:
    """Return what so many debates ask of an engine whose cache is empty before the first."""
    held = [debate("complete", tokens, number, number=number) for number in range(debates)]
    return workload.of(held, tokens, encode)


def compare(foretold: Outcome, computed: int, held: Held) -> list[tuple[Any, ...]]:
    """Return a row for each figure that both have."""
    ours, theirs = sorted(foretold.latencies), sorted(held.latencies)
    figures: Sequence[tuple[str, float, float]] = (
        ("wall s, from the first question to the last answer", foretold.wall_s, held.wall_s),
        ("latency of a debate, mean s", statistics.mean(ours), statistics.mean(theirs)),
        ("latency, median s", statistics.median(ours), statistics.median(theirs)),
        ("latency, longest s", ours[-1], theirs[-1]),
        ("prompt tokens computed", computed, held.counted["prompt_tokens"] - held.counted["cached_tokens"]),
    )
    return [(name, said, was, said / was) for name, said, was in figures]


def unfitted(file: Path = SERVING) -> list[tuple[Cell, float]]:
    """Return runs of ours that the rates were not fitted to, each with the seconds that the simulation gives it.

    They are the sparse graphs and the loads that don't fit into one batch. How many prompt tokens a run computed is taken
    from it, as the fit does; the rest is the simulation's.
    """
    here = rates.measured(file)
    graphs = {way.name: way.topology for way in EVEN if way.layout == "shared" and not (way.may_stop or way.barrier)}
    left = [
        cell
        for cell in rates.cells(file)
        if cell.part == "even" and cell.way in graphs and not rates.steps(cell, here.tokens)
    ]
    return [(cell, _alone(here, cell, graphs[cell.way])) for cell in left]


def _alone(here: Rates, cell: Cell, spec: str) -> float:
    """Return how long a run of `serving` takes by the simulation."""
    turns = topology.unroll(topology.build(spec, SEATS), ROUNDS)
    each = round(cell.computed_tokens / cell.calls)
    asked = tuple(
        Call(
            topology.turn_id(*turn), tuple(topology.turn_id(*heard) for heard in turns.pred[turn]), each, 0, here.tokens
        )
        for turn in turns
    )
    return simulation.run(here, [(0.0, asked)] * cell.debates).wall_s
