"""Plots of results, as SVG files that a README can show."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLOURS = ("#8a8f98", "#b9bec7", "#c9a27e", "#b4552d", "#2f6db3", "#79b0ec", "#3f7d3a", "#8a4bab", "#9a6b00", "#0f7d7d")


def bars(
    path: Path,
    title: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    label: str,
    *,
    log: bool = False,
    ranges: Mapping[str, Sequence[tuple[float, float] | None]] | None = None,
    mark: float | None = None,
) -> None:
    """Draw groups of bars, one colour for each series.

    Args:
        path: of the SVG file.
        title: above the plot.
        groups: names of the groups, left to right; long ones are broken into lines.
        series: name -> one value a group; NaN leaves a gap.
        label: of the vertical axis, with its unit.
        log: whether that axis is logarithmic.
        ranges: name of a series -> (low, high) of each of its values, drawn as error bars in place of written values;
            where there is none, None.
        mark: a value to compare with, drawn as a line across.
    """
    with canvas(path, title) as (figure, axes):
        width = 0.84 / max(len(series), 1)
        if mark is not None:
            axes.axhline(mark, color="#555555", linewidth=0.8, linestyle="--")
        for number, (name, values) in enumerate(series.items()):
            places = [group + (number - (len(series) - 1) / 2) * width for group in range(len(groups))]
            drawn = axes.bar(places, values, width * 0.92, label=name, color=COLOURS[number % len(COLOURS)])
            if ranges is None:
                axes.bar_label(drawn, ["" if math.isnan(value) else f"{value:.2g}" for value in values], fontsize=7)
            else:
                _errors(axes, places, values, ranges[name])
        wide = max(int(96 / max(len(groups), 1)), 8)
        axes.set_xticks(range(len(groups)), [textwrap.fill(name, wide, break_long_words=False) for name in groups])
        axes.set_ylabel(label)
        if log:
            axes.set_yscale("log")
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)


def _errors(
    axes: Any, places: Sequence[float], values: Sequence[float], ranges: Sequence[tuple[float, float] | None]
) -> None:
    """Draw how far each value may be off."""
    for place, value, found in zip(places, values, ranges, strict=True):
        if found is not None and not math.isnan(value):
            off = [[max(value - found[0], 0.0)], [max(found[1] - value, 0.0)]]
            axes.errorbar([place], [value], yerr=off, fmt="none", ecolor="#333333", elinewidth=0.8, capsize=2)


def curves(
    path: Path,
    title: str,
    points: Sequence[Sequence[float]],
    lines: Mapping[str, Sequence[tuple[float, float]]],
    across: str,
    up: str,
) -> None:
    """Draw measured points with their errors, and the curves fitted to them, over a logarithmic scale.

    Args:
        path: of the SVG file.
        title: above the plot.
        points: (x, y, half the height of the error bar) each.
        lines: name -> (x, y) pairs.
        across: label of the horizontal axis, with its unit.
        up: label of the vertical axis, with its unit.
    """
    with canvas(path, title) as (figure, axes):
        x, y, errors = zip(*points, strict=True)
        axes.errorbar(x, y, yerr=errors, fmt="o", color=COLOURS[3], capsize=3, label="measured, 95%")
        for number, (name, line) in enumerate(lines.items()):
            axes.plot(*zip(*line, strict=True), color=COLOURS[4 + number % 6], label=name)
        axes.set_xscale("log")
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)


@contextmanager
def canvas(path: Path, title: str) -> Iterator[tuple[Any, Any]]:
    """Give a figure and its axes to draw on, in the one style that results are drawn in, and write it on leaving.

    Args:
        path: of the file; its ending says whether it is SVG or PNG.
        title: above the plot.
    """
    import matplotlib

    matplotlib.use("agg")
    # The same figures give the same file, and text stays text.
    matplotlib.rcParams.update({"svg.hashsalt": "chorus", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.4), layout="constrained")
    try:
        axes.set_title(title, loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        yield figure, axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    finally:
        pyplot.close(figure)
