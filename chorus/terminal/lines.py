"""The lines that the live view and the closing transcript are made of.

Invariant: words from outside go through `clean` and are laid out as `Text`, never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from chorus.record.drawing.labels import percent
from chorus.terminal.stage import CellStatus, Stage
from chorus.terminal.words import clean, one_line, plan_line, stand
from chorus.types import Support, Turn

MARKS = {
    "waiting": ("·", "dim"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "dim"),
    "retrying": ("↻", "yellow"),
    "flipped": ("⟲", "yellow"),
    "note": ("·", "dim"),
}
"""A sign and its style for each way that a turn may stand, and for each sort of news."""


def fit(line: Text, width: int, pad: bool = False) -> Text:
    """Return the line cut to a width, in cells, with an ellipsis where it was cut; padded to it on request."""
    line = line.copy()
    line.no_wrap, line.overflow = True, "crop"
    line.truncate(max(0, width), overflow="ellipsis", pad=pad)
    return line


def wrapped(console: Console, text: str, width: int, style: str = "", *, dense: bool = True) -> list[Text]:
    """Return the text clean and wrapped, without its empty lines unless they are asked for."""
    lines = Text(clean(text).strip("\n"), style).wrap(console, max(1, width), overflow="fold")
    for line in lines:
        line.rstrip()
    return [line for line in lines if line.plain.strip() or not dense]


def ending(text: str, width: int) -> str:
    """Return the end of a line, at most `width` cells of it."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return f"…{text}" if width > 0 else ""


def header(console: Console, stage: Stage, limit: int) -> list[Text]:
    """Return the question, in at most `limit` lines, and the plan in one."""
    if stage.plan is None or stage.question is None:
        return []
    asked = wrapped(console, one_line(stage.question.text, limit * console.width), console.width, "bold")
    return [*asked[:limit], Text(plan_line(stage.plan), "dim")]


def support_lines(stage: Stage, support: Sequence[Support], width: int) -> list[Text]:
    """Return a line for each answer: the answer, a bar, its share, and the seats that hold it."""
    longest = max((cell_len(one_line(row.answer)) for row in support), default=0)
    bar_width = min(30, width // 4)
    lines = []
    for row in support:
        colour = stage.colour(row.answer)
        line = fit(Text(one_line(row.answer), f"bold {colour}"), min(longest, width // 3), pad=True)
        line.append(" ").append(_bar(row.share, bar_width), colour).append(f" {percent(row.share):>4} ", "bold")
        seats = one_line(", ".join(row.seats), 1000)
        lines.append(
            line.append(seats if line.cell_len + cell_len(seats) <= width else f"{len(row.seats)} voices", "dim")
        )
    return lines


def mark_of(status: CellStatus, turn: Turn | None, tick: str = "") -> tuple[str, str]:
    """Return the sign and its style for how a turn stands; a change of mind goes before all else."""
    if status == "speaking":
        return tick, "cyan"
    return MARKS["flipped" if status == "done" and turn and turn.flipped_from is not None else status]


def outcome(stage: Stage, turn: Turn, room: int) -> Text:
    """Return what a finished turn stands for, and what its seat stood for before, made to fit `room` cells."""
    before = "" if turn.flipped_from is None else f" ⟲ was {one_line(turn.flipped_from, max(4, room // 3))}"
    colour = stage.colour(turn.position.answer) if turn.position else "dim"
    said = "the answer" if turn.kind == "synthesis" else stand(turn, max(4, room - cell_len(before) - 9))
    return Text.assemble(("⇒ ", colour), (said, f"bold {colour}" if turn.position else "dim"), (before, "yellow"))


def _bar(share: float, width: int) -> str:
    full, part = divmod(round(min(1.0, max(0.0, share)) * width * 8), 8)
    return ("█" * full + " ▏▎▍▌▋▊▉"[part].strip()).ljust(width)
