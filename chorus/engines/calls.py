"""The calls that one engine has in flight.

Every engine promises that `aclose` cancels what still runs; this keeps the promise for those whose calls are plain
coroutines. Its counts tell a test what an engine was doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from chorus.errors import EngineError

T = TypeVar("T")


class Calls:
    """Counts and holds the calls in flight: `with calls:` around the body of `generate`."""

    def __init__(self) -> None:
        self.started = 0
        """Calls ever made."""
        self.peak = 0
        """The most that ever ran at once."""
        self.aborted = 0
        """Calls that were cancelled before they ended."""
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._closed = False
        self._emptied = asyncio.Event()

    @property
    def running(self) -> int:
        """Calls in flight now."""
        return len(self._tasks)

    def __enter__(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")
        self._tasks.add(asyncio.current_task())
        self.started += 1
        self.peak = max(self.peak, len(self._tasks))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tasks.discard(asyncio.current_task())
        if isinstance(error, asyncio.CancelledError):
            self.aborted += 1
        if self._closed and not self._tasks:
            self._emptied.set()

    async def close(self) -> None:
        """Refuse new calls, cancel those in flight and wait until they have let go."""
        self._closed = True
        if not self._tasks:
            return
        for task in self._tasks:
            if task is not None:
                task.cancel("the engine was closed")
        await self._emptied.wait()


async def in_its_own_task(call: Coroutine[Any, Any, T], among: set[asyncio.Task[Any]] | None = None) -> T | None:
    """Return what a call comes to, or None where somebody else than our own caller cancelled it.

    Args:
        call: cancelled with the task that awaits it.
        among: holds the call's task while it runs, for whoever may want to cancel it.
    """
    task = asyncio.ensure_future(call)
    among = set() if among is None else among
    among.add(task)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    finally:
        among.discard(task)
    return None if task.cancelled() else task.result()
