"""The same debate held in several ways on a vLLM server. Run `python -m evals.bench.serving` where vLLM is installed.

Five seats, three rounds, every turn of a set length: one call after another with the persona first, as most debate
programs do it; all at once with the persona first; and ours, which shares the prefix, with and without waiting for
whole rounds, on sparse graphs, and ending early. Then the engine's limit: the very calls of our debate, replayed by a bare
HTTP client in the same order of dependence, and all at once. A second part gives the turns lengths that differ, which is
where a dataflow can win. The ways are in `ways.py`, how they are measured in `holding.py`.

It starts its own server, on a GPU where there is one, and takes about 25 minutes on two quiet cores. Results are written as
they come (`evals/results/serving.json`, `.md`, `.svg`); a run that was ended goes on where it stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chorus.chorus import versions
from evals import report
from evals.bench import prefix_order, serving_table, spans
from evals.bench.holding import Bench, Server
from evals.bench.prefix_order import encoder
from evals.bench.served import serve
from evals.bench.transcript_orders import by_round
from evals.bench.ways import EVEN, OURS, PARTS, ROUNDS, SEATS, SPREAD, Cell, Part

Profile = dict[str, Any]
"""`path_s` and `process_s`: seconds by whose they are, seen in two ways: see `spans`."""

OURS_WAY = next(way for way in EVEN if way.name == OURS)


def plan(loads: Sequence[int], repeats: int, parts: Sequence[Part] = tuple(PARTS)) -> Iterator[tuple[Part, int, int]]:
    """Yield what is measured, `(part, debates at once, repeat)`: everything once, then one debate again and again."""
    for load in loads:
        for part in parts:
            if part == "even" or load == 1:
                yield part, load, 0
    for repeat in range(1, repeats if 1 in loads else 0):
        for part in parts:
            yield part, 1, repeat


def profile(bench: Bench, encode: Callable[[list[dict[str, str]]], object]) -> Profile:
    """Return where the time of one debate goes: see `spans`."""
    held = asyncio.run(bench.hold("even", OURS_WAY, 1))
    return {
        "path_s": spans.along_the_path(held, spans.tokenizing(held, encode)),
        "process_s": spans.in_this_process(lambda: asyncio.run(bench.hold("even", OURS_WAY, 1))),
    }


# ---- files -----------------------------------------------------------------------------------------------------------


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return all that a measurement depends on: only those with the same settings may stand in one table."""
    return {
        "model": options.model,
        "tokens": options.tokens,
        "seed": options.seed,
        "engine_args": options.engine_args,
        "prompts_sha256": prompts_sha256(),
        "hardware": report.hardware(),
        "versions": versions(),
    }


@functools.cache
def prompts_sha256() -> str:
    """Return the hash of all that voices read in a debate, in both layouts: other words take other times."""
    digest = hashlib.sha256()
    for layout in ("shared", "system"):
        for prompt in prefix_order.prompts(prefix_order.debate("complete", 8, 0, layout), by_round):
            digest.update(prompt.sha256.encode())
    return digest.hexdigest()


def kept(options: argparse.Namespace) -> tuple[list[Cell], Profile]:
    """Return what an earlier run with the same settings has measured."""
    file = options.folder / "serving.json"
    if options.anew or not file.exists():
        return [], {}
    data = json.loads(file.read_text())["data"]
    if data.get("settings") != settings(options):
        print(f"{file} was measured with other settings: all is measured anew")
        return [], {}
    return [Cell(**cell) for cell in data["cells"]], data["profile"]


