"""The table that comes of it, its plot, and who was fastest and leanest in words."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals import report
from evals.bench import charts
from evals.bench.peers.measure import SYSTEMS, Cell

COLUMNS = (
    "group",
    "system",
    "runs",
    "wall s a question",
    "min–max",
    "ours / this, wall",
    "calls a question",
    "prompt tokens a question",
    "computed a question (prompt and written)",
    "right",
    "failed",
)


def rows(cells: Sequence[Cell]) -> list[tuple[Any, ...]]:
    """Return one line a system: medians over the repeats; the ratio of walls is taken repeat by repeat."""
    made = []
    for system in SYSTEMS:
        mine = [cell for cell in cells if cell.system == system.name]
        if not mine:
            continue
        ours = {cell.repeat: cell for cell in cells if cell.system == _ours_in(system.group)}
        ratios = [ours[cell.repeat].wall_s / cell.wall_s for cell in mine if cell.wall_s and cell.repeat in ours]
        walls = [cell.wall_s for cell in mine if cell.wall_s]
        asked = mine[0].questions
        made.append(
            (
                system.group,
                system.name,
                system.real,
                statistics.median(walls) if walls else "failed",
                f"{min(walls):.2f}–{max(walls):.2f}" if walls else "",
                statistics.median(ratios) if ratios else "",
                statistics.median(cell.calls / asked for cell in mine),
                statistics.median(cell.prompt_tokens / asked for cell in mine),
                statistics.median(cell.computed for cell in mine),
                f"{sum(cell.correct for cell in mine)} of {asked * len(mine)}",
                sum(cell.failed for cell in mine),
            )
        )
    return made


def verdicts(cells: Sequence[Cell]) -> list[str]:
    """Say for each group who was fastest and who computed least, the chorus or not."""
    told = []
    for group in dict.fromkeys(system.group for system in SYSTEMS):
        lines = [row for row in rows(cells) if row[0] == group and isinstance(row[3], float) and not row[10]]
        if lines:
            fastest, leanest = min(lines, key=lambda row: row[3]), min(lines, key=lambda row: row[8])
            told.append(f"{group}: fastest is {fastest[1]}, fewest tokens are computed by {leanest[1]}")
    return told


def _ours_in(group: str) -> str:
    return next(system.name for system in SYSTEMS if system.group == group and system.real == "greek-chorus")


def write(cells: Sequence[Cell], options: argparse.Namespace) -> Path:
    """Write what has been measured so far."""
    problems = {cell.system: cell.problem for cell in cells if cell.problem}
    groups = list(dict.fromkeys(system.group for system in SYSTEMS))
    middles = {row[1]: row[3] for row in rows(cells)}
    charts.bars(
        options.folder / "peers.svg",
        "Seconds a question, same model and server",
        groups,
        {
            system.name: [
                middles[system.name]
                if group == system.group and isinstance(middles.get(system.name), float)
                else float("nan")
                for group in groups
            ]
            for system in SYSTEMS
            if system.name in middles
        },
        "median seconds",
    )
    return report.write(
        "peers",
        f"The chorus beside its peers on one vLLM server, {options.model}, at most {options.max_tokens} tokens a reply",
        "python -m evals.bench.peers",
        COLUMNS,
        rows(cells),
        seed=options.seed,
        notes=[
            *verdicts(cells),
            *(f"{name}: {problem}" for name, problem in problems.items()),
            "`pattern` rows are played by a small driver of ours: who is called when, and what each reads, is the program's",
            "mallm runs by its own Coordinator; its Scheduler loads two sentence-transformers models from a hub",
            "calls and tokens are the server's count; failed calls that a peer repeated are in them",
            f"{options.questions} one-digit sums and products, one after another; `right` by the chorus's own grading",
        ],
        data={"settings": settings(options), "cells": [asdict(cell) for cell in cells]},
        plots=["peers.svg"],
        folder=options.folder,
    )


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a measurement depends on: cells of other settings don't belong into one table."""
    names = ("model", "questions", "max_tokens", "seed", "server_args")
    return {name: getattr(options, name) for name in names}
