"""How much a debate may spend. It only counts; the scheduler acts on it."""

from __future__ import annotations

from dataclasses import dataclass

from chorus.types import Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one debate; `None` is no bound."""

    max_calls: int | None = None
    """Engine calls, retries counted."""
    max_total_tokens: int | None = None
    """Prompt and completion tokens together. Checked before each call: calls in flight are finished."""
    max_seconds: float | None = None
    """Wall-clock time on the event loop's clock; turns in flight are cancelled when it is up."""
    concurrency: int = 16
    """Turns in flight at once."""
    attempts: int = 3
    """Times a call is made before its turn has failed."""
    backoff_s: float = 0.5
    """Wait before the second attempt; it doubles for each further one, unless the engine names a time."""
    patience_s: float = 120.0
    """How long the debate waits for an engine that can't be reached, which costs no attempts."""
    quorum: float = 0.5
    """Share of the seats that must be able to speak in a round for the debate to go on."""


class Budget:
    """What one debate has spent so far; `spent` is what went before it, such as the writing of its cast."""

    def __init__(self, limits: Limits, spent: Usage | None = None) -> None:
        self.limits = limits
        self.calls = 0
        self.tokens = 0
        if spent:
            self.calls = spent.calls
            self.end_call(spent)

    def begin_call(self) -> str | None:
        """Count a call about to be made, or return in words why it may not be."""
        if self.limits.max_calls is not None and self.calls >= self.limits.max_calls:
            return f"the budget of {self.limits.max_calls} calls is spent"
        if self.limits.max_total_tokens is not None and self.tokens >= self.limits.max_total_tokens:
            return f"the budget of {self.limits.max_total_tokens} tokens is spent ({self.tokens} used)"
        self.calls += 1
        return None

    def end_call(self, usage: Usage) -> None:
        """Count what a call used."""
        self.tokens += usage.prompt_tokens + usage.completion_tokens
