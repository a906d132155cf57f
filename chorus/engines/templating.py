"""Messages as the tokens that a model was trained to read: its tokenizer's chat template, with or without tools.

A template is asked once whether it knows tools, by rendering a short conversation that uses one. Where it does, tools,
calls and results go through it; elsewhere, and where it refuses these very messages, they are told in text
(`tool_prompts.as_text`). A model without a template reads the messages one after another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chorus.engines.base import Request
from chorus.engines.tool_prompts import as_json, as_text, must_call, offered
from chorus.errors import EngineError
from chorus.types import Message, Tool, ToolCall, well_formed

_PROBE_TOOL = Tool(name="probe_tool", description="probes", parameters='{"type": "object", "properties": {}}')
_PROBE = (
    Message(role="user", content="probe"),
    Message(role="assistant", content="", tool_calls=(ToolCall(id="probe1234", name="probe_call", arguments="{}"),)),
    Message(role="tool", content="probe_result", tool_call_id="probe1234"),
)


class ChatTemplate:
    """A tokenizer's chat template. `tokenizer` is one of transformers', or works like one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._knows_tools: bool | None = None

    def encode(self, messages: Sequence[Message], request: Request | None = None) -> list[int]:
        """Return the prompt's token ids.

        Args:
            messages: the conversation.
            request: the call that they are for; its tools are told to the model.

        Raises:
            EngineError: the template refuses the messages.
        """
        tools = offered(request) if request else ()
        if tools or any(message.role == "tool" or message.tool_calls for message in messages):
            if self._takes_tools():
                try:
                    return self._tokens(messages, tools)
                except EngineError:
                    pass  # a template that knows tools may refuse an id or an order of messages; text always goes
            messages = as_text(messages, tools, must=request is not None and must_call(request))
        return self._tokens(messages, ())

    def _takes_tools(self) -> bool:
        if self._knows_tools is None:
            try:
                shown = self._tokenizer.decode(self._tokens(_PROBE, (_PROBE_TOOL,)))
            except EngineError:
                shown = ""
            self._knows_tools = all(name in shown for name in ("probe_tool", "probe_call", "probe_result"))
        return self._knows_tools

    def _tokens(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        plain = _as_json(messages)
        if getattr(self._tokenizer, "chat_template", "its own") is None:
            return list(self._tokenizer("".join(f"{message['content']}\n\n" for message in plain))["input_ids"])
        told = {"tools": [as_json(tool) for tool in tools]} if tools else {}
        try:
            encoded = self._tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_dict=True, **told)
        except Exception as error:
            # Templates refuse what they don't know, a system message for one, with errors of their own.
            raise EngineError(f"the model's chat template does not take these messages: {error}") from error
        return list(encoded["input_ids"] if isinstance(encoded, Mapping) else encoded)


def _as_json(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages as templates take them: a call's arguments as a table, a result with its tool's name."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    plain: list[dict[str, Any]] = []
    for message in messages:
        # Half a surrogate pair has no UTF-8 form, which is what tokenizers read.
        one: dict[str, Any] = {"role": message.role, "content": well_formed(message.content)}
        if message.tool_calls:
            one["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": _table(c.arguments)}}
                for c in message.tool_calls
            ]
        if message.role == "tool":
            one["tool_call_id"] = message.tool_call_id or ""
            one["name"] = names.get(message.tool_call_id or "", "")
        plain.append(one)
    return plain


def _table(arguments: str) -> Any:
    try:
        return json.loads(well_formed(arguments))
    except (ValueError, RecursionError):
        return well_formed(arguments)
