"""Why a debate that is over has nothing to say to its client."""

from __future__ import annotations

from chorus.errors import ContextTooLong, DebateFailed, EngineError
from chorus.server.live import LiveDebate
from chorus.server.problems import Refusal, late


def failure(live: LiveDebate) -> BaseException | None:
    """Return why there is no answer; None when there is one."""
    answer = live.answer
    if live.fault or answer is None:
        return live.fault or EngineError("the debate ended without a record")
    if answer.answer is not None:
        return None
    if live.cancelled:
        return Refusal(f"no answer: {live.cancelled}", status=503, code="cancelled", retry_after_s=1)
    if not any(turn.status == "failed" for turn in answer.turns):
        spoken = any(turn.status == "done" for turn in answer.turns)
        return None if spoken else late(answer.reason or "nobody spoke")
    cause = live.debate.failure
    message = f"no answer: {answer.reason}"
    if isinstance(cause, ContextTooLong):
        return ContextTooLong(message)
    if isinstance(cause, EngineError):
        return EngineError(message, retryable=cause.retryable, retry_after_s=cause.retry_after_s)
    return DebateFailed(message, answer)
