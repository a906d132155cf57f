"""One streamed chat completion, read chunk by chunk.

Servers differ in what they leave out, so nothing in a chunk is taken for granted but that it came. Thinking
(`reasoning`, or `reasoning_content`) is counted and left out of the text; tool calls are gathered beside it. Token
strings are made to fit the text exactly, or dropped: a confidence read off the wrong tokens is worse than none.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chorus.engines.base import TokenLogprob
from chorus.types import ToolCall, well_formed


@dataclass(slots=True)
class Reading:
    """What a stream has said so far."""

    text: str = ""
    reasoning: str = ""
    """Thinking aloud; no part of the answer."""
    finish: str | None = None
    """`None` until the server says why it stopped."""
    usage: Any = None
    """The SDK's usage object, once it came."""
    reasoned_tokens: int = 0
    """Tokens of the thinking, where the server lists them."""
    _entries: list[Any] = field(default_factory=list)
    _calls: dict[int, dict[str, str]] = field(default_factory=dict)

    def take(self, chunk: Any) -> str:
        """Read a chunk and return the new text in it."""
        self.usage = getattr(chunk, "usage", None) or self.usage
        choices = getattr(chunk, "choices", None)
        return self._take_choice(choices[0]) if isinstance(choices, list) and choices else ""

    def _take_choice(self, choice: Any) -> str:
        self.finish = getattr(choice, "finish_reason", None) or self.finish
        delta = getattr(choice, "delta", None)
        said = _text(delta, "content")
        self._take_calls(getattr(delta, "tool_calls", None))
        thought = _text(delta, "reasoning") or _text(delta, "reasoning_content")
        entries = getattr(getattr(choice, "logprobs", None), "content", None)
        entries = entries if isinstance(entries, list) else []
        if thought and not said:
            self.reasoned_tokens += len(entries)
        else:
            self._entries.extend(entries)
        self.text += said
        self.reasoning += thought
        return said

    def _take_calls(self, parts: Any) -> None:
        """Put the parts of tool calls together. Servers that send a call whole may leave its index out."""
        for part in parts if isinstance(parts, list) else ():
            index, function = getattr(part, "index", None), getattr(part, "function", None)
            named = _text(part, "id") or _text(function, "name")
            if not isinstance(index, int):
                index = len(self._calls) if named or not self._calls else max(self._calls)
            call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or _text(part, "id")
            # Some servers repeat the name with every part.
            call["name"] = call["name"] or _text(function, "name")
            call["arguments"] += _text(function, "arguments")

    @property
    def length(self) -> int:
        """Characters that came, of every sort."""
        return len(self.text) + len(self.reasoning) + sum(len(call["arguments"]) for call in self._calls.values())

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that came, in the server's order; parts without a tool's name are no call."""
        return tuple(
            ToolCall(
                id=well_formed(call["id"]) or f"call_{index}",
                name=well_formed(call["name"]),
                arguments=well_formed(call["arguments"]) or "{}",
            )
            for index, call in sorted(self._calls.items())
            if call["name"]
        )

    @property
    def tokens_listed(self) -> int:
        """Tokens that came with a log-probability, thinking included."""
        return len(self._entries) + self.reasoned_tokens

    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """Return the tokens that joined give `text`; empty when they can't be made to."""
        try:
            # A probability is at most 1, whatever rounding or a faulty server makes of it.
            values = [min(float(entry.logprob), 0.0) for entry in self._entries]
            if any(map(math.isnan, values)):
                return ()
            return _fit(_spell(self._entries, lambda entry: entry.token), values, self.text) or _fit(
                _spell_bytes(self._entries), values, self.text
            )
        except (AttributeError, TypeError, ValueError):
            return ()

    def openings(self, most: int) -> tuple[TokenLogprob, ...]:
        """Return the likeliest first tokens that the server listed, likeliest first."""
        listed = getattr(self._entries[0], "top_logprobs", None) if self._entries else None
        try:
            found = [TokenLogprob(str(one.token), min(float(one.logprob), 0.0)) for one in listed or ()]
        except (AttributeError, TypeError, ValueError):
            return ()
        likely = sorted((one for one in found if not math.isnan(one.logprob)), key=lambda one: -one.logprob)
        return tuple(likely[:most])


def _text(delta: Any, name: str) -> str:
    value = getattr(delta, name, None)
    return value if isinstance(value, str) else ""


def _spell(entries: list[Any], spell: Callable[[Any], str]) -> list[str]:
    return [spell(entry) for entry in entries]


def _spell_bytes(entries: list[Any]) -> list[str]:
    """Spell the tokens by their bytes: a character cut in two goes to the token that completes it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return _spell(entries, lambda entry: decoder.decode(bytes(entry.bytes)))


def _fit(tokens: list[str], values: list[float], text: str) -> tuple[TokenLogprob, ...]:
    """Cut the tokens to the text: servers list end and stop tokens that the text leaves out."""
    start = "".join(tokens).find(text)
    if not text or start < 0:
        return ()
    fitted: list[TokenLogprob] = []
    at, end = 0, start + len(text)
    for token, value in zip(tokens, values, strict=True):
        part = token[max(0, start - at) : max(0, end - at)]
        at += len(token)
        if part:
            fitted.append(TokenLogprob(part, value))
    return tuple(fitted)