def write(options: argparse.Namespace, cells: Sequence[Cell], profiled: Profile) -> Path:
    """Write what has been measured so far, and return the table's path."""
    serving_table.plot(options.folder / "serving.svg", cells)
    return report.write(
        "serving",
        f"A debate of {len(SEATS)} seats, {ROUNDS} rounds, {options.tokens} tokens a turn on a vLLM server, {options.model}",
        options.command,
        serving_table.COLUMNS,
        serving_table.rows(cells),
        seed=options.seed,
        notes=[
            *serving_table.verdicts(cells),
            *serving_table.gains(cells),
            "medians over the repeats; ratios are taken repeat by repeat, and above 1 this way is the faster",
            "every turn has a set length (`ignore_eos`), greedy; the prefix cache is emptied before each measurement, so "
            "the cards of the cast are read once in each; tokens are the server's own counts",
            "the engine limit is not streamed and asks for no logprobs; ours is and does",
            *_drawn(options, cells),
            *_told(profiled),
        ],
        data={"settings": settings(options), "cells": [asdict(cell) for cell in cells], "profile": profiled},
        plots=["serving.svg"],
        folder=options.folder,
    )


def _drawn(options: argparse.Namespace, cells: Sequence[Cell]) -> list[str]:
    """Return how uneven lengths were drawn, where turns had such."""
    if all(cell.part == "even" for cell in cells):
        return []
    return [
        f"`uneven`: lengths drawn from a lognormal distribution, mean {options.tokens}, coefficient of variation "
        f"{SPREAD}, the same for every way"
    ]


def _told(profiled: Profile) -> list[str]:
    """Return the profile in words."""
    if not profiled:
        return []
    return [
        f"where one debate's time goes, along its longest path: {_shares(profiled['path_s'])}",
        f"where one debate's time goes in this process (cProfile, own time): {_shares(profiled['process_s'])}",
    ]


def _shares(seconds: Mapping[str, float]) -> str:
    total = sum(seconds.values())
    shown = sorted(((spent, owner) for owner, spent in seconds.items() if spent), reverse=True)
    return f"{total:.2f} s: " + "; ".join(f"{owner} {spent / total:.1%}" for spent, owner in shown)


# ---- the command -----------------------------------------------------------------------------------------------------


def main(
    arguments: Sequence[str] | None = None,
    start: Callable[[str, Sequence[str]], AbstractContextManager[Server]] = serve,
) -> None:
    """Measure, write the results as they come, and print the table. `start` runs the server."""
    options = parse(arguments)
    loads = [int(load) for load in options.debates.split(",")]
    with start(options.model, shlex.split(options.engine_args)) as server:
        done, profiled = kept(options)
        bench = Bench(server, options.tokens, options.seed, done)

        def keep() -> None:
            write(options, list(bench.cells.values()), profiled)

        asyncio.run(bench.hold("even", OURS_WAY, 1))  # warms the server up
        for part, load, repeat in plan(loads, options.repeats, options.parts):
            bench.measure(part, load, repeat, keep)
        profiled = profiled or profile(bench, encoder(options.model))
    print(write(options, list(bench.cells.values()), profiled).read_text())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="a name that `chorus models` knows, or a folder")
    parser.add_argument("--debates", default="1,4,16", help="loads to measure at  [1,4,16]")
    parser.add_argument("--repeats", type=int, default=3, help="of everything at one debate; at higher loads one  [3]")
    parser.add_argument("--tokens", type=int, default=32, help="mean length of a turn  [32]")
    parser.add_argument("--seed", type=int, default=0, help="of the lengths and of the order of the ways  [0]")
    parser.add_argument("--anew", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument(
        "--quick", action="store_true", help="one debate, once, 4 tokens a turn, all equally long: to see that it runs"
    )
    parser.add_argument("--folder", type=Path, default=report.RESULTS, help="where the results go  [evals/results]")
    parser.add_argument(
        "--engine-args", default="", help="arguments of vLLM's server, in one string; they win over ours"
    )
    options = parser.parse_args(arguments)
    options.parts = ("even",) if options.quick else tuple(PARTS)
    if options.quick:
        options.debates, options.repeats, options.tokens = "1", 1, 4
    given = ("model", "debates", "repeats", "tokens", "seed", "engine_args")
    changed = {name: value for name in given if (value := getattr(options, name)) != parser.get_default(name)}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in changed.items()]
    options.command = shlex.join(["python", "-m", "evals.bench.serving", *words])
    return options


if __name__ == "__main__":
    main()
