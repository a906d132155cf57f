"""The pictures of a report: accuracy by task and against cost, risk against coverage, learning; style by `bench.charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals import resample
from evals.bench.charts import COLOURS, canvas
from evals.resample import Point
from evals.stats import Floats, Interval


def accuracies(path: Path, title: str, tasks: Sequence[str], systems: Mapping[str, Sequence[Interval]]) -> None:
    """Draw each system's accuracy on each task as a dot with its 95% interval.

    Args:
        path: of the SVG or PNG file.
        title: above the plot.
        tasks: names, left to right.
        systems: name -> one interval a task.
    """
    with canvas(path, title) as (figure, axes):
        for number, (name, intervals) in enumerate(systems.items()):
            places = [task + 0.7 * ((number + 0.5) / len(systems) - 0.5) for task in range(len(tasks))]
            middles = [one.value for one in intervals]
            reach = [[one.value - one.low for one in intervals], [one.high - one.value for one in intervals]]
            axes.errorbar(places, middles, reach, fmt="o", ms=4, lw=1.2, color=_colour(number), label=name)
        for edge in range(1, len(tasks)):
            axes.axvline(edge - 0.5, color="#e6e6e6", lw=0.8, zorder=0)
        axes.set_xticks(range(len(tasks)), tasks, rotation=20 if len(tasks) > 4 else 0)
        axes.set_ylabel("accuracy, 95% interval")
        axes.set_ylim(-0.02, 1.02)
        _legend(figure)


def costs(path: Path, title: str, points: Sequence[Point], curves: Mapping[str, Sequence[Point]]) -> None:
    """Draw accuracy against computed tokens: systems as dots with intervals, resampled votes as lines, and the front.

    Args:
        path: of the SVG or PNG file.
        title: above the plot.
        points: of the systems that were run.
        curves: name -> points of votes that were taken again, which are said to be.
    """
    with canvas(path, title) as (figure, axes):
        best = resample.front([*points, *(one for curve in curves.values() for one in curve)])
        axes.step(
            [one.computed for one in best],
            [one.accuracy.value for one in best],
            where="post",
            color="#d9d9d9",
            lw=5,
            solid_capstyle="round",
            zorder=0,
            label="Pareto front",
        )
        for number, one in enumerate(points):
            reach = [[one.accuracy.value - one.accuracy.low], [one.accuracy.high - one.accuracy.value]]
            at = [one.computed], [one.accuracy.value]
            axes.errorbar(*at, reach, fmt="o", ms=6, lw=1.2, color=_colour(number), label=one.system)
        names = [one.system for one in points]
        for name, curve in curves.items():
            colour = _colour(names.index(name) if name in names else len(names))
            axes.plot(
                [one.computed for one in curve],
                [one.accuracy.value for one in curve],
                "--.",
                lw=1,
                ms=4,
                color=colour,
                label=f"{name}: votes of 1 … {curve[-1].calls:.0f} drafts (resampled)",
            )
        axes.set_xlabel("computed tokens a question")
        axes.set_ylabel("accuracy, mean over tasks")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="x", which="both", labelsize=8)
        _legend(figure)


def risks(path: Path, title: str, curves: Mapping[str, tuple[Floats, Floats]]) -> None:
    """Draw error rates against coverage: lower is better, and falling to the left says that a system knows.

    Args:
        path: of the SVG or PNG file.
        title: above the plot.
        curves: name -> coverages and error rates, see `knowing.risk_coverage`.
    """
    with canvas(path, title) as (figure, axes):
        for number, (name, (coverage, risk)) in enumerate(curves.items()):
            axes.plot(coverage, risk, lw=1.4, color=_colour(number), label=name)
        axes.set_xlabel("coverage: share of questions answered, surest first")
        axes.set_ylabel("error rate among them")
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.02, 1.02)
        _legend(figure)


def learning(path: Path, title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Draw accuracy on held-out questions against the tokens that training has written by then.

    Args:
        path: of the SVG or PNG file.
        title: above the plot.
        curves: name -> tokens and accuracies, in the order of training.
    """
    with canvas(path, title) as (figure, axes):
        for number, (name, measured) in enumerate(curves.items()):
            line = ("o-", "s--", "^:")[number // len(COLOURS) % 3]  # Where colours come again, lines tell them apart.
            axes.plot(*zip(*measured, strict=True), line, ms=4, lw=1.4, color=_colour(number), label=name)
        axes.set_xlabel("tokens written while reinforced")
        axes.set_ylabel("accuracy, greedy, on held-out questions")
        axes.set_ylim(-0.02, 1.02)
        _legend(figure)


def _colour(number: int) -> str:
    # The darker ones first: these are thin strokes.
    order = (4, 3, 6, 7, 9, 8, 0, 2, 5, 1)
    return COLOURS[order[number % len(order)]]


def _legend(figure: Any) -> None:
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=3)
