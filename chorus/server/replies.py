"""The shape of what goes back: OpenAI's where it has one, and what the chorus has to say beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Reply(BaseModel):
    """A part of a response."""

    model_config = ConfigDict(extra="forbid")


class Fault(Reply):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Reply):
    """The body of every error."""

    error: Fault


class Review(Reply):
    """Why a person should look at this answer."""

    reasons: list[str]


class ChorusPart(Reply):
    """What the chorus has to say about its answer."""

    debate: str
    """Names the debate: `/v1/debates/{debate}` is its record."""
    status: Literal["done", "cut", "failed"] | None = None
    confidence: float | None = None
    dissent: dict[str, Any] | None = None
    """The strongest losing position: `answer`, `share`, `seats`, `turn`, `text`."""
    needs_review: Review | None = None


class PromptDetails(Reply):
    """Of the prompt tokens."""

    cached_tokens: int


class CompletionDetails(Reply):
    """Of the completion tokens."""

    reasoning_tokens: int
    """What the debate took beside the answer itself."""


class TokenUsage(Reply):
    """What all voices read and wrote."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class AnswerMessage(Reply):
    """The answer, and the debate that led there."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Choice(Reply):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: None = None


class ChatCompletion(Reply):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage
    chorus: ChorusPart


class ModelCard(Reply):
    """A way of answering."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "greek-chorus"
    description: str
    grant: Literal["full", "limited", "supervised", "unaudited"] | None = None
    """Of a baked checkpoint: what its audit lets it do."""


class ModelList(Reply):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Started(Reply):
    """A debate that has begun."""

    id: str
    events: str
    """Where its events are read."""


class DebateLine(Reply):
    """A debate in the list."""

    id: str
    question: str
    created: str
    """ISO 8601, UTC."""
    status: Literal["running", "done", "cut", "failed"]
    answer: str | None
    confidence: float | None
    needs_review: Review | None
    model: str


class DebateList(Reply):
    """Debates, newest first."""

    object: Literal["list"] = "list"
    data: list[DebateLine]
    has_more: bool


class PersonaLine(Reply):
    """A persona that can be named."""

    id: str
    name: str
    summary: str
    pack: str


class PersonaList(Reply):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[PersonaLine]


class Removed(Reply):
    """A debate was erased."""

    id: str
    object: Literal["debate"] = "debate"
    deleted: bool = True


class Health(Reply):
    """Whether the server is there, or ready."""

    status: str
