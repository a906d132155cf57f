"""What one server takes of OpenAI's request, learnt from its refusals.

OpenAI-compatible servers differ in the fields that they know. A request is sent with all that it has; what the server
refuses by name is left out from then on:

- `logprobs`, `stream_options`, `seed` and vLLM's `cache_salt` are done without;
- without `response_format`, a JSON schema only stands in the prompt, if anywhere;
- without `tools`, they are told in the system message, and calls are read out of the text (`tool_calls`).

A schema that the server can't decode by is another matter: the field stays, that call fails with `SchemaRefused`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chorus.engines.base import Request
from chorus.engines.openai_faults import complaint, is_too_long, status_of
from chorus.engines.tool_prompts import as_json, as_text, guide, must_call, offered
from chorus.errors import SchemaRefused
from chorus.types import Message

OPTIONAL_FIELDS = ("logprobs", "top_logprobs", "stream_options", "seed")
"""What a request can do without, and nothing takes its place."""

SALT = "cache_salt"
"""vLLM's name for what keeps the prefixes of some calls apart from those of others."""

_UNKNOWN = (
    r"not supported|n't support|not support|unsupported|unrecogni[sz]ed|unknown|not permitted|unexpected|not allowed"
)
_NO_FORMAT = re.compile(
    rf"response_format.{{0,80}}(?:{_UNKNOWN})|(?:{_UNKNOWN}|extra)[^.]{{0,60}}response_format", re.IGNORECASE
)
_BAD_SCHEMA = re.compile(
    r"invalid[ _](?:json[ _])?schema|grammar|schema.{0,60}(?:invalid|not supported|unsupported|not allowed|must|required)"
    r"|response_format",
    re.IGNORECASE,
)
# vLLM wants flags for it, llama.cpp another, Ollama and routers say that the model can't.
_NO_TOOLS = re.compile(
    rf"\btools?(?:\b|_choice).{{0,60}}(?:{_UNKNOWN}|requires?)|(?:{_UNKNOWN}|extra)[^.]{{0,60}}\btools?(?:\b|_choice)",
    re.IGNORECASE,
)
_BAD_TOOL = re.compile(r"schema for function|tools[\[.]\d|function\.parameters", re.IGNORECASE)


@dataclass(slots=True)
class Dialect:
    """Which request fields the server takes."""

    refused: set[str] = field(default_factory=set)
    length_field: str = "max_tokens"
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields of the server's own that go into every request."""

    def body(self, request: Request) -> dict[str, Any]:
        """Return the request's fields but for the model. Raises EngineError where they contradict each other."""
        sampling = request.sampling
        # Both are sent even at OpenAI's default: vLLM's own default is whatever the checkpoint recommends.
        body: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        body[self.length_field] = sampling.max_tokens
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if extra := self.extra | self._salt(request):
            body["extra_body"] = extra
        optional = {"logprobs": True, "stream_options": {"include_usage": True}, "seed": sampling.seed}
        optional |= {"top_logprobs": request.openings} if request.openings and "logprobs" not in self.refused else {}
        body |= {name: value for name, value in optional.items() if name not in self.refused and value is not None}
        return body | self._tools(request) | self._format(request) | {"messages": self.messages(request)}

    def messages(self, request: Request) -> list[dict[str, Any]]:
        """Return the conversation as this server takes it."""
        if "tools" not in self.refused:
            return as_openai(request.messages)
        return as_openai(as_text(request.messages, offered(request), must=must_call(request)))

    def learn(self, error: Exception, sent: dict[str, Any]) -> bool:
        """Note what the server refused of what was sent; False when the refusal is about something else.

        Raises:
            SchemaRefused: it takes schemas, but not this one.
        """
        status, said = status_of(error), complaint(error)
        if status not in (400, 404, 422, 500, 501) or is_too_long(error):
            return False
        if "tools" in sent and _NO_TOOLS.search(said) and not _BAD_TOOL.search(said):
            self.refused.add("tools")
            return True
        if "response_format" in sent and _NO_FORMAT.search(said):
            self.refused.add("response_format")
            return True
        if status not in (400, 422):
            return False
        if "response_format" in sent:
            blame_schema(error)
        return self._learn_plain({str(getattr(error, "param", None)), *re.findall(r"\w+", said)}, sent)

    def _learn_plain(self, named: set[str], sent: dict[str, Any]) -> bool:
        if "max_tokens" in sent and "max_completion_tokens" in named:
            self.length_field = "max_completion_tokens"
            return True
        sent = sent | sent.get("extra_body", {})
        unwanted = {name for name in (*OPTIONAL_FIELDS, SALT) if name in sent and name in named}
        self.refused |= unwanted
        return bool(unwanted)

    def sends_schema(self, request: Request) -> bool:
        """Tell whether the request goes out with a schema."""
        return bool(self._format(request))

    def _salt(self, request: Request) -> dict[str, Any]:
        return {SALT: request.salt} if request.salt and SALT not in self.refused else {}

    def _tools(self, request: Request) -> dict[str, Any]:
        if not request.tools or "tools" in self.refused:
            return {}
        offered(request)  # whether the choice names one of them
        choice: Any = request.tool_choice or "auto"
        if choice not in ("auto", "none", "required"):
            choice = {"type": "function", "function": {"name": choice}}
        return {"tools": [as_json(tool) for tool in request.tools], "tool_choice": choice}

    def _format(self, request: Request) -> dict[str, Any]:
        # Where the server is given tools it holds calls to their schemas itself.
        schema = guide(request) if "tools" in self.refused else request.json_schema
        if schema is None or "response_format" in self.refused:
            return {}
        try:
            loaded = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SchemaRefused(f"the JSON schema can't be read: {error}") from error
        wanted = {"name": "answer", "schema": loaded, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def blame_schema(error: Exception) -> None:
    """Raise SchemaRefused where an error says that the schema is at fault: in answer to the request, or in the stream."""
    said = complaint(error)
    if not is_too_long(error) and _BAD_SCHEMA.search(f"{getattr(error, 'param', None)} {said}"):
        raise SchemaRefused(f"the server can't decode by the JSON schema: {said}") from error


def as_openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages in OpenAI's shape."""
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    one: dict[str, Any] = {"role": message.role, "content": _encodable(message.content)}
    if message.tool_calls:
        one["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _encodable(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        one["tool_call_id"] = message.tool_call_id or ""
    return one


def _encodable(text: str) -> str:
    # Half a surrogate pair has no UTF-8 form, and no request could carry it.
    return text.encode("utf-8", "replace").decode()
