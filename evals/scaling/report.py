"""What the studies say, as a table for people, a JSON file for machines, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evals import report
from evals.bench import charts
from evals.scaling.points import Measured
from evals.scaling.study import Study, best

NONE = "no number"
COLUMNS = ("law", "curve", "shape [95%]", "asymptote [95%]", "BIC", "largest scale foretold [95%]", "observed")


def write(
    measured: Measured, studies: Sequence[Study], label: str, folder: Path, *, command: str, seed: int, name: str
) -> Path:
    """Write `NAME.json`, `NAME.md` and `NAME.svg`, and return the table's path.

    Args:
        measured: the points.
        studies: one a law.
        label: of the scale.
        folder: where the files go.
        command: what to run to get them again.
        seed: of starts and draws.
        name: of the files.
    """
    points = [[p.x, p.accuracy, 1.96 * p.error] for p in measured.points]
    span = np.geomspace(max(points[0][0], 1e-9), max(points[-1][0], 1e-9), 60)
    curves = {one.law.name: [(float(x), one.fit.at(float(x))) for x in span] for one in studies if one.fit}
    plot = f"{name}.svg"
    charts.curves(folder / plot, f"Accuracy against {label}", points, curves, label, "accuracy")
    return report.write(
        name,
        f"Accuracy against {label}",
        command,
        COLUMNS,
        [_row(one) for one in studies],
        seed=seed,
        notes=notes(measured, studies),
        data={"points": [[p.name, p.x, p.right, p.of] for p in measured.points], "fits": [_data(s) for s in studies]},
        plots=[plot],
        folder=folder,
    )


def notes(measured: Measured, studies: Sequence[Study]) -> list[str]:
    """Return what a reader must know."""
    points = measured.points
    said = [
        f"{len(points)} points of {points[0].of} to {points[-1].of} questions each, at scales "
        f"{', '.join(f'{p.x:.4g}' for p in points)}: accuracies {', '.join(f'{p.accuracy:.2f}' for p in points)}."
    ]
    said += [f"No number from the law {one.law.name}: {one.refused}." for one in studies if one.refused]
    said += [
        f"The law {one.law.name} was not tried on the largest scale: {one.unforetold}."
        for one in studies
        if one.fit and one.unforetold
    ]
    said += [
        f"The law {one.law.name} misses the largest scale, so it should not be drawn out beyond the points."
        for one in studies
        if one.foretold and not one.foretold.inside
    ]
    chosen = best(studies)
    if chosen:
        said.append(
            f"Of the laws that fit, {chosen.law.name} has the lower BIC; within 2 of each other they are level."
        )
    return said


def _row(one: Study) -> list[Any]:
    if one.fit is None:
        return [one.law.name, NONE, NONE, NONE, NONE, NONE, "-"]
    parameters = one.fit.parameters
    told = one.foretold
    return [
        one.law.name,
        ", ".join(f"{name} {value:.3g}" for name, value in parameters.items()),
        _with_interval(parameters[one.law.shape], one, one.law.shape),
        _with_interval(parameters["top"], one, "top"),
        f"{one.fit.bic:.1f}",
        f"{told.accuracy:.2f} [{told.interval[0]:.2f}, {told.interval[1]:.2f}]" if told else NONE,
        f"{told.point.accuracy:.2f}, {'inside' if told.inside else 'outside'}" if told else "-",
    ]


def _with_interval(value: float, one: Study, parameter: str) -> str:
    if one.intervals is None:
        return f"{value:.3g} (no interval: too many draws did not converge)"
    low, high = one.intervals[parameter]
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _data(one: Study) -> dict[str, Any]:
    return {
        "law": one.law.name,
        "parameters": one.fit.parameters if one.fit else None,
        "refused": one.refused,
        "intervals": one.intervals,
        "foretold": one.foretold.accuracy if one.foretold else None,
        "foretold_interval": one.foretold.interval if one.foretold else None,
    }
