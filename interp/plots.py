"""An audit's pictures: what was measured of each persona, and what its vector causes layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chorus.checkpoints.legibility import Card, Measured
from interp import verdicts

CAUSED = ("steering", "ablation", "interchange", "patching")


def figures(card: Card, path: Path) -> None:
    """Draw each figure of each persona with its interval, over the band that chance gives."""
    names = list(card.personas)
    shown = [bar.figure for bar in verdicts.BARS if all(bar.figure in card.personas[name].figures for name in names)]
    picture, axes_in_row = panels(len(shown), (2.6 * len(shown), 1 + 0.5 * len(names)), sharey=True)
    for axes, figure in zip(axes_in_row, shown, strict=True):
        for place, name in enumerate(names):
            own = card.personas[name].figures[figure]
            if own.null:
                axes.barh(place, own.null[1] - own.null[0], left=own.null[0], height=0.6, color="0.85")
            if own.interval:
                axes.plot(own.interval, (place, place), color="tab:blue", linewidth=2)
            axes.plot(own.value, place, "o", color="tab:blue")
        axes.set_title(figure, fontsize=9)
        axes.axvline(0, color="0.6", linewidth=0.6)
        axes.tick_params(labelsize=7)
        axes.set_yticks(range(len(names)), names)
    picture.tight_layout()
    picture.savefig(path)


def layers(work: Path, persona: str, path: Path) -> None:
    """Draw a panel for each causal test: its value by layer with its interval, over the band of random directions.

    Args:
        work: the audit's folder, in which the other layers' figures lie beside those of the chosen one.
        persona: whose vector it is.
        path: of the picture.
    """

    def kept(step: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((work / f"{persona}.{step}.json").read_text("utf-8"))
        return found

    found = kept("layers") | {kept("vector")["hook"]: kept("steering") | kept("handles")}
    ordered = sorted((int(hook.split(".")[1]), own) for hook, own in found.items())
    places = [layer for layer, _ in ordered]
    picture, axes_in_row = panels(len(CAUSED), (3 * len(CAUSED), 2.8))
    for axes, name in zip(axes_in_row, CAUSED, strict=True):
        values = [Measured.model_validate(own[name]) for _, own in ordered]
        axes.fill_between(places, *zip(*(each.null for each in values if each.null), strict=True), color="0.85")
        axes.vlines(places, *zip(*(each.interval for each in values if each.interval), strict=True), color="tab:blue")
        axes.plot(places, [each.value for each in values], "o-", color="tab:blue", markersize=4)
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("layer", fontsize=8)
        axes.tick_params(labelsize=7)
    picture.suptitle(persona, fontsize=9)
    picture.tight_layout()
    picture.savefig(path)


def panels(count: int, size: tuple[float, float], **shared: Any) -> tuple[Any, Any]:
    """Return a picture with panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=size)
    FigureCanvasAgg(picture)
    return picture, picture.subplots(1, count, squeeze=False, **shared)[0]
