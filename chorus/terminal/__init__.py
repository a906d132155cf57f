"""One debate on the terminal, from its stream of events.

A view is shown every event in turn. `LiveView` draws the seats as they talk, `PlainView` prints lines, `QuietView`
nothing; `view` picks the one that suits where the output goes. `rich` is loaded only where something is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TextIO

from chorus.record.events import Event
from chorus.terminal.plain import PlainView

__all__ = ["View", "view"]


class View(Protocol):
    """Something that shows a debate. Entered before its first event, left after its last."""

    def show(self, event: Event) -> None:
        """Show the next event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class QuietView:
    """Shows nothing."""

    def show(self, event: Event) -> None:
        """Pass over the event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave nothing to do."""


def view(stdout: TextIO, *, quiet: bool = False, json: bool = False, names: Mapping[str, str] | None = None) -> View:
    """Return the view that suits the output.

    Args:
        stdout: where the debate is shown.
        quiet: show nothing.
        json: stdout is kept for the record: show nothing.
        names: display names by persona id; a persona without one is called by its id.
    """
    if quiet or json:
        return QuietView()
    if not _can_draw(stdout):
        return PlainView(stdout, names)
    from rich.console import Console

    from chorus.terminal.live import LiveView

    return LiveView(Console(file=stdout, highlight=False), names)


def _can_draw(stdout: TextIO) -> bool:
    """Tell a terminal that moves its cursor and has the characters to draw with."""
    capable = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    unicode = (getattr(stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")
    return stdout.isatty() and capable and unicode
