"""Capacity on paper: how many debates a second a GPU holds, and how long they take. `python -m evals.bench.capacity`.

A discrete-event simulation of engines with continuous batching (`replica.py`), on which debates of our topologies are held
(`workload.py`, `simulation.py`) at token rates that were measured (`rates.py`). Each row is a topology, a gate that answers
a share of the debates, and a share of the reusable prompt tokens that the prefix cache really has; then one kind of debate
on up to a thousand GPUs. `--check` holds such a load on a real vLLM server (`check.py`): six minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals import report
from evals.bench import charts
from evals.bench.capacity import check, rates, simulation, workload
from evals.bench.capacity.rates import Rates
from evals.bench.capacity.workload import Encode
from evals.bench.prefix_order import encoder

TOPOLOGIES = ("none", "ring", "layers:2,2,1", "complete")
CASES = ((0.0, 1.0), (0.0, 0.5), (0.0, 0.0), (0.5, 1.0))
"""(share that the gate answers, cache hit), for each topology."""
GPUS = (10, 100, 1000)
NORMAL, HIGH = 0.7, 0.9
"""Of what is possible: the loads at which latencies are taken."""
EACH = 60
"""Debates a GPU in a run of many GPUs."""

COLUMNS = (
    "engine",
    "GPUs",
    "topology",
    "gate answers",
    "cache hit",
    "calls a debate",
    "tokens written a debate",
    "prompt tokens computed a debate",
    "debates/s a GPU, at most",
    "p50 s at 70%",
    "p95 s at 70%",
    "p95 s at 90%",
    "busy at 70%",
    "sequences a step at 70%",
    "coordinator's cores at 70%",
)
Row = tuple[Any, ...]


def rows(engines: Sequence[Rates], gpus: Sequence[int], encode: Encode, turn_s: float, seed: int) -> Iterator[Row]:
    """Yield the table: every case on one GPU, then the complete graph on many.

    Args:
        engines: rates to simulate with.
        gpus: how many, besides one.
        encode: counts prompts.
        turn_s: CPU seconds that the chorus itself takes for a turn.
        seed: draws arrivals.
    """
    for engine in engines:
        for topology in TOPOLOGIES:
            for answered, hit in CASES:
                yield row(engine, 1, topology, answered, hit, encode, turn_s, seed)
        for number in gpus:
            yield row(engine, number, "complete", 0.0, 1.0, encode, turn_s, seed)


def row(
    engine: Rates,
    gpus: int,
    topology: str,
    answered: float,
    hit: float,
    encode: Encode,
    turn_s: float,
    seed: int,
    each: int = EACH,
) -> Row:
    """Simulate one row of the table, with so many debates a GPU and ten times as many on one."""
    load = (
        workload.gated(topology, engine.tokens, encode, answered)
        if answered
        else workload.plain(topology, engine.tokens, encode)
    )
    most = simulation.saturate(engine, load, hit=hit, seed=seed).debates_per_s
    normal, high = (
        simulation.run(
            engine,
            simulation.poisson(load, share * most * gpus, each * max(gpus, 10), seed),
            replicas=gpus,
            hit=hit,
        )
        for share in (NORMAL, HIGH)
    )
    return (
        engine.name,
        gpus,
        topology,
        answered,
        hit,
        load.calls,
        load.written,
        load.computed(hit),
        most,
        normal.quantile(0.5),
        normal.quantile(0.95),
        high.quantile(0.95),
        normal.busy,
        normal.batch,
        NORMAL * most * gpus * load.calls * turn_s,
    )


def plot(folder: Path, engine: Rates, table: Sequence[Row]) -> str:
    """Draw debates a second on one GPU by topology, and return the file's name."""
    name = f"capacity-{'here' if engine.ours else 'h100'}.svg"
    found = {(row[2], row[3], row[4]): row[8] for row in table if row[:2] == (engine.name, 1)}
    series = {
        f"cache hit {hit:.0%}" + (f", gate answers {answered:.0%}" if answered else ""): [
            found[topology, answered, hit] for topology in TOPOLOGIES
        ]
        for answered, hit in CASES
    }
    charts.bars(folder / name, f"Debates a second at most, {engine.name}", TOPOLOGIES, series, "debates/s")
    return name


