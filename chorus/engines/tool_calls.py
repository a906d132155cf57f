"""Tool calls in what a model wrote: found, taken out of the text, and kept from being streamed as words.

Models write calls in a few forms, and all of them are read, whatever the model was told:

    <tool_call>{"name": …, "arguments": {…}}</tool_call>      Hermes, Qwen, and what `tool_prompts` asks for
    <|python_tag|>{…}   <function=NAME>{…}</function>         Llama
    [TOOL_CALLS][{…}]   [TOOL_CALLS]NAME[ARGS]{…}             Mistral
    {…}   [{…}]   NAME{…}                                     the same, where a tokenizer drops the marks

Invariants: any text may come in, and none raises; only tools that were offered are called; text that holds no call
comes through as it is; what was streamed is always the beginning of the final text; time is linear in the text but for
a bounded number of marks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from chorus.engines.base import Completion, Emit, Request
from chorus.engines.tool_prompts import offered
from chorus.types import ToolCall, well_formed

MAX_CALLS = 64
"""Marks looked at in one text; a model that is stuck may write any number."""

MAX_NAME = 80
"""Characters at a text's beginning that wait while they may be a tool's name."""

MARKS = ("<tool_call>", "<|python_tag|>", "<function=", "[TOOL_CALLS]")
_MARK = re.compile("|".join(map(re.escape, MARKS)))
_SPACE = re.compile(r"\s*")
_CLOSE = re.compile(r"\s*(?:</tool_call>|</function>|<\|eom_id\|>|<\|eot_id\|>)")
_NAMED = re.compile(r"\s*([\w.-]{1,64})\s*(?:>|\[CALL_ID\]\w{1,64}|\[ARGS\])*\s*(?=\{)")
_FENCE = re.compile(r"\s*```(?:json|tool_call|tool_code)?[ \t]*\n?")
_FENCE_END = re.compile(r"\s*```")
_BETWEEN = re.compile(r"[\s;,]*")
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Found:
    """Calls at one place of a text."""

    start: int
    end: int
    """What lies between is no part of the words."""
    calls: tuple[tuple[str, str], ...]
    """Name and arguments of each."""


def read(text: str, names: Collection[str]) -> list[Found]:
    """Return the calls of the named tools in a text, in order. Empty when there are none."""
    marked: list[Found] = []
    for mark in _marks(text):
        if (not marked or mark.start() >= marked[-1].end) and (found := _at_mark(text, mark, names)):
            marked.append(found)
    if marked:
        return marked
    bare = _bare(text, names)
    return [bare] if bare else []


class Ear:
    """Hears a completion as it is written: passes words on, holds back what may be a call, and reads the calls.

    Where no tools were offered everything passes untouched.
    """

    def __init__(self, request: Request, emit: Emit) -> None:
        self._names = frozenset(tool.name for tool in offered(request))
        self._request = request
        self._emit = emit
        self._text = ""
        self._passed = 0
        self._looked = 0
        self._leading = True
        self._holding = False

    def take(self, piece: str) -> None:
        """Hear the next piece of text."""
        if not self._names:
            self._emit(piece)
            return
        self._text += piece
        if not self._holding:
            self._pass_on(self._safe())

    def finish(self, completion: Completion) -> Completion:
        """Return the completion with its calls beside its words, once it has been heard to its end."""
        silent = not self._names or completion.tool_calls  # a server may have read them already
        found = [] if silent else read(completion.text, self._names)
        if not found:
            if self._names:
                self._text = completion.text
                self._pass_on(len(self._text))
            return completion
        self._text = _without(completion.text, found)
        self._pass_on(len(self._text))
        said = [call for one in found for call in one.calls]
        return dataclasses.replace(
            completion,
            text=self._text,
            finish="tool_calls",
            logprobs=(),
            tool_calls=tuple(self._call(number, *call) for number, call in enumerate(said)),
        )

    def _call(self, number: int, name: str, arguments: str) -> ToolCall:
        # Nine letters and digits: the one form of an id that every chat template takes. It repeats with the request,
        # and differs from those of earlier calls since the conversation has grown since.
        shape = repr((self._request.messages, number, name, arguments)).encode("utf-8", "backslashreplace")
        return ToolCall(id=hashlib.sha256(shape).hexdigest()[:9], name=name, arguments=arguments)

    def _pass_on(self, end: int) -> None:
        if end > self._passed:
            self._emit(self._text[self._passed : end])
            self._passed = end

    def _safe(self) -> int:
        """Return the end of what can't be part of a call; trailing white space waits too, as a call may follow it."""
        if self._leading and self._may_lead():
            return self._passed
        # Looked at anew: no more than could be the beginning of a mark.
        mark = _MARK.search(self._text, self._looked)
        if mark:
            self._holding = True
            return self._trimmed(mark.start())
        self._looked = max(0, len(self._text) - max(map(len, MARKS)))
        tail = self._text[self._looked :]
        open_at = max((at for at in (tail.rfind("<"), tail.rfind("[")) if at >= 0 and _may_open(tail[at:])), default=-1)
        return self._trimmed(len(self._text) if open_at < 0 else self._looked + open_at)

    def _may_lead(self) -> bool:
        """Tell whether the text, so far, may be a call from its first letter on."""
        begins = self._text.lstrip()
        named = _NAMED.match(begins)
        if begins[:1] in ("{", "[", "`") or (named and named[1] in self._names):
            self._holding = True
            return True
        said = begins.partition("[")[0].rstrip()
        self._leading = len(begins) < MAX_NAME and any(name.startswith(said) for name in self._names)
        return self._leading

    def _trimmed(self, end: int) -> int:
        return self._passed + len(self._text[self._passed : end].rstrip())


