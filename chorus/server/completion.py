"""The shape of an answer on OpenAI's wire: one object, or the chunks of a stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from chorus.server.answering import Spoken
from chorus.server.content import cut
from chorus.server.sse import message
from chorus.types import Answer, ToolCall, Turn


class Chunks:
    """Writes the chunks of one stream. Every one names the completion and the model."""

    def __init__(self, debate: str, model: str, *, include_usage: bool = False) -> None:
        self._head = head(debate, model, "chat.completion.chunk")
        # With usage at the end, OpenAI's chunks say before that there is none yet.
        self._tail: dict[str, Any] = {"usage": None} if include_usage else {}

    def delta(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        """Return a chunk with the next piece of the message."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return message({**self._head, "choices": [choice], **self._tail, **more})

    def reasoning(self, text: str) -> bytes:
        """Return a chunk of the debate, under both names that clients read."""
        return self.delta({"reasoning": text, "reasoning_content": text})

    def usage(self, usage: dict[str, Any]) -> bytes:
        """Return the chunk without a choice that says what it cost."""
        return message({**self._head, "choices": [], "usage": usage})


def head(debate: str, model: str, kind: str) -> dict[str, Any]:
    """Return the fields that every object begins with."""
    return {"id": f"chatcmpl-{debate}", "object": kind, "created": int(time.time()), "model": model}


def about(answer: Answer, reasons: Sequence[str]) -> dict[str, Any]:
    """Return the `chorus` object: how sure, what the dissent is, whether a person should look."""
    return {
        "debate": answer.id,
        "status": answer.status,
        "confidence": answer.confidence,
        "dissent": answer.dissent.model_dump() if answer.dissent else None,
        "needs_review": {"reasons": list(reasons)} if reasons else None,
    }


def final(answer: Answer, spoken: Spoken | None, stops: Sequence[str]) -> tuple[str, str]:
    """Return the answer's text and why it ends there: `stop`, `length` or `tool_calls`.

    Where the voices spoke and no answer could be read out of what they said, their last words stand for it; the
    `chorus` object then says that a person should look.
    """
    if spoken:
        text, stopped = cut(spoken.text.strip(), stops)
        if spoken.tool_calls:
            return text, "tool_calls"
        return text, "stop" if stopped else finish_reason(spoken.finish)
    last = _deciding(answer)
    whole = answer.answer if answer.answer is not None else last.text.strip() if last else ""
    text, stopped = cut(whole, stops)
    return text, "stop" if stopped or last is None else finish_reason(last.finish)


def finish_reason(finish: str | None) -> str:
    """Return an engine's word for how it ended as one of OpenAI's."""
    return "length" if finish == "length" else "stop"


def usage(answer: Answer, spoken: Spoken | None) -> dict[str, Any]:
    """Return what all voices read and wrote; what isn't the answer itself counts as reasoning."""
    used = answer.usage
    last = _deciding(answer)
    own = spoken.usage.completion_tokens if spoken else last.usage.completion_tokens if last else 0
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": max(0, used.completion_tokens - own)},
    }


def tool_calls(calls: Sequence[ToolCall], *, numbered: bool) -> list[dict[str, Any]]:
    """Return tool calls in OpenAI's shape; in a stream they are numbered."""
    return [
        {
            **({"index": index} if numbered else {}),
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(calls)
    ]


def _deciding(answer: Answer) -> Turn | None:
    """Return the one turn whose words are the answer: a synthesis, or what a single voice said; None when there is none."""
    done = [turn for turn in answer.turns if turn.status == "done"]
    if answer.answer is None:
        return done[-1] if done else None
    if answer.decision.rule == "synthesis":
        return next((turn for turn in reversed(done) if turn.kind == "synthesis"), None)
    return done[-1] if answer.plan.mode == "solo" and done else None
