"""OpenTelemetry's words for generative AI: the attributes that spans carry, and messages in the shape it asks for.

Semantic conventions 1.41.0, documents `gen-ai-spans` and `gen-ai-agent-spans`
(https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai). They are in development, and the
Python package of their constants calls all of them deprecated since they moved to a repository of their own; so the
few that are used stand here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence

from chorus.types import Message

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

OPERATION = "gen_ai.operation.name"
CHAT = "chat"
INVOKE_WORKFLOW = "invoke_workflow"
PROVIDER = "gen_ai.provider.name"
WORKFLOW = "gen_ai.workflow.name"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
MODEL = "gen_ai.request.model"
MAX_TOKENS = "gen_ai.request.max_tokens"
TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
SEED = "gen_ai.request.seed"
STOP_SEQUENCES = "gen_ai.request.stop_sequences"
OUTPUT_TYPE = "gen_ai.output.type"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
ERROR = "error.type"
OTHER_ERROR = "_OTHER"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable that lets prompts and answers into spans; they stay out of them without it."""

CAPTURING = frozenset({"true", "span_only", "span_and_event"})
"""Its values that mean spans: the one of the first instrumentations, then those that OpenTelemetry's own helpers know."""


def captures_content() -> bool:
    """Return whether the environment lets prompts and answers into spans."""
    return os.environ.get(CAPTURE, "").strip().lower() in CAPTURING


def input_messages(messages: Iterable[Message]) -> str:
    """Return the JSON of messages to a model, in the order sent."""
    return json.dumps([{"role": message.role, "parts": _parts(message)} for message in messages])


def output_message(text: str, finish: str | None) -> str:
    """Return the JSON of one message from a model, as the list that the conventions ask for."""
    parts = [{"type": "text", "content": text}]
    return json.dumps([{"role": "assistant", "parts": parts, "finish_reason": finish or "stop"}])


def _parts(message: Message) -> Sequence[Mapping[str, str | None]]:
    if message.role == "tool":
        return [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}]
    said = [{"type": "text", "content": message.content}] if message.content or not message.tool_calls else []
    asked = [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in message.tool_calls
    ]
    return [*said, *asked]