def _may_open(text: str) -> bool:
    return any(mark.startswith(text) for mark in MARKS)


def _marks(text: str) -> Iterator[re.Match[str]]:
    for number, mark in enumerate(_MARK.finditer(text)):
        if number == MAX_CALLS:
            return
        yield mark


def _at_mark(text: str, mark: re.Match[str], names: Collection[str]) -> Found | None:
    """Read the calls behind a mark."""
    at = mark.end()
    calls: list[tuple[str, str]] = []
    if named := _NAMED.match(text, at):
        value, at = _value(text, named.end())
        calls = _named_call(named[1], value, names)
    elif mark.group() != "<function=":
        value, at = _value(text, _after(_FENCE, text, at))
        at = _after(_FENCE_END, text, at)
        calls = _calls(value, names, bare=False)
    if not calls:
        return None
    return Found(mark.start(), _after(_CLOSE, text, at), tuple(calls))


def _bare(text: str, names: Collection[str]) -> Found | None:
    """Read a text that begins with calls and nothing around them."""
    start = _after(_FENCE, text, 0)
    if named := _NAMED.match(text, start):
        value, end = _value(text, named.end())
        calls = _named_call(named[1], value, names)
        return Found(0, end, tuple(calls)) if calls else None
    found: list[tuple[str, str]] = []
    at = end = _after(_SPACE, text, start)
    while text[at : at + 1] in ("{", "[") and len(found) < MAX_CALLS:
        value, at = _value(text, at)
        calls = _calls(value, names, bare=True)
        if not calls:
            break
        found += calls
        end = at
        at = _after(_BETWEEN, text, at)
    if not found:
        return None
    return Found(0, _after(_FENCE_END, text, end) if start else end, tuple(found))


def _value(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value at a place and where it ends; None and the place where there is none."""
    at = _after(_SPACE, text, at)
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, at


def _calls(value: Any, names: Collection[str], *, bare: bool) -> list[tuple[str, str]]:
    """Return the calls that a JSON value stands for: all of it must be calls, else it is none."""
    entries = value if isinstance(value, list) else [value]
    calls: list[tuple[str, str]] = []
    for entry in entries[:MAX_CALLS]:
        call = entry.get("function") if isinstance(entry, dict) and isinstance(entry.get("function"), dict) else entry
        if not isinstance(call, dict):
            return []
        given = [key for key in ("arguments", "parameters") if key in call]
        # `{"name": "search"}` alone may be an answer; behind a mark it is a call that needs nothing.
        if bare and not given:
            return []
        one = _named_call(call.get("name"), call[given[0]] if given else {}, names)
        if not one:
            return []
        calls += one
    return calls


def _named_call(name: Any, arguments: Any, names: Collection[str]) -> list[tuple[str, str]]:
    if not isinstance(name, str) or name not in names or not isinstance(arguments, dict | str):
        return []
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return [(name, well_formed(text))]


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _without(text: str, found: list[Found]) -> str:
    ends = [0, *(one.end for one in found)]
    starts = [*(one.start for one in found), len(text)]
    return "".join(text[end:start] for end, start in zip(ends, starts, strict=True)).rstrip()
