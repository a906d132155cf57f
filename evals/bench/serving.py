"""The same debate held in several ways on a vLLM server. Run `python -m evals.bench.serving` where vLLM is installed.

Five seats, three rounds, every turn of a set length: one call after another with the persona first, as most debate
programs do it; all at once with the persona first; and ours, which shares the prefix, with and without waiting for
whole rounds, on sparse graphs, and ending early. Then the engine's limit: the very calls of our debate, replayed by a bare
HTTP client in the same order of dependence, and all at once. A second part gives the turns lengths that differ, which is
where a dataflow can win. The prefix cache is emptied between measurements, and their order is drawn anew each repeat.

Results are written as they come (`evals/results/serving.json`), and a run that was ended goes on where it stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import math
import pstats
import random
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chorus.chorus import Chorus
from chorus.engines.openai_http import open_openai
from chorus.types import Answer, Usage
from evals import report
from evals.bench import charts
from evals.bench.driving import Agreeing, Barrier, Call, Noting, Paced, lengths, replay
from evals.bench.served import Served, serve

CAST = "decomposer,estimator,formalist,skeptic,tester"
SEATS = CAST.split(",")
ROUNDS = 3
SPREAD = 0.5
"""Coefficient of variation of the lengths in the second part."""

LIMIT, BATCH = "engine limit: same calls, same order", "engine limit: all calls at once"
SERIAL, CONCURRENT, DATAFLOW = "serial, persona first", "concurrent, persona first", "ours, dataflow"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of holding the debate."""

    name: str
    topology: str = "complete"
    layout: str = "shared"
    concurrency: int = 64
    barrier: bool = False
    decision: str = "borda"
    """Ranked rules hear everybody, and ask for no ballot where all agree: nothing ends early."""


WAYS = (
    Way(SERIAL, layout="system", concurrency=1),
    Way(CONCURRENT, layout="system"),
    Way("ours, barrier", barrier=True),
    Way(DATAFLOW),
    Way("ours, sparse: regular:d=2", topology="regular:d=2"),
    Way("ours, sparse: ring", topology="ring"),
    Way("ours, early stop", decision="plurality"),
)

