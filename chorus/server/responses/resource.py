"""The response object: what was asked, what came of it, and the items that an answer is made of.

A response has the name of its debate, `resp_DEBATE`, and its output the debate first, as one reasoning item with a part
for each turn of a voice; then the answer; then the tools to be called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chorus.server import completion
from chorus.server.feed import Feed
from chorus.server.live import LiveDebate
from chorus.server.onair import Said
from chorus.server.problems import problem
from chorus.server.responses.items import given, without_reasoning
from chorus.server.responses.requests import ResponseRequest
from chorus.server.service import Ask, Service
from chorus.server.silence import failure
from chorus.types import ToolCall

PREFIX = "resp_"

Object = dict[str, Any]

_CODES = {400: "invalid_prompt", 429: "rate_limit_exceeded"}


class Resource:
    """Tells one response. What a stream says piece by piece, it says as a whole.

    Args:
        service: tells whether a person should look at the answer.
        body: what was asked for.
        ask: what it came to.
        feed: hears the debate.
    """

    def __init__(self, service: Service, body: ResponseRequest, ask: Ask, feed: Feed) -> None:
        self._service, self._body, self._ask, self._feed = service, body, ask, feed

    def kept(self, live: LiveDebate) -> str:
        """Return the response as JSON, with what its request added to the conversation."""
        items = [item.model_dump(mode="json", exclude_none=True) for item in without_reasoning(given(self._body))]
        return json.dumps({"input": items, "response": self.now(live)}, ensure_ascii=False)

    def now(self, live: LiveDebate) -> Object:
        """Return the response as it is: under way, or for good."""
        if not live.over or live.answer is None:
            return self.begun(live)
        return self.failed(live, why) if (why := failure(live)) else self.ended(live)

    def begun(self, live: LiveDebate) -> Object:
        """Return the response before anything has come of it."""
        return self._object(live, "in_progress", chorus={"debate": live.id})

    def failed(self, live: LiveDebate, why: BaseException) -> Object:
        """Return the response where there is no answer."""
        told = problem(why)
        error = {"code": _CODES.get(told.status, "server_error"), "message": told.message}
        return self._object(live, "failed", error=error, output=self._reasoning(live), **self._spent(live))

    def ended(self, live: LiveDebate) -> Object:
        """Return the response with its answer."""
        assert live.answer is not None
        text, finish = completion.final(live.answer, live.spoken, ())
        status = "incomplete" if finish == "length" else "completed"
        calls = live.spoken.tool_calls if live.spoken else ()
        output = self._reasoning(live)
        output += [message(live.id, text, status)] if text or not calls else []
        output += [function_call(live.id, place, call) for place, call in enumerate(calls)]
        return self._object(
            live,
            status,
            completed_at=int(live.created.timestamp() + live.answer.usage.wall_s) if status == "completed" else None,
            incomplete_details={"reason": "max_output_tokens"} if status == "incomplete" else None,
            output=output,
            **self._spent(live),
        )

    def _reasoning(self, live: LiveDebate) -> list[Object]:
        return [reasoning(live.id, parts)] if (parts := by_voice(self._feed.said)) else []

    def _spent(self, live: LiveDebate) -> Object:
        """Return what is known of a debate that is over."""
        answer = live.answer
        if answer is None:
            return {"chorus": {"debate": live.id}}
        used = completion.usage(answer, live.spoken)
        usage = {
            "input_tokens": used["prompt_tokens"],
            "input_tokens_details": used["prompt_tokens_details"] | {"cache_write_tokens": 0},
            "output_tokens": used["completion_tokens"],
            "output_tokens_details": used["completion_tokens_details"],
            "total_tokens": used["total_tokens"],
        }
        return {"usage": usage, "chorus": completion.about(answer, self._service.review(live))}

    def _object(self, live: LiveDebate, status: str, **more: Any) -> Object:
        body, settings = self._body, self._ask.settings
        form = body.text.format if body.text else None
        choice = body.tool_choice
        return {
            "id": f"{PREFIX}{live.id}",
            "object": "response",
            "created_at": int(live.created.timestamp()),
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": body.model,
            "output": [],
            "usage": None,
            "previous_response_id": body.previous_response_id,
            "instructions": body.instructions,
            "metadata": body.metadata or {},
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "text": {"format": form.model_dump(by_alias=True) if form else {"type": "text"}},
            "tools": [tool.model_dump() for tool in body.tools or []],
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump() if choice else "auto",
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "reasoning": {"effort": None, "summary": "detailed"},
            "store": self._ask.keep,
            "background": False,
            "truncation": "disabled",
            "service_tier": "default",
            "top_logprobs": 0,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "user": body.user,
            "prompt_cache_key": body.prompt_cache_key,
            "safety_identifier": body.safety_identifier,
            **more,
        }


def broken_off(begun: Object, why: str) -> Object:
    """Return a response that was begun and is never answered, since its debate was cut with its server."""
    return begun | {"status": "failed", "error": {"code": "server_error", "message": f"no answer: {why}"}}


def by_voice(said: Sequence[Said]) -> list[str]:
    """Return what each voice said, in the order in which they went on air."""
    parts: list[str] = []
    for one in said:
        if one.opens:
            parts.append("")
        parts[-1] += one.text
    return parts


def reasoning(debate: str, parts: Sequence[str], status: str = "completed") -> Object:
    """Return the item that holds the debate."""
    return {"id": f"rs_{debate}", "type": "reasoning", "summary": [summary(text) for text in parts], "status": status}


def summary(text: str) -> Object:
    """Return the part that holds one voice's turn."""
    return {"type": "summary_text", "text": text}


def message(debate: str, text: str | None, status: str) -> Object:
    """Return the item that holds the answer; None where there is no part of it yet."""
    content = [] if text is None else [words(text)]
    return {"id": f"msg_{debate}", "type": "message", "role": "assistant", "status": status, "content": content}


def words(text: str) -> Object:
    """Return the part that holds the answer's words."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def function_call(debate: str, place: int, call: ToolCall, status: str = "completed") -> Object:
    """Return the item that holds a tool call; its place among the calls names it."""
    return {
        "id": f"fc_{place}_{debate}",
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments if status == "completed" else "",
        "status": status,
    }
