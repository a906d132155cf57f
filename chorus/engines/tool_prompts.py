"""Tools told to a model, and their calls held to a schema: for engines whose server doesn't do it for them.

Models whose chat template knows tools get them through it (`templating`); all others read them in the system message,
and see earlier calls and results as text of the same form. Where decoding can be guided, a call that must come is
decoded by its schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chorus.engines.base import Request
from chorus.errors import EngineError, SchemaRefused
from chorus.types import Message, Tool

_HOW = """\
You can call these tools. Each is given as JSON, with a schema of its arguments:
{tools}

To call one, write this and nothing after it:
<tool_call>
{{"name": "the tool's name", "arguments": {{its arguments}}}}
</tool_call>
Its result comes back between <tool_response> and </tool_response>."""
_FREE = "\nAnswer in words where no tool is needed."
_MUST = "\nCall a tool now."


def offered(request: Request) -> tuple[Tool, ...]:
    """Return the tools that may be called: those of the request, as far as its `tool_choice` lets them.

    Raises:
        EngineError: the choice names a tool that isn't there.
    """
    choice = request.tool_choice
    if choice in (None, "auto", "required"):
        return request.tools
    if choice == "none":
        return ()
    named = tuple(tool for tool in request.tools if tool.name == choice)
    if not named:
        known = ", ".join(tool.name for tool in request.tools) or "none"
        raise EngineError(f"tool_choice names {choice!r}, which is none of the tools: {known}")
    return named


def must_call(request: Request) -> bool:
    """Tell whether the completion has to be a call."""
    return bool(offered(request)) and request.tool_choice not in (None, "auto")


def guide(request: Request) -> str | None:
    """Return the JSON schema to decode by; `None` where the model may write what it likes.

    A call that must come is one object with the tool's name and its arguments. Where the model may call a tool or give
    its answer by `json_schema`, either fits.

    Raises:
        EngineError: as `offered`; SchemaRefused when a schema is no JSON, or nested too deep.
    """
    tools = offered(request)
    wanted = request.json_schema
    if not tools or (wanted is None and not must_call(request)):
        return wanted
    try:
        return json.dumps(_calls_or(None if must_call(request) else wanted, tools))
    except (ValueError, RecursionError) as error:
        raise SchemaRefused(f"the JSON schemas of the tools and the answer can't be read: {error}") from error


def _calls_or(wanted: str | None, tools: Sequence[Tool]) -> dict[str, Any]:
    """Return the schema of a call of one of the tools, or of an answer."""
    options = [(f"tool_{index}", json.loads(tool.parameters) or {"type": "object"}) for index, tool in enumerate(tools)]
    shapes: list[Any] = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": {"$ref": f"#/$defs/{name}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool, (name, _) in zip(tools, options, strict=True)
    ]
    if wanted is not None:
        options.append(("answer", json.loads(wanted)))
        shapes.append({"$ref": "#/$defs/answer"})
    definitions = {name: _moved(schema, f"#/$defs/{name}") for name, schema in options}
    return {**(shapes[0] if len(shapes) == 1 else {"anyOf": shapes}), "$defs": definitions}


def as_text(messages: Sequence[Message], tools: Sequence[Tool] = (), *, must: bool = False) -> tuple[Message, ...]:
    """Return a conversation in which tools, calls and results are plain text, for a model that knows none of them.

    Results become the user's words. Neighbours of one role are joined, as many templates want roles to alternate.
    """
    joined: list[Message] = []
    was_told = False
    for message in messages:
        plain, is_told = _plain(message), message.role == "tool" or bool(message.tool_calls)
        if joined and joined[-1].role == plain.role and (is_told or was_told):
            plain = Message(role=plain.role, content=f"{joined.pop().content}\n\n{plain.content}")
        joined.append(plain)
        was_told = is_told
    return _told(joined, tools, must) if tools else tuple(joined)


def as_json(tool: Tool) -> dict[str, Any]:
    """Return the tool as chat templates and servers take it."""
    parameters = json.loads(tool.parameters) or {"type": "object", "properties": {}}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _told(messages: list[Message], tools: Sequence[Tool], must: bool) -> tuple[Message, ...]:
    listed = "\n".join(json.dumps(as_json(tool), ensure_ascii=False) for tool in tools)
    told = _HOW.format(tools=listed) + (_MUST if must else _FREE)
    if messages and messages[0].role == "system":
        return (Message(role="system", content=f"{messages[0].content}\n\n{told}"), *messages[1:])
    return (Message(role="system", content=told), *messages)


def _plain(message: Message) -> Message:
    if message.role == "tool":
        return Message(role="user", content=f"<tool_response>\n{message.content}\n</tool_response>")
    if not message.tool_calls:
        return message
    calls = [
        f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n</tool_call>'
        for call in message.tool_calls
    ]
    return Message(role=message.role, content="\n".join(filter(None, [message.content, *calls])))


def _moved(schema: Any, place: str) -> Any:
    """Return a schema whose references hold after it was moved from the root to a place below it."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    moved = {key: _moved(value, place) for key, value in schema.items()}
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference[1:]
    return moved
