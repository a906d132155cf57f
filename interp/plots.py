"""An audit's pictures: what was measured of each persona, what is found layer by layer and size by size, and what moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chorus.checkpoints.legibility import Card, Measured, Place
from interp import verdicts
from interp.changes import SHIFT

SWEPT = ("reliability", "separation", "probe", "steering", "ablation", "interchange", "patching")
"""Figures that are drawn layer by layer, where more than the chosen layer has them."""
CARRIED = ("faithfulness", "mean faithfulness")
"""Those that are drawn size by size."""


def figures(card: Card, path: Path) -> None:
    """Draw each figure of each persona with its interval, over the band that chance gives."""
    names = list(card.personas)
    shown = [bar.figure for bar in verdicts.BARS if all(bar.figure in card.personas[name].figures for name in names)]
    picture, axes_in_row = panels(len(shown), (2.6 * len(shown), 1 + 0.5 * len(names)), sharey=True)
    for axes, figure in zip(axes_in_row, shown, strict=True):
        for place, name in enumerate(names):
            _bar(axes, place, card.personas[name].figures[figure])
        axes.set_title(figure, fontsize=9)
        axes.axvline(0, color="0.6", linewidth=0.6)
        axes.tick_params(labelsize=7)
        axes.set_yticks(range(len(names)), names)
    picture.tight_layout()
    picture.savefig(path)


def shifts(drift: Mapping[str, Measured], path: Path) -> bool:
    """Draw how far training moved the stream along each persona's vector, and return whether anything was asked of that."""
    shown = {name: own for name, own in drift.items() if name.startswith(SHIFT)}
    if not shown:
        return False
    picture, (axes,) = panels(1, (6, 1 + 0.4 * len(shown)))
    for place, own in enumerate(shown.values()):
        _bar(axes, place, own)
    axes.axvline(0, color="0.6", linewidth=0.6)
    axes.tick_params(labelsize=7)
    axes.set_yticks(range(len(shown)), shown)
    axes.set_xlabel("in units of the vector", fontsize=8)
    picture.tight_layout()
    picture.savefig(path)
    return True


def layers(places: Sequence[Place], persona: str, path: Path) -> None:
    """Draw a panel for each figure that several layers have, the chosen layer in red."""
    least = min(2, len(places))
    shown = [name for name in SWEPT if sum(name in place.figures for place in places) >= least]
    _along(places, shown, f"{persona}: red is the layer that was chosen", "layer", path)


def sizes(places: Sequence[Place], persona: str, path: Path) -> None:
    """Draw faithfulness under either ablation against how many edges are kept, the judged circuit's size in red."""
    shown = [name for name in CARRIED if any(name in place.figures for place in places)]
    title = f"{persona}: red is the size of the circuit that is judged"
    _along(places, shown, title, "edges kept", path, level=1, scale="log")


def _along(
    places: Sequence[Place],
    names: Sequence[str],
    title: str,
    below: str,
    path: Path,
    *,
    level: float = 0,
    scale: str = "linear",
) -> None:
    """Draw a panel for each figure: its values with their intervals, over the band that chance gives."""
    picture, axes_in_row = panels(len(names), (3 * len(names), 2.8))
    for axes, name in zip(axes_in_row, names, strict=True):
        there = [(place, place.figures[name]) for place in places if name in place.figures]
        band = [(place.at, *own.null) for place, own in there if own.null]
        if band:
            axes.fill_between(*zip(*band, strict=True), color="0.85")
        axes.plot([place.at for place, _ in there], [own.value for _, own in there], color="tab:blue", linewidth=1)
        for place, own in there:
            colour = "tab:red" if place.chosen else "tab:blue"
            axes.plot(place.at, own.value, "o", color=colour, markersize=4)
            if own.interval:
                axes.vlines(place.at, *own.interval, color=colour)
        axes.axhline(level, color="0.6", linewidth=0.6)
        axes.set_xscale(scale)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(below, fontsize=8)
        axes.tick_params(labelsize=7)
    picture.suptitle(title, fontsize=9)
    picture.tight_layout()
    picture.savefig(path)


def _bar(axes: Any, place: int, own: Measured) -> None:
    """Draw one figure at a height, with its interval, over the band that chance gives."""
    if own.null:
        axes.barh(place, own.null[1] - own.null[0], left=own.null[0], height=0.6, color="0.85")
    if own.interval:
        axes.plot(own.interval, (place, place), color="tab:blue", linewidth=2)
    axes.plot(own.value, place, "o", color="tab:blue")


def panels(count: int, size: tuple[float, float], **shared: Any) -> tuple[Any, Any]:
    """Return a picture with panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=size)
    FigureCanvasAgg(picture)
    return picture, picture.subplots(1, count, squeeze=False, **shared)[0]
