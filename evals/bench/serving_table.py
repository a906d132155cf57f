"""The tables, the verdicts and the plot that `serving` makes of its measurements."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.bench import charts
from evals.bench.ways import BATCH, CONCURRENT, EVEN, LIMIT, OURS, SERIAL, UNEVEN, Cell, Part

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

Row = tuple[Any, ...]
Group = tuple[Part, str, int]
"""Part, way, debates at once: what repeats are taken together."""


def rows(cells: Sequence[Cell]) -> list[Row]:
    """Return one line for each way and load: medians over the repeats, ratios taken repeat by repeat."""
    ways = [way.name for way in (*EVEN, *UNEVEN)]
    ways[ways.index(OURS) + 1 : ways.index(OURS) + 1] = [LIMIT, BATCH]
    groups = grouped(cells)
    order = sorted(groups, key=lambda group: (group[0], group[2], ways.index(group[1])))
    return [_row(group, groups[group], groups) for group in order]


def grouped(cells: Sequence[Cell]) -> dict[Group, list[Cell]]:
    """Return the repeats of each measurement."""
    groups: dict[Group, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.part, cell.way, cell.debates), []).append(cell)
    return groups


def ratios(ours: Sequence[Cell], others: Sequence[Cell], of: Callable[[Cell], float]) -> list[float]:
    """Return how many times as much of something others took, side by side: one ratio for each repeat of both."""
    by_repeat = {cell.repeat: cell for cell in others}
    return [of(by_repeat[cell.repeat]) / max(of(cell), 1e-9) for cell in ours if cell.repeat in by_repeat]


def _row(group: Group, cells: Sequence[Cell], groups: Mapping[Group, Sequence[Cell]]) -> Row:
    part, way, debates = group
    walls = [cell.wall_s for cell in cells]
    middle = sorted(cells, key=lambda cell: cell.wall_s)[len(cells) // 2]
    firsts = (_median(cells, lambda cell: cell.first_token_s), _median(cells, lambda cell: cell.p50_s))
    tokens = (middle.prompt_tokens, middle.cached_tokens, middle.computed_tokens, middle.completion_tokens)
    against = (groups.get((part, base, debates), ()) for base in (SERIAL, CONCURRENT))
    return (
        part,
        way,
        debates,
        statistics.median(walls),
        f"{min(walls):.1f}–{max(walls):.1f}",
        *firsts,
        _median(cells, lambda cell: cell.p95_s),
        *tokens,
        middle.calls,
        *(_middle(ratios(cells, others, lambda cell: cell.wall_s)) for others in against),
    )


def _median(cells: Sequence[Cell], of: Callable[[Cell], float | None]) -> float | str:
    return _middle([value for cell in cells if (value := of(cell)) is not None])


def _middle(values: Sequence[float]) -> float | str:
    return statistics.median(values) if values else ""


# ---- aims ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Aim:
    """What one debate of ours is to reach against another way: so many times as fast, or as few tokens."""

    words: str
    base: str
    bound: float
    of: Callable[[Cell], float]


AIMS = (
    Aim("at least 3 times as fast as serial, persona first", SERIAL, 3.0, lambda cell: cell.wall_s),
    Aim("at least 1.6 times as fast as concurrent, persona first", CONCURRENT, 1.6, lambda cell: cell.wall_s),
    Aim("at least 0.95 of the speed of the same calls replayed", LIMIT, 0.95, lambda cell: cell.wall_s),
    Aim(
        "at most 1/3 of the computed prompt tokens of concurrent, persona first",
        CONCURRENT,
        3.0,
        lambda cell: cell.computed_tokens,
    ),
)


def verdicts(cells: Sequence[Cell]) -> list[str]:
    """Say of each aim whether `ours, dataflow` met it at one debate, with the ratio of every repeat."""
    groups = grouped(cells)
    ours = groups.get(("even", OURS, 1), [])
    told = []
    for aim in AIMS:
        found = ratios(ours, groups.get(("even", aim.base, 1), []), aim.of)
        if found:
            middle = statistics.median(found)
            each = ", ".join(f"{value:.2f}" for value in found)
            met = "met" if middle >= aim.bound else "MISSED"
            told.append(f"aim, one debate: {aim.words}: {met} (ratio {middle:.2f}; repeats {each})")
    return told


def gains(cells: Sequence[Cell]) -> list[str]:
    """Say on each graph how much faster a dataflow was than the same debate with a barrier, lengths uneven."""
    groups = grouped(cells)
    told = []
    for way in UNEVEN:
        spec = way.topology
        found = ratios(
            groups.get(("uneven", f"dataflow, {spec}", 1), []),
            groups.get(("uneven", f"barrier, {spec}", 1), []),
            lambda cell: cell.wall_s,
        )
        if way.barrier and found:
            each = ", ".join(f"{value:.2f}" for value in found)
            told.append(f"{spec} {statistics.median(found):.2f} ({each})")
    return ["barrier / dataflow, uneven lengths, wall: " + "; ".join(told)] if told else []


# ---- plot ------------------------------------------------------------------------------------------------------------


def plot(path: Path, cells: Sequence[Cell]) -> None:
    """Draw the wall time of each way as a share of the serial one, load by load."""
    groups = grouped(cells)
    loads = sorted({debates for part, _, debates in groups if part == "even"})

    def share(way: str, load: int) -> float:
        cells = (groups.get(("even", way, load), ()), groups.get(("even", SERIAL, load), ()))
        found = ratios(cells[1], cells[0], lambda cell: cell.wall_s)
        return statistics.median(found) if found else float("nan")

    names = [way.name for way in EVEN]
    names.insert(names.index(OURS) + 1, LIMIT)
    charts.bars(
        path,
        "The same debate, held in several ways: wall time over that of serial calls with the persona first",
        [f"{load} at once" for load in loads],
        {name: [share(name, load) for load in loads] for name in names},
        "share of the serial wall time (less is better)",
    )
