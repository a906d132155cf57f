"""A chat's messages become a question for the chorus, and messages for the voice that writes the answer.

The last thing the user said is the question. What the application instructs (system and developer messages), what tools
returned since, and which tools there are goes behind it, into the question itself: every voice reads it, and no chat
template has to take two system messages. Earlier messages are the question's history, told as user and assistant only.
What kind of answer is wanted is judged by the user's words alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from chorus.chorus import as_question
from chorus.debate import grade
from chorus.errors import QuestionError
from chorus.server.problems import Refusal
from chorus.server.requests import AssistantMessage, ChatMessage, ChatRequest, SystemMessage, ToolMessage, UserMessage
from chorus.types import MAX_QUESTION_CHARS, Message, Question, Tool, ToolCall

INSTRUCTIONS = "What the answer must keep to:"
RESULTS = "What the tools returned:"
TOOLS = "Tools that can be called after this debate, if they are needed:"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was asked."""

    asked: str
    """The user's last words, as lists show them."""
    question: Question
    """As the voices read it."""
    instructions: str
    """What the application instructs; empty when it doesn't."""
    messages: tuple[Message, ...]
    """The conversation without the instructions, for the voice that writes the answer."""


def read(request: ChatRequest, tools: Sequence[Tool] = ()) -> Conversation:
    """Return what a chat asks. `tools` are those that may be called.

    Raises:
        Refusal: the conversation doesn't end with the user or a tool, or has nothing to ask.
        QuestionError: the question is too long.
    """
    messages = request.messages
    asking = _question_at(messages)
    asked = _text(messages[asking])
    instructions = "\n\n".join(_text(one) for one in messages if isinstance(one, SystemMessage))
    names = {
        call.id: call.function.name
        for one in messages
        if isinstance(one, AssistantMessage)
        for call in one.tool_calls or []
    }
    results = [_result(one, names) for one in messages[asking + 1 :] if isinstance(one, ToolMessage)]
    parts = [asked]
    parts += [f"{INSTRUCTIONS}\n{instructions}"] if instructions.strip() else []
    parts += ["\n".join([RESULTS, *results])] if results else []
    parts += ["\n".join([TOOLS, *(f"- {tool.name}: {tool.description}" for tool in tools)])] if tools else []
    history = tuple(told for one in messages[:asking] if (told := _told(one, names)))
    native = tuple(_native(one) for one in messages if not isinstance(one, SystemMessage))
    return Conversation(asked, question(asked, "\n\n".join(parts), history), instructions, native)


def question(asked: str, text: str | None = None, history: tuple[Message, ...] = ()) -> Question:
    """Return a question under a name of its own. Raises QuestionError when it is empty or too long.

    Args:
        asked: the user's words, which say what kind of answer is wanted.
        text: what the voices read; the user's words when left out.
        history: what was said before.
    """
    text = asked if text is None else text
    if not asked.strip():
        raise QuestionError("the question is empty")
    if len(text) > MAX_QUESTION_CHARS:
        raise QuestionError(
            f"the question and what goes with it (instructions, tools and their results) have {len(text):,} characters; "
            f"at most {MAX_QUESTION_CHARS:,} can be put to a chorus"
        )
    bare = Question(text=asked)
    asking = Question(
        id=f"q{secrets.token_hex(8)}",
        text=text,
        kind=grade.infer_kind(bare),
        choices=grade.infer_choices(bare),
        history=history,
    )
    return as_question(asking)


def _question_at(messages: Sequence[ChatMessage]) -> int:
    """Return where the user's last words stand."""
    if not isinstance(messages[-1], UserMessage | ToolMessage):
        raise Refusal("the last message must be the user's or a tool's", param="messages", code="invalid_value")
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], UserMessage):
            return index
    raise Refusal("no message of a user is among the messages", param="messages", code="invalid_value")


def _text(message: ChatMessage) -> str:
    """Return a message's words."""
    if isinstance(message, AssistantMessage) and message.content is None:
        return message.refusal or ""
    content = message.content or ""
    if not isinstance(content, str):
        content = "\n".join(part.text if part.type == "text" else part.refusal for part in content)
    named = isinstance(message, UserMessage) and message.name
    return f"{message.name}: {content}" if named else content


def _told(message: ChatMessage, names: dict[str, str]) -> Message | None:
    """Return an earlier message as the voices are told of it; None for what they read elsewhere."""
    if isinstance(message, SystemMessage):
        return None
    if isinstance(message, UserMessage):
        return Message(role="user", content=_text(message))
    if isinstance(message, ToolMessage):
        return Message(role="user", content=f"{RESULTS}\n{_result(message, names)}")
    calls = [f"(called {call.function.name} with {call.function.arguments})" for call in message.tool_calls or []]
    return Message(role="assistant", content="\n".join(filter(None, [_text(message), *calls])))


def _result(message: ToolMessage, names: dict[str, str]) -> str:
    return f"- {names.get(message.tool_call_id, 'a tool')}: {_text(message)}"


def _native(message: ChatMessage) -> Message:
    """Return a message as engines take it."""
    if isinstance(message, AssistantMessage):
        calls = tuple(
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in message.tool_calls or []
        )
        return Message(role="assistant", content=_text(message), tool_calls=calls)
    if isinstance(message, ToolMessage):
        return Message(role="tool", content=_text(message), tool_call_id=message.tool_call_id)
    return Message(role="user", content=_text(message))
