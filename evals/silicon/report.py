"""What the poll came to: a table of arms, the subgroups, and what such a poll can't be used for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chorus.types import Frozen
from evals import report
from evals.bench import charts
from evals.silicon.fidelity import MIN_CELL, SCORES, Pairs, interval, subgroups
from evals.silicon.survey import Asking, Survey

CANT = (
    "What such a poll can't be used for: to learn what people think (it repeats what its model was trained on, for "
    "questions and groups that were polled before); to put a number on a group, whose error may be several times that of "
    "the whole; to follow a change of opinion; to replace asking the people concerned; to speak for anybody in it.",
    "With party identification an arm is told most of the answer: logistic regression on party alone does about as "
    "well. The arm without it is the one that says whether backstories carry anything.",
    "The baselines are told other people's real answers, the personas are not.",
)


def write(
    survey: Survey,
    question: Asking,
    arms: Mapping[str, Pairs],
    replies: Sequence[Frozen],
    folder: Path,
    *,
    command: str,
    seed: int,
    name: str = "silicon",
    notes: Sequence[str] = (),
) -> Path:
    """Write `NAME.json` and `NAME.md`, and return the table's path. Each arm is a way of answering in people's place."""
    rows = [[arm, len(pairs.truth), *(_cell(pairs, score, seed) for score in SCORES)] for arm, pairs in arms.items()]
    errors = {arm: subgroups(pairs) for arm, pairs in arms.items()}
    first = next(iter(arms.values()))
    plot = folder / f"{name}.svg"
    drawn = ("agreement", "marginal error", "worst subgroup", "refusals")
    series = {score: [math.nan if (v := SCORES[score](one)) is None else v for one in arms.values()] for score in drawn}
    ranges = {score: [interval(one, SCORES[score], seed=seed) for one in arms.values()] for score in drawn}
    groups = [arm.removeprefix("personas ") for arm in arms]
    charts.bars(plot, question.wordings[0], groups, series, "share", ranges=ranges)
    return report.write(
        name,
        f"Personas in the place of people: {question.wordings[0]}",
        command,
        ["arm", "people", *(f"{score} [95%]" for score in SCORES)],
        rows,
        seed=seed,
        notes=[f"{survey.codebook.title}. Licence: {survey.codebook.licence}.", *notes, *_gaps(survey, first), *CANT],
        plots=[plot.name],
        data={
            "subgroups": errors,
            "options": question.options,
            "replies": [reply.model_dump(mode="json") for reply in replies],
        },
        folder=folder,
    )


def _cell(pairs: Pairs, score: str, seed: int) -> str:
    value = SCORES[score](pairs)
    if value is None:
        return "–"
    found = interval(pairs, SCORES[score], seed=seed)
    return f"{value:.2f}" + (f" [{found[0]:.2f}, {found[1]:.2f}]" if found else "")


def _gaps(survey: Survey, pairs: Pairs) -> list[str]:
    """Name the subgroups that have nobody, or too few people to be told."""
    counts: dict[str, int] = {}
    for trait in survey.codebook.trait:
        if trait.group:
            values: Sequence[Any] = pairs.groups[trait.column]
            for cell in trait.cells or sorted({value for value in values if value is not None}):
                counts[f"{trait.column}: {cell}"] = sum(value == cell for value in values)
    empty = [cell for cell, people in counts.items() if people == 0]
    few = [cell for cell, people in counts.items() if 0 < people < MIN_CELL]
    said = [f"Subgroups without anybody: {', '.join(empty)}."] if empty else []
    return said + ([f"Subgroups of fewer than {MIN_CELL} people, not told apart: {', '.join(few)}."] if few else [])
