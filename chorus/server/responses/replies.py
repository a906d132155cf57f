"""The shape of what goes back from `/v1/responses`: OpenAI's, and one object more, `chorus`."""

from __future__ import annotations

from typing import Any, Literal

from chorus.server.replies import ChorusPart, Reply
from chorus.server.responses.requests import ItemStatus


class SummaryText(Reply):
    """What one voice said in one turn, behind its mark: `[skeptic, round 1] `."""

    type: Literal["summary_text"] = "summary_text"
    text: str


class ReasoningItem(Reply):
    """The debate that led to the answer."""

    id: str
    type: Literal["reasoning"] = "reasoning"
    summary: list[SummaryText]
    status: ItemStatus


class AnswerText(Reply):
    """The words of the answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class MessageItem(Reply):
    """The answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: list[AnswerText]


class CallItem(Reply):
    """A tool that the client is to run."""

    id: str
    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


class ResponseFault(Reply):
    """Why there is no answer."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class Incomplete(Reply):
    """Why the answer breaks off."""

    reason: Literal["max_output_tokens"]


class InputDetails(Reply):
    """Of the tokens read."""

    cached_tokens: int
    cache_write_tokens: int
    """0: writing to an engine's cache is not counted apart."""


class OutputDetails(Reply):
    """Of the tokens written."""

    reasoning_tokens: int
    """What the debate took beside the answer itself."""


class ResponseUsage(Reply):
    """What all voices read and wrote."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseObject(Reply):
    """A response. What the request set stands in it again, beside what came of it."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseFault | None
    incomplete_details: Incomplete | None
    model: str
    output: list[ReasoningItem | MessageItem | CallItem]
    usage: ResponseUsage | None
    previous_response_id: str | None
    instructions: str | None
    metadata: dict[str, str]
    max_output_tokens: int | None
    max_tool_calls: int | None
    temperature: float
    top_p: float
    text: dict[str, Any]
    tools: list[dict[str, Any]]
    tool_choice: Any
    parallel_tool_calls: bool
    reasoning: dict[str, Any]
    store: bool
    background: Literal[False]
    truncation: Literal["disabled"]
    service_tier: Literal["default"]
    top_logprobs: Literal[0]
    presence_penalty: Literal[0]
    frequency_penalty: Literal[0]
    user: str | None
    prompt_cache_key: str | None
    safety_identifier: str | None
    chorus: ChorusPart


class ResponseRemoved(Reply):
    """A response was erased, and its debate."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True
