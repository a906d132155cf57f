"""A progress bar for runs over many questions; a line now and then where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def progress(stream: TextIO) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function that is told how many questions are done, of how many, and the newest id."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, newest: bar.update(task, completed=done, total=total, description=newest[:40])


class _Lines:
    """Writes a line at the start, then not more often than every half minute."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def __call__(self, done: int, total: int, newest: str) -> None:
        if time.monotonic() >= self._next or done == total:
            self._next = time.monotonic() + EVERY_S
            print(f"{done} of {total} questions", file=self._stream, flush=True)
