"""Calls and completions in Inspect's words and in ours, both ways.

An engine of ours serves Inspect (`provider`), and a model of Inspect's serves a debate (`inspect_engine`). What one side
counts or says, the other finds again: cached tokens, log-probabilities, stop strings, seeds, tool calls, why it ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    Logprob,
    Logprobs,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.tool import ToolCall as InspectToolCall
from inspect_ai.tool import ToolChoice, ToolFunction, ToolInfo

from chorus.engines.base import Completion, Request, Sampling, TokenLogprob
from chorus.types import Message, Tool, ToolCall, Usage

DEFAULT_TOKENS = 256
"""Bound on a completion where Inspect names none."""

_STOP: dict[str, StopReason] = {"stop": "stop", "length": "max_tokens", "tool_calls": "tool_calls"}
_FINISH = {"max_tokens": "length", "model_length": "length"}
_CHOICE = {"auto": "auto", "any": "required", "none": "none"}


def chat(messages: Sequence[Message]) -> list[ChatMessage]:
    """Return the messages of a debate's call as Inspect's."""
    return [_chat(message) for message in messages]


def messages(chat: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Return Inspect's messages as ours: their text and tool calls."""
    return tuple(_message(message) for message in chat)


def config(sampling: Sampling) -> GenerateConfig:
    """Return how a completion is drawn, as Inspect says it."""
    return GenerateConfig(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        stop_seqs=list(sampling.stop) or None,
        logprobs=True,
    )


def sampling(config: GenerateConfig) -> Sampling:
    """Return how a completion is drawn, where Inspect's configuration says it."""
    return Sampling(
        max_tokens=config.max_tokens or DEFAULT_TOKENS,
        temperature=config.temperature or 0.0,
        top_p=1.0 if config.top_p is None else config.top_p,
        seed=config.seed,
        stop=tuple(config.stop_seqs or ()),
    )


def request(
    chat: Sequence[ChatMessage], tools: Sequence[ToolInfo], choice: ToolChoice, config: GenerateConfig
) -> Request:
    """Return a call that Inspect makes as a request to an engine."""
    schema = config.response_schema
    return Request(
        messages(chat),
        sampling(config),
        json_schema=json.dumps(schema.json_schema.model_dump(exclude_none=True)) if schema else None,
        tools=tuple(
            Tool(
                name=tool.name,
                description=tool.description,
                parameters=tool.parameters.model_dump_json(exclude_none=True),
            )
            for tool in tools
        ),
        tool_choice=choice.name if isinstance(choice, ToolFunction) else _CHOICE[choice],
    )


def output(completion: Completion, model: str) -> ModelOutput:
    """Return an engine's completion as a model's output."""
    used = completion.usage
    tokens = [Logprob(token=token.token, logprob=token.logprob) for token in completion.logprobs]
    calls = [_inspect_call(call) for call in completion.tool_calls]
    return ModelOutput(
        model=model,
        choices=[
            ChatCompletionChoice(
                message=ChatMessageAssistant(content=completion.text, model=model, tool_calls=calls or None),
                stop_reason=_STOP.get(completion.finish, "unknown"),
                logprobs=Logprobs(content=tokens) if tokens else None,
            )
        ],
        usage=ModelUsage(
            input_tokens=used.prompt_tokens - used.cached_tokens,
            input_tokens_cache_read=used.cached_tokens,
            output_tokens=used.completion_tokens,
            total_tokens=used.prompt_tokens + used.completion_tokens,
        ),
    )


def completion(output: ModelOutput) -> Completion:
    """Return a model's output as an engine's completion."""
    used, choice = output.usage or ModelUsage(), output.choices[0]
    cached = used.input_tokens_cache_read or 0
    return Completion(
        text=output.completion,
        finish=_FINISH.get(choice.stop_reason, choice.stop_reason),
        usage=Usage(
            calls=1,
            prompt_tokens=used.input_tokens + cached + (used.input_tokens_cache_write or 0),
            cached_tokens=cached,
            completion_tokens=used.output_tokens,
            wall_s=output.time or 0.0,
        ),
        logprobs=_logprobs(choice, output.completion),
        tool_calls=tuple(_our_call(call) for call in choice.message.tool_calls or ()),
    )


def _logprobs(choice: ChatCompletionChoice, text: str) -> tuple[TokenLogprob, ...]:
    """Return a choice's log-probabilities if they are those of its text: others would mislead."""
    entries = choice.logprobs.content if choice.logprobs else []
    found = tuple(TokenLogprob(entry.token, entry.logprob) for entry in entries)
    return found if "".join(token.token for token in found) == text else ()


def _chat(message: Message) -> ChatMessage:
    if message.role == "system":
        return ChatMessageSystem(content=message.content)
    if message.role == "user":
        return ChatMessageUser(content=message.content)
    if message.role == "tool":
        return ChatMessageTool(content=message.content, tool_call_id=message.tool_call_id)
    calls = [_inspect_call(call) for call in message.tool_calls]
    return ChatMessageAssistant(content=message.content, tool_calls=calls or None)


def _message(message: ChatMessage) -> Message:
    return Message(
        role=message.role,
        content=message.text,
        tool_calls=tuple(_our_call(call) for call in getattr(message, "tool_calls", None) or ()),
        tool_call_id=getattr(message, "tool_call_id", None),
    )


def _inspect_call(call: ToolCall) -> InspectToolCall:
    """Return a tool call as Inspect's; arguments that are no JSON object are said to be none."""
    try:
        arguments, fault = json.loads(call.arguments), None
    except (ValueError, RecursionError) as error:
        arguments, fault = {}, f"the arguments are no JSON: {error}"
    if not isinstance(arguments, dict):
        arguments, fault = {}, "the arguments are no JSON object"
    return InspectToolCall(id=call.id, function=call.name, arguments=arguments, parse_error=fault)


def _our_call(call: InspectToolCall) -> ToolCall:
    return ToolCall(id=call.id, name=call.function, arguments=json.dumps(call.arguments))
