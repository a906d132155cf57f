"""Where a command's asynchronous work runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], engine: str) -> T:
    """Run to the end, on the clock that the engine lives by. Ctrl-C cancels the work and is raised afterwards."""
    from chorus.engines.registry import event_loop

    try:
        with asyncio.Runner(loop_factory=lambda: event_loop(engine)) as runner:
            return runner.run(work)
    finally:
        work.close()
