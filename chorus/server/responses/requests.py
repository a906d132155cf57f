"""What a request to `/v1/responses` may hold: OpenAI's, and one object more, `chorus`.

As in `chorus.server.requests`, what isn't supported is refused by name, and fields without a meaning here are accepted
where nothing hangs on them: `prompt_cache_key` and `safety_identifier`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from chorus.server.options import Options
from chorus.server.requests import IN_AN_ID, Body, FunctionTool, Json, RefusalPart, Text, Zero

# Tags in brackets stand in no `param` of an error: they are marks of pydantic's, not fields.


def _form(value: Any) -> str:
    return "[list]" if isinstance(value, list) else "[text]"


def _type(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"[{kind}]"


def _item(value: Any) -> str | None:
    """Tell items apart: a message needs no `type`, and an assistant's has other parts."""
    get = value.get if isinstance(value, dict) else lambda name, other=None: getattr(value, name, other)
    if get("type", "message") != "message":
        return f"[{get('type')}]"
    return "[assistant]" if get("role") == "assistant" else "[message]"


_ITEMS = Discriminator(
    _item,
    custom_error_type="unsupported_item",
    custom_error_message="only message, function_call, function_call_output and reasoning items are supported here",
)
_PARTS = Discriminator(
    _type, custom_error_type="unsupported_part", custom_error_message="only text is supported here: the voices read"
)

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class InputText(Body):
    """A piece of a message."""

    type: Literal["input_text"]
    text: Text


class OutputText(Body):
    """A piece of an earlier answer."""

    type: Literal["output_text"]
    text: Text
    annotations: list[Any] | None = Field(default=None, exclude=True)
    """It may be sent back, and is not read again, nor kept; so may `logprobs`."""
    logprobs: list[Any] | None = Field(default=None, exclude=True)


InputPart = Annotated[Annotated[InputText, Tag("[input_text]")], _PARTS]
AnswerPart = Annotated[
    Annotated[OutputText, Tag("[output_text]")]
    | Annotated[RefusalPart, Tag("[refusal]")]
    | Annotated[InputText, Tag("[input_text]")],
    _PARTS,
]
InputContent = Annotated[
    Annotated[Text, Tag("[text]")] | Annotated[list[InputPart], Field(min_length=1), Tag("[list]")],
    Discriminator(_form),
]
AnswerContent = Annotated[
    Annotated[Text, Tag("[text]")] | Annotated[list[AnswerPart], Tag("[list]")], Discriminator(_form)
]


class InputMessage(Body):
    """What the user said, or what the application instructs."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer"]
    content: InputContent
    id: str | None = None
    status: ItemStatus | None = None


class AnswerMessage(Body):
    """An earlier answer."""

    type: Literal["message"] = "message"
    role: Literal["assistant"]
    content: AnswerContent
    id: str | None = None
    status: ItemStatus | None = None
    phase: str | None = None


class FunctionCall(Body):
    """A tool call of an earlier answer."""

    type: Literal["function_call"]
    call_id: str
    name: str = Field(min_length=1, max_length=64)
    arguments: str
    id: str | None = None
    status: ItemStatus | None = None


class FunctionOutput(Body):
    """What a tool returned."""

    type: Literal["function_call_output"]
    call_id: str
    output: InputContent
    id: str | None = None
    status: ItemStatus | None = None


class Reasoning(Body):
    """The debate behind an earlier answer. It may be sent back, and is not read again, nor kept."""

    type: Literal["reasoning"]
    id: str | None = None
    summary: list[Any]
    content: list[Any] | None = None
    encrypted_content: str | None = None
    status: ItemStatus | None = None


Item = Annotated[
    Annotated[InputMessage, Tag("[message]")]
    | Annotated[AnswerMessage, Tag("[assistant]")]
    | Annotated[FunctionCall, Tag("[function_call]")]
    | Annotated[FunctionOutput, Tag("[function_call_output]")]
    | Annotated[Reasoning, Tag("[reasoning]")],
    _ITEMS,
]


class Function(FunctionTool):
    """A function that may be called. No tool of OpenAI's own is to be had here."""

    type: Literal["function"]


Tool = Annotated[
    Annotated[Function, Tag("[function]")],
    Discriminator(
        _type, custom_error_type="unsupported_tool", custom_error_message="only functions are supported here"
    ),
]


class NamedFunction(Body):
    """The tool that has to be called."""

    type: Literal["function"]
    name: str


class PlainText(Body):
    """No format: text."""

    type: Literal["text"]


class JsonObject(Body):
    """The answer is to be a JSON object."""

    type: Literal["json_object"]


class FittingJson(Body):
    """The answer is to be JSON that fits a schema."""

    type: Literal["json_schema"]
    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: Json = Field(alias="schema")
    strict: bool | None = None


class TextOptions(Body):
    """How the answer is to look."""

    format: (
        Annotated[
            Annotated[PlainText, Tag("[text]")]
            | Annotated[JsonObject, Tag("[json_object]")]
            | Annotated[FittingJson, Tag("[json_schema]")],
            Discriminator(_type),
        ]
        | None
    ) = None
    verbosity: Literal["medium"] | None = None


class ReasoningOptions(Body):
    """The debate goes out whole, voice by voice; how long it is, `chorus` says."""

    effort: None = None
    summary: Literal["auto", "detailed"] | None = None
    generate_summary: Literal["auto", "detailed"] | None = None


class StreamSettings(Body):
    """What a stream holds beside the response: nothing is padded here."""

    include_obfuscation: Literal[False] | None = None


class ResponseRequest(Body):
    """A response to be made."""

    model: str = Field(min_length=1, max_length=200, examples=["chorus"])
    """One of `/v1/models`."""
    input: Annotated[
        Annotated[Text, Tag("[text]")] | Annotated[list[Item], Field(min_length=1, max_length=2000), Tag("[list]")],
        Discriminator(_form),
    ]
    """What is asked: a text, or items, the last of which are the user's or results of tools."""
    instructions: Text | None = None
    """What the application instructs. It holds for this response, and not for those that go on from it."""
    previous_response_id: str | None = Field(default=None, max_length=300, pattern=IN_AN_ID)
    """The response that this one goes on from: what was said up to there comes before `input`."""
    store: bool | None = None
    """`false`: nothing stays, neither the response nor the debate's record; otherwise both can be read later."""
    stream: bool | None = None
    stream_options: StreamSettings | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=65_536)
    """Bound on each voice's turn and on the answer, in tokens; not on their sum. For that see `chorus.budget`."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """What the personas' own offsets are added to."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    text: TextOptions | None = None
    tools: list[Tool] | None = Field(default=None, max_length=128)
    """They reach the voice that writes the answer; the others are told what there is."""
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool | None = None
    """`false`: of several calls only the first goes out."""
    reasoning: ReasoningOptions | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
        ]
        | None
    ) = None
    """Goes back with the response."""
    user: str | None = Field(default=None, max_length=512)
    """Goes back with the response, and into the server's log of requests."""
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    include: Annotated[list[str], Field(max_length=0)] | None = None
    top_logprobs: Literal[0] | None = None
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None
    service_tier: Literal["auto", "default"] | None = None
    max_tool_calls: int | None = Field(default=None, ge=1)
    """Of OpenAI's own tools, of which there are none here: always kept to."""
    prompt_cache_key: str | None = Field(default=None, max_length=512)
    safety_identifier: str | None = Field(default=None, max_length=512)
    chorus: Options | None = None
    """How the chorus is to go about it."""
