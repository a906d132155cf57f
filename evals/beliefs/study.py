"""The whole study: problems, interviews, scores with intervals, report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chorus.batch import Advance
from chorus.engines.base import Engine
from chorus.engines.registry import open_engine
from evals import logbook, report
from evals.beliefs import interview
from evals.beliefs.interview import SYSTEMS, WHOLE
from evals.beliefs.problems import ARMS, Problem, make
from evals.beliefs.scores import SCORES, Belief, gather, interval
from evals.bench import charts
from evals.logbook import Logbook

NOTES = (
    "Distances are between probabilities. A reaction is the update in log odds over a Bayesian's: 1 is as much, below 1 "
    "under-, above 1 over-reaction, 0 none. What grounds add is the reaction to voices that give their reasons less that to "
    "voices who claim the same without any.",
    "Stated beliefs of a system are the mean over its seats; options are read voice by voice before any talk.",
)


async def hold(
    engine: Engine,
    problems: Sequence[Problem],
    systems: Mapping[str, Mapping[str, Any]] = SYSTEMS,
    *,
    concurrency: int = 4,
    log: Logbook[Belief] | None = None,
) -> list[Belief]:
    """Interview every system on every problem in every arm. What the logbook holds already is not asked again."""
    beliefs: list[Belief] = []
    for name, settings in systems.items():
        beliefs += await interview.state(engine, name, settings, problems, concurrency=concurrency, log=log)
        voices = interview.cast(settings)
        beliefs += await interview.read_options(engine, name, voices, problems, concurrency=concurrency, log=log)
    return beliefs


async def study(
    spec: str,
    *,
    problems: int,
    max_tokens: int,
    concurrency: int,
    seed: int,
    folder: Path,
    advance: Advance = lambda done, total, newest: None,
) -> Path:
    """Hold the study, from where an earlier run of it ended, and write its report.

    Raises:
        ChorusError: the engine can't be opened, or the folder holds the beginning of another study.
    """
    asked = make(problems, seed)
    systems = {name: {**settings, "max_tokens": max_tokens, "seed": seed} for name, settings in SYSTEMS.items()}
    made_with = {"engine": spec, "problems": problems, "systems": systems, "seed": seed}
    pieces = problems * len(ARMS) * sum(1 + len(interview.cast(settings)) for settings in systems.values())
    command = f"chorus eval beliefs --engine {spec} --problems {problems} --max-tokens {max_tokens}"
    engine = await open_engine(spec)
    try:
        with logbook.opened(folder / "beliefs.part", Belief, made_with, pieces=pieces, advance=advance) as log:
            beliefs = await hold(engine, asked, systems, concurrency=concurrency, log=log)
            return write(asked, beliefs, folder, command=command, seed=seed)
    finally:
        await engine.aclose()


def write(problems: Sequence[Problem], beliefs: Sequence[Belief], folder: Path, *, command: str, seed: int) -> Path:
    """Write `beliefs.json` and `beliefs.md`, and return the table's path."""
    plot = folder / "beliefs.svg"
    _draw(plot, problems, beliefs, seed)
    return report.write(
        "beliefs",
        "Beliefs before and after evidence",
        command,
        ["system", "voice", "reading", "unparsed", "outside [0, 1]", *(f"{score} [95%]" for score in SCORES)],
        [_row(problems, part, seed) for part in parts(beliefs)],
        seed=seed,
        notes=[f"{len(problems)} problems in five arms each.", *NOTES],
        plots=[plot.name],
        data={
            "problems": [{**one.model_dump(), "posterior": one.posterior} for one in problems],
            "beliefs": [one.model_dump() for one in beliefs],
        },
        folder=folder,
    )


def _draw(path: Path, problems: Sequence[Problem], beliefs: Sequence[Belief], seed: int) -> None:
    """Draw the reactions of every system as a whole; a Bayesian's are 1, 1 and 0."""
    wholes = [part for part in parts(beliefs) if part[0].voice == WHOLE]
    held = [gather(problems, part) for part in wholes]
    series, ranges = {}, {}
    for name in ("reaction to evidence", "reaction to grounded voices", "reaction to mere pressure"):
        values = [SCORES[name](one) for one in held]
        series[name] = [math.nan if value is None else value for value in values]
        ranges[name] = [interval(one, SCORES[name], seed=seed) for one in held]
    systems = [part[0].system for part in wholes]
    charts.bars(path, "What moves a belief", systems, series, "update over a Bayesian's", ranges=ranges, mark=1.0)


def parts(beliefs: Sequence[Belief]) -> list[list[Belief]]:
    """Return the beliefs of each system as a whole, then of each voice, apart by the way they were read."""
    found: dict[tuple[str, str, str], list[Belief]] = {}
    for one in beliefs:
        found.setdefault((one.system, one.voice, one.reading), []).append(one)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], key[2], key[1] != WHOLE, key[1]))]


def _row(problems: Sequence[Problem], part: Sequence[Belief], seed: int) -> list[Any]:
    held, first = gather(problems, part), part[0]
    faults = [sum(one.fault == fault for one in part) for fault in ("unparsed", "outside")]
    if first.reading == "options":
        faults = [sum(one.p is None for one in part), 0]
    cells = []
    for score in SCORES.values():
        value, found = score(held), interval(held, score, seed=seed)
        cells.append("–" if value is None else f"{value:.2f}" + (f" [{found[0]:.2f}, {found[1]:.2f}]" if found else ""))
    return [first.system, first.voice, first.reading, *faults, *cells]