TOPOLOGIES = ("complete", "regular:d=2", "layers:2,2,1", "ring")
UNEVEN = (
    *(Way(f"barrier, {spec}", topology=spec, barrier=True) for spec in TOPOLOGIES),
    *(Way(f"dataflow, {spec}", topology=spec) for spec in TOPOLOGIES),
    Way("dataflow, complete, early stop", decision="plurality"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement."""

    part: str
    """`even` or `uneven` lengths."""
    way: str
    debates: int
    repeat: int
    wall_s: float
    first_token_s: float = math.nan
    """From the start of a debate to its first token, median over the debates."""
    p50_s: float = math.nan
    p95_s: float = math.nan
    """Of the turns' latency, from the call to its end."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Names the measurement."""
        return self.part, self.way, self.debates, self.repeat

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that were not in the prefix cache."""
        return self.prompt_tokens - self.cached_tokens


class Bench:
    """Measures on one server, and keeps what was measured."""

    def __init__(self, server: Served, tokens: int, seed: int, done: Iterable[Cell] = ()) -> None:
        self.cells = {cell.key: cell for cell in done}
        self._server = server
        self._tokens = tokens
        self._seed = seed

    def hold(self, part: str, ways: Sequence[Way], debates: int, repeat: int) -> None:
        """Measure each way once, in an order drawn anew, with the engine's limit in between."""
        order = list(ways)
        random.Random(f"{self._seed}/{part}/{debates}/{repeat}").shuffle(order)
        for way in order:
            wanted = [way.name, *((LIMIT, BATCH) if way.name == DATAFLOW else ())]
            if any((part, name, debates, repeat) not in self.cells for name in wanted):
                for cell in asyncio.run(self._hold(part, way, debates, repeat)):
                    self.cells[cell.key] = cell
                    print(
                        f"{part:7}{cell.way:40}{debates:3} at once  {cell.wall_s:7.2f} s  {cell.computed_tokens:6} computed"
                    )

    async def _hold(self, part: str, way: Way, debates: int, repeat: int) -> list[Cell]:
        self._server.reset()
        wall, answers, calls = await self._debates(part, way, debates)
        cells = [_cell(part, way.name, debates, repeat, wall, answers, calls)]
        if way.name == DATAFLOW:
            heard = {turn.id: turn.heard for answer in answers for turn in answer.turns}
            for name, waits in ((LIMIT, heard), (BATCH, None)):
                self._server.reset()
                before = self._server.counters()
                wall = await replay(self._server.url, self._server.model, calls, waits)
                counted = {key: int(value - before[key]) for key, value in self._server.counters().items()}
                used = {key: counted[key] for key in ("prompt_tokens", "cached_tokens", "completion_tokens", "calls")}
                cells.append(Cell(part, name, debates, repeat, wall, **used))
        return cells

    async def _debates(self, part: str, way: Way, debates: int) -> tuple[float, list[Answer], list[Call]]:
        address = f"{self._server.url}#{self._server.model}"
        engine = await open_openai(address, extra_body={"ignore_eos": True}, max_concurrency=1024, timeout_s=3600.0)
        turns = [f"{number}.{seat}" for number in range(1, ROUNDS + 1) for seat in SEATS]
        spread = SPREAD if part == "uneven" else 0.0
        noting = Noting(Paced(engine, lengths(turns, self._tokens, spread=spread, seed=self._seed)))
        speaking = Agreeing(Barrier(noting, len(SEATS)) if way.barrier else noting)
        chorus = Chorus(
            speaking,
            CAST,
            topology=way.topology,
            rounds=ROUNDS,
            decision=way.decision,
            layout=way.layout,
            detail="full",
            concurrency=way.concurrency,
            max_tokens=3 * self._tokens,
        )
        try:
            before = time.perf_counter()
            answers = await asyncio.gather(*(chorus.aask(f"What is {7 + n} * {8 + 3 * n}?") for n in range(debates)))
            return time.perf_counter() - before, list(answers), noting.calls
        finally:
            await engine.aclose()

    def profile(self) -> list[tuple[str, float]]:
        """Return where the time of one debate goes in this process, in seconds by whose code it is."""
        self._server.reset()
        profiler = cProfile.Profile()
        way = next(way for way in WAYS if way.name == DATAFLOW)
        profiler.enable()
        asyncio.run(self._debates("even", way, 1))
        profiler.disable()
        shares: dict[str, float] = dict.fromkeys(OWNERS.values(), 0.0)
        for (file, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
            owner = next((owner for mark, owner in OWNERS.items() if mark in file or mark in name), OTHER)
            shares[owner] = shares.get(owner, 0.0) + own
        return sorted(shares.items(), key=lambda item: -item[1])


OTHER = "Python's own libraries (asyncio, json, ssl …)"
OWNERS = {
    "select.epoll": "waiting for the engine",
    "chorus/debate/grad": "ours: finding and comparing answers",
    "sympy": "ours: finding and comparing answers",
    "math_verify": "ours: finding and comparing answers",
    "chorus/debate": "ours: scheduling, prompts, decision",
    "chorus/record": "ours: scheduling, prompts, decision",
    "chorus/types": "ours: scheduling, prompts, decision",
    "chorus/chorus": "ours: scheduling, prompts, decision",
    "networkx": "ours: scheduling, prompts, decision",
    "chorus/engines": "ours: the engine's client",
    "openai": "the SDK and HTTP client",
    "httpx": "the SDK and HTTP client",
    "httpcore": "the SDK and HTTP client",
    "h11": "the SDK and HTTP client",
    "anyio": "the SDK and HTTP client",
    "pydantic": "pydantic",
}
"""Part of a file's or function's name -> whose time it is; the first that fits."""


def _cell(
    part: str, way: str, debates: int, repeat: int, wall: float, answers: Sequence[Answer], calls: Sequence[Call]
) -> Cell:
    usage = sum((answer.usage for answer in answers), Usage())
    latencies = sorted(call.ended - call.began for call in calls)
    firsts: dict[str, float] = {}
    began = min(call.began for call in calls)
    for call in calls:
        firsts[call.request.debate] = min(firsts.get(call.request.debate, math.inf), call.first - began)
    return Cell(
        part,
        way,
        debates,
        repeat,
        wall,
        statistics.median(firsts.values()),
        statistics.median(latencies),
        latencies[min(len(latencies) - 1, math.ceil(0.95 * len(latencies)) - 1)],
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.completion_tokens,
        usage.calls,
    )


# ---- the report ------------------------------------------------------------------------------------------------------

COLUMNS = (
    "lengths",
    "way",
    "debates at once",
    "wall s",
    "min–max",
    "first token s",
    "turn p50 s",
    "turn p95 s",
    "prompt tokens",
    "cached",
    "computed",
    "written",
    "calls",
    "serial / this",
    "concurrent / this",
)


def rows(cells: Sequence[Cell]) -> list[tuple[Any, ...]]:
    """Return one line for each way and load: medians over the repeats, ratios taken repeat by repeat."""
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.part, cell.way, cell.debates), []).append(cell)
    by_key = {cell.key: cell for cell in cells}
    order = [way.name for way in (*WAYS, *UNEVEN)]
    order[4:4] = [LIMIT, BATCH]
    made = []
    for (part, way, debates), group in sorted(groups.items(), key=lambda g: (g[0][0], g[0][2], order.index(g[0][1]))):
        walls = [cell.wall_s for cell in group]
        middle = sorted(group, key=lambda cell: cell.wall_s)[len(group) // 2]
        made.append(
            (
                part,
                way,
                debates,
                statistics.median(walls),
                f"{min(walls):.1f}–{max(walls):.1f}",
                *("" if math.isnan(value) else value for value in (middle.first_token_s, middle.p50_s, middle.p95_s)),
                middle.prompt_tokens,
                middle.cached_tokens,
                middle.computed_tokens,
                middle.completion_tokens,
                middle.calls,
                *(_ratio(group, by_key, base) for base in (SERIAL, CONCURRENT)),
            )
        )
    return made


def _ratio(group: Sequence[Cell], by_key: Mapping[tuple[str, str, int, int], Cell], base: str) -> float | str:
    """Return how many times longer another way took, the median over repeats in which both were measured."""
    pairs = [(by_key.get((one.part, base, one.debates, one.repeat)), one) for one in group]
    ratios = [other.wall_s / one.wall_s for other, one in pairs if other]
    return statistics.median(ratios) if ratios else ""


def aims(cells: Sequence[Cell]) -> list[str]:
    """Say of each aim whether it was met, with the figures of every repeat."""
    by_key = {cell.key: cell for cell in cells}
    ours = [cell for cell in cells if cell.part == "even" and cell.way == DATAFLOW and cell.debates == 1]
    checks = (
        ("≥ 3 times faster than serial, persona first, at one debate", SERIAL, 3.0, _wall),
        ("≥ 1.6 times faster than concurrent, persona first, at one debate", CONCURRENT, 1.6, _wall),
        ("≥ 0.95 of the speed of the same calls replayed, at one debate", LIMIT, 0.95, _wall),
        ("computed prompt tokens ≤ 1/3 of concurrent, persona first, at one debate", CONCURRENT, 3.0, _computed),
    )
    told = []
    for words, base, bound, ratio in checks:
        others = [by_key.get(("even", base, 1, cell.repeat)) for cell in ours]
        ratios = [ratio(other, cell) for other, cell in zip(others, ours, strict=True) if other]
        if ratios:
            verdict = "met" if statistics.median(ratios) >= bound else "MISSED"
            each = ", ".join(f"{value:.2f}" for value in ratios)
            told.append(f"aim: {words}: {verdict} (ratio {statistics.median(ratios):.2f}; repeats {each})")
    return told


def _wall(other: Cell, ours: Cell) -> float:
    return other.wall_s / ours.wall_s


def _computed(other: Cell, ours: Cell) -> float:
    return other.computed_tokens / max(ours.computed_tokens, 1)


def write(bench: Bench, options: argparse.Namespace, profile: Sequence[tuple[str, float]] = ()) -> Path:
    """Write what has been measured so far."""
    cells = list(bench.cells.values())
    total = sum(seconds for _, seconds in profile)
    where = "; ".join(f"{owner} {seconds / total:.1%}" for owner, seconds in profile if seconds)
    path = report.write(
        "serving",
        f"A debate of {len(SEATS)} seats, {ROUNDS} rounds, {options.tokens} tokens a turn on a vLLM server, {options.model}",
        "python -m evals.bench.serving",
        COLUMNS,
        rows(cells),
        seed=options.seed,
        notes=[
            *aims(cells),
            "medians over the repeats; ratios are taken repeat by repeat, and above 1 this way is the faster",
            "every turn has a set length (`ignore_eos`), greedy; the prefix cache is emptied before each measurement",
            f"`uneven`: lengths from a lognormal distribution, mean {options.tokens}, coefficient of variation {SPREAD}",
            *(
                [f"where one debate's {total:.2f} s go in this process (cProfile, own time): {where}"]
                if profile
                else []
            ),
        ],
        data={
            "settings": _settings(options),
            "cells": [asdict(cell) for cell in cells],
            "profile_s": dict(profile),
        },
        folder=options.folder,
    )
    loads = sorted({cell.debates for cell in cells if cell.part == "even"})
    middles = {(row[1], row[2]): row[3] for row in rows(cells) if row[0] == "even"}
    charts.bars(
        options.folder / "serving.svg",
        "Wall time of the same debate, relative to serial calls with the persona first",
        [f"{load} at once" for load in loads],
        {
            way.name: [
                middles.get((way.name, load), math.nan) / middles.get((SERIAL, load), math.nan) for load in loads
            ]
            for way in WAYS
        },
        "share of the serial wall time",
    )
    return path


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {"model": options.model, "tokens": options.tokens, "seed": options.seed, "arguments": options.server_args}


def kept(options: argparse.Namespace) -> list[Cell]:
    """Return what an earlier run with the same settings has measured."""
    file = options.folder / "serving.json"
    if options.anew or not file.exists():
        return []
    data = json.loads(file.read_text())["data"]
    return [Cell(**cell) for cell in data["cells"]] if data.get("settings") == _settings(options) else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the results as they come, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--debates", default="1,4,16", help="loads to measure at  [1,4,16]")
    parser.add_argument("--repeats", type=int, default=3, help="of everything at one debate; at higher loads one  [3]")
    parser.add_argument("--tokens", type=int, default=64, help="length of a turn  [64]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--anew", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument("--quick", action="store_true", help="a few seconds of everything, to see that it runs")
    parser.add_argument("--folder", type=Path, default=report.RESULTS)
    parser.add_argument("--server-args", default="", help="arguments of vLLM's server, in one string")
    options = parser.parse_args(arguments)
    if options.quick:
        options.debates, options.repeats, options.tokens = "1", 1, 4
    with serve(options.model, options.server_args.split()) as server:
        bench = Bench(server, options.tokens, options.seed, kept(options))
        asyncio.run(bench._debates("even", WAYS[3], 1))  # warms the server up
        for load in map(int, options.debates.split(",")):
            for repeat in range(options.repeats if load == 1 else 1):
                bench.hold("even", WAYS, load, repeat)
                write(bench, options)
                if load == 1:
                    bench.hold("uneven", UNEVEN, 1, repeat)
                    write(bench, options)
        path = write(bench, options, bench.profile())
    print(path.read_text())


if __name__ == "__main__":
    main()
