"""The seats side by side: a box each where there is room, a line or two each where there isn't."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from rich.console import Console
from rich.text import Text

from chorus.terminal.lines import MARKS, ending, fit, mark_of, outcome, wrapped
from chorus.terminal.stage import Cell, Stage
from chorus.terminal.words import clean, one_line, reasons

BOX_WIDTH = 34
"""Narrower cells have no border."""
LINE_WIDTH = 64
"""The width of a box that reads best."""
CELL_WIDTH = 16
"""The narrowest cell, its gap included, that still says who and what."""
MAX_BOX = 8
"""Lines of a box where several stand together."""
URGENCY = {"speaking": 0, "retrying": 0, "failed": 1, "done": 2, "cancelled": 3, "waiting": 3}
"""Which cells to show first where there is no room for all."""


def arrange(count: int, width: int, room: int) -> tuple[int, int]:
    """Return how many columns of cells, and how many lines each cell may have, for `count` cells in the room.

    Boxes come first, as near to a good reading width as can be; then cells of two lines, of one, and at last as many
    cells of one line as there is room for.
    """
    grids = [(columns, room // ceil(count / columns)) for columns in range(1, max(2, width // CELL_WIDTH + 1))]
    wide = [(columns, height) for columns, height in grids if width // columns >= BOX_WIDTH]
    boxes = [grid for grid in wide if grid[1] >= 4] or [grid for grid in wide if grid[1] == 3]
    if boxes:
        return min(boxes, key=lambda grid: abs(width // grid[0] - LINE_WIDTH))
    lines = [(columns, 2) for columns, height in wide if height == 2]
    lines += [(columns, 1) for columns, height in grids if height >= 1]
    return lines[0] if lines else (grids[-1][0], 1)


class SeatDrawing:
    """Draws cells at one moment.

    Args:
        console: asked to wrap; nothing is printed.
        stage: what is shown.
        tick: the sign of a seat that is speaking.
    """

    def __init__(self, console: Console, stage: Stage, tick: str) -> None:
        self._console = console
        self._stage = stage
        self._tick = tick

    def lines(self, cells: Sequence[Cell], width: int, room: int) -> list[Text]:
        """Return at most `room` lines, none wider than `width`; cells that find no place are counted in the last."""
        if room < 1 or not cells:
            return []
        columns, height = arrange(len(cells), width, room)
        if height >= 3:
            columns = min(columns, len(cells))
            height = min(height, self._wanted(cells, (width - columns + 1) // columns))
        shown = _first(cells, columns * (room // height))
        lines = []
        for start in range(0, len(shown), columns):
            row = shown[start : start + columns]
            # Boxes of an unfinished row share its whole width.
            across = len(row) if height >= 3 else columns
            drawn = [self._cell(cell, (width - across + 1) // across, height) for cell in row]
            if start + columns >= len(shown) < len(cells):
                drawn[-1] = [fit(Text(f"+ {len(cells) - len(shown) + 1} more", "dim"), width)]
            lines += [Text(" ").join(parts) for parts in zip(*drawn, strict=True)]
        return lines

    def _wanted(self, cells: Sequence[Cell], width: int) -> int:
        """Return how high boxes should be. One box grows with its text; boxes side by side keep still."""
        inside = width - 4
        if len(cells) == 1:
            return max(3, 2 + len(wrapped(self._console, _words(cells[0])[0], inside)))
        longest = 4 * self._stage.plan.max_tokens if self._stage.plan else 0  # characters, at about four a token
        return max(4, min(MAX_BOX, 2 + ceil(longest / inside)))

    def _cell(self, cell: Cell, width: int, height: int) -> list[Text]:
        if height >= 3:
            return self._box(cell, width, height)
        return self._two_lines(cell, width) if height == 2 else [self._one_line(cell, width)]

    def _box(self, cell: Cell, width: int, height: int) -> list[Text]:
        inside, edge = width - 4, self._edge_style(cell)
        words, style = _words(cell)
        # Only the end is wrapped: a screenful of it, twice over for its line breaks.
        body = wrapped(self._console, words[-2 * inside * height :], inside, style)[2 - height :]
        body += [Text()] * (height - 2 - len(body))
        sides = [Text.assemble(("│ ", edge), fit(line, inside, pad=True), (" │", edge)) for line in body]
        top = _edge("╭", self._title(cell), "╮", width, edge)
        return [top, *sides, _edge("╰", self._footing(cell, width - 6), "╯", width, edge)]

    def _two_lines(self, cell: Cell, width: int) -> list[Text]:
        words, style = _words(cell)
        head = self._title(cell).append("  ")
        head.append_text(self._footing(cell, width - head.cell_len))
        said = " ".join(clean(words[-4 * width :]).split())
        shown = ending(said, width - 2) if cell.status in ("speaking", "done") else said
        return [fit(head, width, pad=True), fit(Text.assemble("  ", (shown, style or "dim")), width, pad=True)]

    def _one_line(self, cell: Cell, width: int) -> Text:
        # Seats of one persona differ at the end of their names, so that is what stays of a long one.
        seat = ending(one_line(cell.seat), max(10, width // 4))
        line = Text.assemble(mark_of(cell.status, cell.turn, self._tick), " ", (seat, "bold"), " ")
        room = width - line.cell_len
        words, style = _words(cell)
        position = cell.turn.position if cell.turn else None
        if position and room < 12:
            line.append(one_line(position.answer, 12), f"bold {self._stage.colour(position.answer)}")
        elif cell.status == "done":
            line.append_text(self._footing(cell, room))
        elif cell.status != "speaking":
            line.append(words, style)
        elif room >= 12:
            line.append(ending(one_line(words[-4 * width :], 4 * width), room), "dim")
        return fit(line, width, pad=True)

    def _title(self, cell: Cell) -> Text:
        style = "dim" if cell.status == "waiting" else "bold"
        title = Text.assemble(mark_of(cell.status, cell.turn, self._tick), " ", (self._stage.name(cell), style))
        if cell.kind in ("ballot", "check"):
            title.append(f" · {cell.kind}", "dim")
        elif cell.kind == "speech" and cell.round:
            title.append(f" · round {cell.round}", "dim")
        return title

    def _footing(self, cell: Cell, room: int) -> Text:
        """Return what stands under a turn: whom it heard while it speaks, its answer when it is done."""
        if cell.turn and cell.status == "done":
            return outcome(self._stage, cell.turn, room)
        return Text(self._stage.heard(cell) if cell.status == "speaking" else "", "dim")

    def _edge_style(self, cell: Cell) -> str:
        """Return the colour of a box's border: seats with borders of one colour agree."""
        if cell.status in ("failed", "retrying"):
            return MARKS[cell.status][1]
        position = cell.turn.position if cell.turn else None
        return (position and self._stage.colour(position.answer)) or "dim"


def _first(cells: Sequence[Cell], places: int) -> Sequence[Cell]:
    """Choose which cells to show where there are fewer places: those at work or in trouble, in the plan's order."""
    if len(cells) <= places:
        return cells
    chosen = sorted(range(len(cells)), key=lambda index: URGENCY[cells[index].status])[:places]
    return [cells[index] for index in sorted(chosen)]


def _words(cell: Cell) -> tuple[str, str]:
    """Return what to show as a turn's text, and its style."""
    if cell.status in ("failed", "cancelled"):
        return f"{cell.status}: {one_line(cell.trouble, 400)}", MARKS[cell.status][1]
    if cell.status == "retrying":
        return f"trying again after: {one_line(cell.trouble, 400)}", "yellow"
    return reasons(cell.text) if cell.status == "done" else cell.text, ""


def _edge(left: str, label: Text, right: str, width: int, style: str) -> Text:
    label = fit(label, width - 6)
    line = Text.assemble((f"{left}─", style), *((" ", label, " ") if label.plain else ()))
    return line.append("─" * (width - 1 - line.cell_len) + right, style)