def coordinator_s(file: Path = report.RESULTS / "coordinator.json") -> float:
    """Return the CPU seconds that the chorus itself takes for a turn, as measured."""
    figures = {entry["figure"]: entry["median"] for entry in json.loads(file.read_text("utf-8"))["rows"]}
    whole, engine = figures["CPU µs a turn, scripted engine included"], figures["of which the scripted engine"]
    return float(whole - engine) / 1e6


def told(engine: Rates) -> str:
    """Say in words what rates are."""
    fit = "" if engine.error is None else f"; the fit is off by {engine.error:.1%} (root mean square)"
    return (
        f"{engine.name}: {1e6 * engine.prompt_s:.3g} µs a computed prompt token, {1e3 * engine.step_s:.3g} ms a step and "
        f"{1e6 * engine.token_s:.3g} µs a sequence in it, {engine.batch} sequences, {engine.tokens} tokens a turn; "
        f"{engine.source}{fit}"
    )


def held_out() -> str:
    """Say how the simulation does on runs that its rates were not fitted to."""
    ratios = sorted(foretold / cell.wall_s for cell, foretold in check.unfitted())
    return (
        f"{len(ratios)} runs of serving.json that were not fitted (sparse graphs, loads larger than a batch): predicted "
        f"over measured {ratios[0]:.2f} to {ratios[-1]:.2f}, median {statistics.median(ratios):.2f}"
    )


def simulated(options: argparse.Namespace, encode: Encode) -> Path:
    """Simulate, and write `capacity.json`, `.md` and the plots."""
    engines = [rates.measured(), *rates.published()]
    table = []
    for found in rows(engines, options.gpus, encode, coordinator_s(), options.seed):
        table.append(found)
        print(*found[:5], f"{found[8]:.3g} debates/s a GPU", flush=True)
    return report.write(
        "capacity",
        "Capacity on paper: five seats, three rounds, simulated",
        "python -m evals.bench.capacity",
        COLUMNS,
        table,
        seed=options.seed,
        notes=[
            "simulated, not measured; `python -m evals.bench.capacity --check` holds the simulation, with rates that it "
            "fits a moment before, against a real server (capacity_check.md); the published rates were never checked",
            *map(told, engines),
            held_out(),
            "each debate stays on the replica that had the fewest when it came; `cache hit` is the share found of those "
            "prompt tokens that some earlier prompt on that engine began with",
            "left out: network, failures, early stop, attention that grows with the context, and the time of the chorus "
            "itself, of which the last column says how many cores it takes (see coordinator.md)",
            "latencies leave out the first and the last fifth of the debates",
        ],
        data={"rates": [told(engine) for engine in engines]},
        plots=[plot(options.folder, engine, table) for engine in engines],
        folder=options.folder,
    )


def checked(options: argparse.Namespace, encode: Encode) -> Path:
    """Hold the load for real, and write `capacity_check.json` and `.md`."""
    table, here, data = check.check(encode, options.debates, options.load, options.seed)
    return report.write(
        "capacity_check",
        f"The simulation against a real vLLM server: {options.debates} debates, {options.load:.0%} of what it could hold",
        "python -m evals.bench.capacity",
        check.COLUMNS,
        table,
        seed=options.seed,
        notes=[
            told(here),
            "the prediction uses these rates and the moments of arrival, and nothing of the load that it predicts",
            "five seats, three rounds, the complete graph, from an empty prefix cache",
        ],
        data=data,
        folder=options.folder,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate or check, write the results, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=_numbers, default=GPUS, help="how many, besides one  [10,100,1000]")
    parser.add_argument("--check", action="store_true", help="hold a load on a real vLLM server and compare")
    parser.add_argument("--debates", type=int, default=16, help="of the check  [16]")
    parser.add_argument("--load", type=float, default=NORMAL, help="of the check, as a share of the most  [0.7]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=report.RESULTS, help="where the results go  [evals/results]")
    options = parser.parse_args(arguments)
    encode = encoder(check.MODEL)
    print((checked if options.check else simulated)(options, encode).read_text("utf-8"))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


if __name__ == "__main__":
    main()
