"""Items, in which this API tells a conversation, become the messages of a chat, and a request the chat that it asks for.

So there is one way of asking: what a response is asked for, `asking` reads. Names of fields that its refusals hold are
told in this API's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from pydantic import ValidationError

from chorus.errors import ChorusError
from chorus.server import requests
from chorus.server.problems import Refusal, problem
from chorus.server.requests import (
    AssistantMessage,
    Call,
    ChatMessage,
    ChatRequest,
    ChatTool,
    FunctionTool,
    JsonFormat,
    JsonSchema,
    NamedTool,
    RefusalPart,
    ResponseFormat,
    SchemaFormat,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from chorus.server.responses.requests import (
    AnswerMessage,
    FittingJson,
    Function,
    FunctionCall,
    FunctionOutput,
    InputMessage,
    InputText,
    Item,
    JsonObject,
    NamedFunction,
    OutputText,
    Reasoning,
    ResponseRequest,
)

MAX_ITEMS = 2000
"""Of one conversation, earlier responses included."""

_NAMES = {"messages": "input", "response_format.json_schema.schema": "text.format.schema"}


@contextmanager
def in_own_words() -> Iterator[None]:
    """Tell what is wrong with a chat by the names that its fields have in this API."""
    try:
        yield
    except ChorusError as error:
        told = problem(error)
        if told.param not in _NAMES:
            raise
        name = _NAMES[told.param]
        raise Refusal(told.message, status=told.status, param=name, code=told.code, kind=told.type) from error


def given(body: ResponseRequest) -> list[Item]:
    """Return what a request adds to the conversation."""
    if isinstance(body.input, str):
        return [InputMessage(role="user", content=body.input)]
    return list(body.input)


def without_reasoning(items: Iterable[Item]) -> list[Item]:
    """Return the items that somebody reads: not the debates behind earlier answers, which may be long."""
    return [item for item in items if not isinstance(item, Reasoning)]


def as_chat(body: ResponseRequest, before: Sequence[Item]) -> ChatRequest:
    """Return the chat that a request asks for, behind what was said before. Raises Refusal when it is too long."""
    try:
        return _chat(body, before)
    except ValidationError as error:  # each piece is within its bounds, and the whole of them is not
        why = error.errors()[0]["msg"]
        raise Refusal(f"the conversation is too long: {why}", param="input", code="invalid_value") from None


def _chat(body: ResponseRequest, before: Sequence[Item]) -> ChatRequest:
    items = [*before, *given(body)]
    if len(items) > MAX_ITEMS:
        raise Refusal(f"the conversation has more than {MAX_ITEMS:,} items", param="input", code="invalid_value")
    messages: list[ChatMessage] = [SystemMessage(role="system", content=body.instructions)] if body.instructions else []
    for item in items:
        _add(messages, item)
    if not messages:
        raise Refusal("nothing is asked: the input holds no message", param="input", code="invalid_value")
    return ChatRequest(
        model=body.model,
        messages=messages,
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_output_tokens,
        response_format=_format(body),
        tools=[_tool(tool) for tool in body.tools] if body.tools else None,
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        chorus=body.chorus,
    )


def _add(messages: list[ChatMessage], item: Item) -> None:
    """Add an item to the messages of a chat, where an answer and its tool calls are one message."""
    if isinstance(item, InputMessage):
        kind = UserMessage(role="user", content=_text(item.content)) if item.role == "user" else None
        messages.append(kind or SystemMessage(role="system", content=_text(item.content)))
    elif isinstance(item, AnswerMessage):
        messages.append(AssistantMessage(role="assistant", content=_text(item.content)))
    elif isinstance(item, FunctionCall):
        call = Call(id=item.call_id, function=requests.Function(name=item.name, arguments=item.arguments))
        last = messages[-1] if messages else None
        if isinstance(last, AssistantMessage):
            messages[-1] = last.model_copy(update={"tool_calls": [*(last.tool_calls or []), call]})
        else:
            messages.append(AssistantMessage(role="assistant", tool_calls=[call]))
    elif isinstance(item, FunctionOutput):
        messages.append(ToolMessage(role="tool", content=_text(item.output), tool_call_id=item.call_id))


def _text(content: str | Sequence[InputText | OutputText | RefusalPart]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.refusal if isinstance(part, RefusalPart) else part.text for part in content)


def _format(body: ResponseRequest) -> ResponseFormat | None:
    asked = body.text.format if body.text else None
    if isinstance(asked, JsonObject):
        return JsonFormat(type="json_object")
    if isinstance(asked, FittingJson):
        schema = JsonSchema(name=asked.name, description=asked.description, schema=asked.schema_, strict=asked.strict)
        return SchemaFormat(type="json_schema", json_schema=schema)
    return None


def _tool(tool: Function) -> ChatTool:
    return ChatTool(type="function", function=FunctionTool(**tool.model_dump(exclude={"type"})))


def _choice(body: ResponseRequest) -> Literal["none", "auto", "required"] | NamedTool | None:
    choice = body.tool_choice
    if isinstance(choice, NamedFunction):
        return NamedTool(type="function", function=requests.NamedFunction(name=choice.name))
    return choice
