"""A debate drawn live on a terminal; in the end the drawing gives way to a short transcript and the summary.

Events are taken in as they come, and a thread of `rich` draws, at most ten times a second; a lock keeps a frame from
being made of half an event. A frame always has fewer lines than the terminal and none that is wider, so that nothing
scrolls or wraps. It is not kept: what stays on the terminal is printed once, at the end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from chorus.record.events import Event
from chorus.terminal.closing import closing
from chorus.terminal.lines import MARKS, fit, header, support_lines
from chorus.terminal.seats import SeatDrawing
from chorus.terminal.stage import Stage

FRAMES_PER_SECOND = 10
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class LiveView:
    """Shows the seats talking at once.

    Args:
        console: the terminal.
        names: display names by persona id.
        clock: seconds, for the time shown and the spinner.
    """

    def __init__(
        self,
        console: Console,
        names: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._stage = Stage(names)
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self._draw,
            console=console,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
            # Warnings belong above the drawing, but not when they are on their way to a file.
            redirect_stderr=sys.stderr.isatty(),
        )

    def show(self, event: Event) -> None:
        """Take the event in; the next frame shows it."""
        with self._lock:
            self._stage.take(event)

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wipe the drawing and print what was said and decided, as far as it came."""
        self._live.stop()
        for line in closing(self._console, self._stage):
            self._console.print(line)

    def _draw(self) -> Group:
        with self._lock:
            return Group(*frame(self._console, self._stage, self._clock() - self._began))


def frame(console: Console, stage: Stage, elapsed: float) -> list[Text]:
    """Return the whole drawing, for the console's size of this moment.

    Args:
        console: measured, and asked to wrap; nothing is printed.
        stage: what to show.
        elapsed: seconds since the view was opened; it also turns the spinner.
    """
    width, rows = console.width, max(1, console.height - 1)
    tick = SPINNER[int(elapsed * 10) % len(SPINNER)]
    gap = [Text()] if rows >= 22 else []
    head = header(console, stage, 2 if gap else 1)
    head += gap[: len(head)]
    several = stage.plan is not None and len(stage.plan.seats) > 1
    support = support_lines(stage, stage.support[: rows // 6], width) if several else []
    news = list(stage.news)[-(rows // 8) :] if rows >= 8 else []
    foot = support + gap[: len(support)] + [_news(mark, text) for mark, text in news] + [_status(stage, tick, elapsed)]
    cells = [stage.closing_voice] if stage.closing_voice else list(stage.cells.values())
    seats = SeatDrawing(console, stage, tick).lines(cells, width, rows - len(head) - len(foot))
    # On a screen of a few rows the seats go first, then the header: the end says most.
    return [fit(line, width) for line in (head + seats + foot)[-rows:]]


def _news(mark: str, text: str) -> Text:
    sign, style = MARKS[mark]
    return Text.assemble((f"{sign} ", style), (text, style))


def _status(stage: Stage, tick: str, elapsed: float) -> Text:
    doing = " · ".join([*_doing(stage), f"{elapsed:.0f} s"])
    return Text.assemble((tick, "cyan"), " ", (doing, "dim"))


def _doing(stage: Stage) -> list[str]:
    """Say where the debate is."""
    plan, voice = stage.plan, stage.closing_voice
    if plan is None:
        return ["convening the chorus"]
    if plan.mode == "inner":
        return ["one model speaks for all"]
    if voice:
        return ["the judge rules" if voice.kind == "ruling" else "the answer is being written"]
    if any(cell.kind == "ballot" for cell in stage.cells.values()):
        return ["the voices cast their ballots"]
    if any(cell.kind == "check" for cell in stage.cells.values()):
        return ["the voices check the answers"]
    spoken = sum(turn.kind == "speech" for turn in stage.ended)
    turns = f"{spoken} of {len(plan.seats) * plan.rounds} turns"
    newest = max((cell.round for cell in stage.cells.values()), default=1) or 1
    return [f"round {newest} of {plan.rounds}", turns] if plan.rounds > 1 else [turns]
