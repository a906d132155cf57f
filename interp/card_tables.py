"""The tables of a card's report: what decides, what was found layer by layer and size by size, and all the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chorus.checkpoints.legibility import Card, Measured, Place
from interp import verdicts

SWEPT = ("reliability", "separation", "probe", "steering")
"""The figures of the table of layers; the picture has more."""
NOTHING = 1e-5
"""By magnitude: what is smaller is written as 0."""


def deciding(card: Card) -> list[str]:
    """Return the figures that decide, each with the best verdict that it leaves open."""
    lines = [
        "| persona | figure | value | 95 % interval | by chance | p | leaves open |",
        "|---|---|---|---|---|---|---|",
    ]
    left_out = verdicts.unasked(personas=len(card.personas), base=card.base is not None)
    for name, own in card.personas.items():
        for bar in verdicts.BARS:
            figure, left = own.figures.get(bar.figure), verdicts.cleared(bar, own.figures, left_out)
            told = row(name, bar.figure, figure) if figure else f"| {name} | {bar.figure} | - | - | - | - |"
            lines.append(f"{told} {left} |")
    return lines


def by_layer(card: Card, folder: str) -> list[str]:
    """Return each persona's sweep, as a table and a picture."""
    config = card.config
    told = (
        "Each cell is a value, its 95 % interval, and the middle 95 % of what chance gives. The layer of the vector, bold, "
        f"is the one of greatest separation on {config['select']} questions of the select split; probes were fitted and "
        "tested later, on the test split. "
    )
    told += (
        f"Steering was tried at the chosen layer on {config['test']} questions beside {config['randoms']} random "
        f"directions, at the others on {config['voices']} beside {config['elsewhere']}."
        if config.get("elsewhere")
        else "Steering was tried at the chosen layer alone; with `--depth full` it is at all of them."
    )
    lines = [told, ""]
    for name, places in card.layers.items():
        lines += [f"### {name}, by layer", "", f"![{name}, layer by layer]({folder}/{name}.layers.svg)", ""]
        lines += grid(places, "layer", lambda place: str(place.at), SWEPT)
    return lines


def grid(places: Sequence[Place], what: str, at: Callable[[Place], str], names: Sequence[str]) -> list[str]:
    """Return figures place by place as a table, that of the chosen place in bold."""
    shown = [name for name in names if any(name in place.figures for place in places)]
    lines = [f"| {what} | {' | '.join(shown)} |", "|---|" + "---|" * len(shown)]
    for place in places:
        cells = (at(place), *(_cell(place.figures.get(name)) for name in shown))
        lines.append("| " + " | ".join(f"**{cell}**" if place.chosen else cell for cell in cells) + " |")
    return [*lines, ""]


def _cell(own: Measured | None) -> str:
    if own is None:
        return "-"
    between = f" [{_ends(own.interval)}]" if own.interval else ""
    chance = f", chance {_ends(own.null)}" if own.null else ""
    return f"{_number(own.value)}{between}{chance}"


def _ends(both: tuple[float, float]) -> str:
    return f"{_number(both[0])} to {_number(both[1])}"


def _number(value: float) -> str:
    """Return a number as it is read: what rounding errors left of 0 is 0."""
    return f"{value:.3g}" if abs(value) >= NOTHING else "0"


def row(name: str, figure: str, own: Measured) -> str:
    """Return a figure's row: whose, which, value, interval, what chance gives, p."""
    interval, null = (_ends(ends) if ends else "-" for ends in (own.interval, own.null))
    p = "-" if own.p is None else f"{own.p:.3g}"
    if figure == "probe":  # Its relabellings swap questions, though all rows of one wording would move together.
        p += ", for these wordings"
    return f"| {name} | {figure} | {_number(own.value)} | {interval} | {null} | {p} |"


def together(heading: str, figures: dict[str, Measured], nothing: str) -> list[str]:
    """Return a section of figures that belong to no single persona."""
    if not figures:
        return [heading, "", nothing, ""]
    head = ["| | figure | value | 95 % interval | by chance | p |", "|---|---|---|---|---|---|"]
    return [heading, "", *head, *(row("", name, own) for name, own in figures.items()), ""]


def between(own: Measured, style: str) -> str:
    """Return a figure's interval in brackets, with a space before it; nothing where it has none."""
    return f" ({own.interval[0]:{style}} to {own.interval[1]:{style}})" if own.interval else ""
