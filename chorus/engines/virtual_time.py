"""An event loop whose clock jumps: simulated seconds cost no real ones.

When nothing is ready to run, the clock moves to the next timer at once. So a debate on an engine whose waiting is
simulated takes as long as its own work, and the same program sees the same times whatever the machine is doing.

- The clock starts at 0 and never runs between timers: work takes no time, waiting takes exactly what was asked for.
- Work in the loop's executors (`asyncio.to_thread`) is real: while it runs a timer waits its real seconds, and work
  that ends sooner leaves the clock where it was. A file saved in a thread doesn't set off a deadline.
- Other I/O is served, but no timer waits for it. Engines that talk to a server belong on an ordinary loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop on a clock of its own: `asyncio.Runner(loop_factory=VirtualTimeLoop)`."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._clock.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run `func` in a thread; until it ends, timers wait in real time."""
        future = super().run_in_executor(executor, func, *args)
        self._clock.working += 1
        future.add_done_callback(self._work_ended)
        return future

    def _work_ended(self, future: asyncio.Future[T]) -> None:
        self._clock.working -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (asyncio's name)
        """Wait for the executor's threads. `timeout` is ignored: in virtual seconds it would be over at once."""
        await super().shutdown_default_executor()


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop goes to wait. This one moves the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.working = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. `None` waits for as long as it takes: only the outside world can end that."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(timeout if self.working else 0)
        if not ready:
            self.now += timeout
        return ready
