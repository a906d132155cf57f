"""What a request may hold: a chat in OpenAI's shape, with one object of our own, `chorus`; a debate to be watched.

A field that OpenAI knows and this server does not support is refused unless it asks for what happens anyway (`n: 1`,
`logprobs: false`); an unknown field is refused. Five fields have no meaning here and are accepted all the same, since
nothing in the answer hangs on them: `metadata`, `store`, `service_tier`, `prompt_cache_key`, `safety_identifier`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from chorus.server.options import Options

Zero = Annotated[float, Field(ge=0, le=0)]
Text = Annotated[str, Field(max_length=1_000_000)]

IN_AN_ID = r"^[^\x00]*$"
"""No id has a NUL in it, which PostgreSQL refuses to look for."""


def _json(value: Any) -> Any:
    """Return a value that JSON can say. Python's reader takes NaN and halves of characters, which it can't."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise PydanticCustomError("no_json", "only what JSON can say: no NaN, and no half of a character") from None
    return value


Json = Annotated[dict[str, Any], AfterValidator(_json)]
"""An object that goes on as it came."""


class Body(BaseModel):
    """A part of a request: JSON types are taken as they are, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TextPart(Body):
    """A piece of a message. Images, audio and files are refused: the voices only read."""

    type: Literal["text"]
    text: Text


class RefusalPart(Body):
    """An earlier refusal, sent back in the history."""

    type: Literal["refusal"]
    refusal: Text


Part = Annotated[TextPart | RefusalPart, Field(discriminator="type")]
Content = Text | Annotated[list[TextPart], Field(min_length=1)]


class SystemMessage(Body):
    """Instructions of the application. They go to every voice together with the question."""

    role: Literal["system", "developer"]
    content: Content
    name: str | None = None


class UserMessage(Body):
    """What a person said. A `name` is put before the words."""

    role: Literal["user"]
    content: Content
    name: str | None = None


class Function(Body):
    """The function that a tool call asks for."""

    name: str = Field(min_length=1, max_length=64)
    arguments: str = "{}"
    """JSON, as text."""


class Call(Body):
    """One tool call of an earlier answer."""

    id: str
    type: Literal["function"] = "function"
    function: Function
    index: int | None = None
    provider_specific_fields: dict[str, Any] | None = None


class AssistantMessage(Body):
    """An earlier answer. What clients keep of it beside its words may be sent back, and is not read again."""

    role: Literal["assistant"]
    content: Text | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    annotations: list[Any] | None = None
    provider_specific_fields: dict[str, Any] | None = None
    """LiteLLM's, which puts the answer's own fields there once more."""
    audio: None = None
    function_call: None = None


class ToolMessage(Body):
    """What a tool returned."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str
    name: str | None = None


ChatMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class FunctionTool(Body):
    """A function that may be called."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    description: str | None = None
    parameters: Json | None = None
    """JSON schema of its arguments."""
    strict: bool | None = None


class ChatTool(Body):
    """A tool. They reach the voice that writes the answer; the others are told what there is."""

    type: Literal["function"]
    function: FunctionTool


class NamedFunction(Body):
    """The name of a function."""

    name: str


class NamedTool(Body):
    """The tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class PlainFormat(Body):
    """No format: text."""

    type: Literal["text"]


class JsonFormat(Body):
    """The answer is to be a JSON object."""

    type: Literal["json_object"]


class JsonSchema(Body):
    """A schema with its name."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: Json = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class SchemaFormat(Body):
    """The answer is to be JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[PlainFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]


class StreamOptions(Body):
    """What a stream holds beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    """Accepted; nothing is padded here."""


class ChatRequest(Body):
    """A chat completion to be made."""

    model: str = Field(min_length=1, max_length=200, examples=["chorus"])
    """One of `/v1/models`: `chorus` debates, `chorus-vote` votes, `chorus-inner` needs one call, `chorus-solo` one voice."""
    messages: list[ChatMessage] = Field(min_length=1, max_length=2000)
    """The conversation; the last message is the user's, or a tool's."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    """What the personas' own offsets are added to."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=65_536)
    """Bound on each voice's turn and on the answer, in tokens; not on their sum. For that see `chorus.budget`."""
    max_completion_tokens: int | None = Field(default=None, ge=1, le=65_536)
    """The newer name of `max_tokens`; the smaller of the two holds."""
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    """Text that ends the answer; it is not part of it. The voices' debate is not touched by it."""
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    user: str | None = Field(default=None, max_length=512)
    """Goes into the server's log of requests, and nowhere else."""
    response_format: ResponseFormat | None = None
    tools: list[ChatTool] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    """`false`: of several calls only the first goes out."""
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    chorus: Options | None = None
    """How the chorus is to go about it."""

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> ChatRequest:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options goes with stream: true only")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings that can match anything."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in given if stop)

    @property
    def length(self) -> int | None:
        """The bound on a turn and on the answer, in tokens."""
        given = [bound for bound in (self.max_tokens, self.max_completion_tokens) if bound is not None]
        return min(given, default=None)


class DebateRequest(Body):
    """A debate to be started and then watched."""

    question: str = Field(min_length=1, max_length=20_000)
    model: str = Field(default="chorus", min_length=1, max_length=200)
    chorus: Options | None = None
