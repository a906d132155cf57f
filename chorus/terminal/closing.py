"""What stays on the terminal when a live view ends: who said what, round by round, and the summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from chorus.terminal.lines import MARKS, fit, header, mark_of, outcome, support_lines, wrapped
from chorus.terminal.stage import Stage
from chorus.terminal.words import Row, one_line, reasons, summary
from chorus.types import Turn

MANY_TURNS = 24
"""Up to this many turns have two lines of their words each, up to three times as many one, more than that none."""
LABEL_WIDTH = 12
"""Of the column in which the summary's rows are named."""
HEADINGS = {"ballot": "Ballot", "check": "Check", "ruling": "Ruling", "synthesis": "Synthesis"}


def closing(console: Console, stage: Stage) -> list[Text]:
    """Return the transcript and the summary of what the stage saw, wrapped to the console's width.

    Empty when no voice had been heard of.
    """
    turns = stage.turns()
    if stage.plan is None or not (turns or stage.answer):
        return []
    lines = [*header(console, stage, 3), Text()]
    for (number, kind), group in groupby(turns, key=lambda turn: (turn.round, turn.kind)):
        lines += [Text(HEADINGS.get(kind, f"Round {number}"), "bold underline"), *_round(console, stage, list(group))]
    if stage.answer:
        lines += _summary(console, stage, summary(stage.answer))
    return [fit(line, console.width) for line in lines]


def _round(console: Console, stage: Stage, turns: Sequence[Turn]) -> Iterator[Text]:
    held = [turn for turn in turns if turn.status != "cancelled" or turn.text]
    name_width = max((cell_len(stage.name(turn)) for turn in held), default=0)
    for turn in held:
        yield _head(console, stage, turn, name_width)
        yield from (Text("    ") + line for line in _said(console, stage, turn))
    unheld = sorted((turn.reason or "", turn.seat) for turn in turns if turn.status == "cancelled" and not turn.text)
    for reason, group in groupby(unheld, key=lambda turn: turn[0]):
        yield Text(f"⊘ not held, {one_line(reason)}: {one_line(', '.join(seat for _, seat in group), 400)}", "dim")
    yield Text()


def _head(console: Console, stage: Stage, turn: Turn, name_width: int) -> Text:
    name = fit(Text(stage.name(turn), "bold"), name_width, pad=True)
    head = Text.assemble(mark_of(turn.status, turn), " ", name, "  ")
    if turn.status == "done":
        head.append_text(outcome(stage, turn, max(20, console.width - head.cell_len)))
    else:
        head.append(turn.status, MARKS[turn.status][1])
    if turn.usage.calls > 1:
        head.append(f"  ↻ {turn.usage.calls} calls", "yellow")
    if heard := stage.heard(turn):
        head.append(f"  {heard}", "dim")
    return head


def _said(console: Console, stage: Stage, turn: Turn) -> list[Text]:
    """Return the beginning of a turn's words, where they aren't given elsewhere; of one that failed, the reason."""
    width, count = max(1, console.width - 4), len(stage.turns())
    if turn.status != "done":
        return wrapped(console, one_line(turn.reason or "", 3 * width), width, MARKS[turn.status][1])
    retold = stage.plan is not None and stage.plan.mode == "inner" and turn.kind == "ruling" and count > 1
    limit = 2 if count <= MANY_TURNS else 1 if count <= 3 * MANY_TURNS else 0
    if limit == 0 or turn.kind == "synthesis" or retold:
        return []
    lines = wrapped(console, one_line(reasons(turn.text), 3 * width), width, "dim")
    if len(lines) > limit:
        # The last line runs on into what follows, so that it shows where it was cut.
        lines[limit - 1 :] = [fit(Text(" ").join(lines[limit - 1 : limit + 1]), width)]
    return lines


def _summary(console: Console, stage: Stage, rows: Sequence[Row]) -> Iterator[Text]:
    room = max(20, console.width - LABEL_WIDTH)
    bars = iter(support_lines(stage, [row.support for row in rows if row.support], room))
    styles = {"Failed": "bold red", "Cut short": "yellow"}
    before = ""
    for row in rows:
        style = f"bold {stage.colour(row.text)}" if row.label == "Answer" else styles.get(row.label, "")
        lines = [next(bars)] if row.support else wrapped(console, row.text, room, style, dense=False)
        label = "" if row.label == before else row.label
        for line in lines or [Text()]:
            yield Text(label.ljust(LABEL_WIDTH), "dim") + line
            label = ""
        before = row.label
