"""Whether a call that failed is made again, and how long its turn waits before.

- A fault that may pass costs an attempt, of which a turn has `Limits.attempts`. Waits double, unless the engine names a
  time.
- An engine that can't be reached computed nothing, so that costs no attempt, and no call. It may well be starting again,
  for which a server takes a minute or more: the voices of a debate wait for it together, at most `Limits.patience_s`.
  When that is over they fail, and so does every later one that finds it still gone, at once. Any word from it ends the
  wait, and the next one may take as long again.
"""

from __future__ import annotations

import random

from chorus.debate.budget import Limits
from chorus.errors import EngineError, EngineUnreachable

MAX_BACKOFF_S = 30.0
"""No wait between two attempts is longer than this, whatever the engine asks for."""

MAX_KNOCK_S = 5.0
"""Nor is one between two looks at whether an engine can be reached again, but for the jitter."""

SLIVER_S = 0.001
"""What is left of a debate's patience when it is over: clocks add up with small errors."""


class Retries:
    """The retries of one debate. Times are seconds on the debate's own clock."""

    def __init__(self, limits: Limits, seed: int) -> None:
        self._limits = limits
        self._seed = seed
        self._gone_since: float | None = None
        self._waiting: set[str] = set()

    def wait(self, turn: str, calls: int, error: EngineError, now: float) -> float | None:
        """Return how long a turn waits before it makes its call again; None when it has failed.

        Args:
            turn: its id.
            calls: how many it has made.
            error: what came of the last one.
            now: when that was.
        """
        if isinstance(error, EngineUnreachable):
            return self._wait_for_the_engine(turn, error, now)
        if not error.retryable or calls >= self._limits.attempts:
            return None
        if error.retry_after_s is not None:
            return min(error.retry_after_s, MAX_BACKOFF_S)
        return min(self._limits.backoff_s * 2.0 ** (calls - 1) * self._jitter(turn, calls), MAX_BACKOFF_S)

    def given_up(self, error: EngineError, now: float) -> EngineError:
        """Return the error that ends a turn: how long the engine was waited for is part of it."""
        if self._gone_since is None or not isinstance(error, EngineUnreachable):
            return error
        return EngineUnreachable(f"{error} (it has been gone for {now - self._gone_since:.0f} s)")

    def announces(self, turn: str, error: EngineError) -> bool:
        """Tell whether a turn's wait is news: while the engine is gone, only the first one is."""
        if not isinstance(error, EngineUnreachable):
            return True
        known = turn in self._waiting
        self._waiting.add(turn)
        return not known

    def heard(self, now: float) -> float | None:
        """Take note of a word from the engine. Return how many seconds it had been gone, if it had."""
        since, self._gone_since = self._gone_since, None
        if since is None:
            return None
        self._waiting.clear()
        return now - since

    def _wait_for_the_engine(self, turn: str, error: EngineUnreachable, now: float) -> float | None:
        if self._gone_since is None:
            self._gone_since = now
        gone = now - self._gone_since
        left = self._limits.patience_s - gone
        if left < SLIVER_S:
            return None
        # Ever more seldom the longer it is gone, but often enough to notice soon that it is back.
        knock = max(self._limits.backoff_s, min(gone / 2, MAX_KNOCK_S), min(error.retry_after_s or 0, MAX_BACKOFF_S))
        return min(knock * self._jitter(turn, int(gone)), left)

    def _jitter(self, turn: str, number: int) -> float:
        # It keeps turns that failed together from coming back together.
        return 1 + random.Random(f"{self._seed}/{turn}/{number}").random()
