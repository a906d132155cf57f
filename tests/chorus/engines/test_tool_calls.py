"""Tool calls in text: every form that models write, text that only looks like one, and what is streamed of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.engines.base import Completion, Request, TokenLogprob
from chorus.engines.tool_calls import MARKS, Ear, read
from chorus.types import Message, Tool, Usage

NAMES = ("weather", "get_time")
PARIS = ("weather", '{"city": "Paris"}')
CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'
REQUEST = Request((Message(role="user", content="?"),), tools=tuple(Tool(name=name) for name in NAMES))


def calls(text: str) -> list[tuple[str, str]]:
    return [call for found in read(text, NAMES) for call in found.calls]


def heard(text: str, size: int = 3, request: Request = REQUEST) -> tuple[list[str], Completion]:
    """What is streamed of a text that comes in pieces, and what comes back in the end."""
    pieces: list[str] = []
    ear = Ear(request, pieces.append)
    tokens = [text[at : at + size] for at in range(0, len(text), size)]
    for token in tokens:
        ear.take(token)
    return pieces, ear.finish(Completion(text, "stop", Usage(), tuple(TokenLogprob(token, -0.1) for token in tokens)))


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}",
        f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>",
        f"<|python_tag|>{CALL}<|eom_id|>",
        '<|python_tag|>{"type": "function", "name": "weather", "parameters": {"city": "Paris"}}',
        '<function=weather>{"city": "Paris"}</function>',
        f"[TOOL_CALLS][{CALL}]",
        f"[TOOL_CALLS] {CALL}",
        '[TOOL_CALLS]weather[ARGS]{"city": "Paris"}',
        '[TOOL_CALLS]weather{"city": "Paris"}',
        'weather[ARGS]{"city": "Paris"}',
        'weather{"city": "Paris"}',
        CALL,
        f"  {CALL}\n",
        f"[{CALL}]",
        f"```json\n{CALL}\n```",
        '{"name": "weather", "parameters": {"city": "Paris"}}',
        '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
    ],
)
def test_every_form_of_a_call_is_read(text):
    assert calls(text) == [PARIS]
    pieces, said = heard(text)
    assert pieces == []
    assert (said.text, said.finish, said.logprobs) == ("", "tool_calls", ())
    assert [(call.name, call.arguments) for call in said.tool_calls] == [PARIS]


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>",
        f"<tool_call>[{CALL}, {CALL}]</tool_call>",
        f"[TOOL_CALLS][{CALL}, {CALL}]",
        f"{CALL}; {CALL}",
        f"{CALL}\n{CALL}",
        f"[{CALL}, {CALL}]",
    ],
)
def test_several_calls_come_in_order(text):
    assert calls(text) == [PARIS, PARIS]
    _, said = heard(text)
    assert said.text == ""
    assert len({call.id for call in said.tool_calls}) == 2


def test_words_beside_a_call_stay_words_and_are_streamed_before_it():
    pieces, said = heard(f"Let me look.\n\n<tool_call>{CALL}</tool_call>")
    assert said.text == "".join(pieces) == "Let me look."
    assert len(pieces) > 1
    assert heard(f"One.\n<tool_call>{CALL}</tool_call>\nTwo.")[1].text == "One.\n\nTwo."


def test_a_call_behind_a_mark_may_leave_its_arguments_out():
    assert calls('<tool_call>{"name": "get_time"}</tool_call>') == [("get_time", "{}")]
    assert calls('{"name": "get_time"}') == [], "which may as well be an answer"


@pytest.mark.parametrize(
    "text",
    [
        "The weather is fine.",
        "weather",
        "weather: fine {at least}",
        '{"answer": 5}',
        '{"name": "launch", "arguments": {}}',
        '<tool_call>{"name": "launch", "arguments": {}}</tool_call>',
        '[TOOL_CALLS]launch{"at": 1}',
        '{"name": "weather", "arguments": [1]}',
        '{"name": ["weather"], "arguments": {}}',
        '{"name": "weather", "arguments": {"city": ',
        f"I could write {CALL} here.",
        f'[{CALL}, {{"answer": 5}}]',
        "<tool_call>\n</tool_call>",
        "a < b, [1, 2], `code`",
        "``",
        "[",
        "",
    ],
)
def test_what_is_no_call_comes_through_as_it_is(text):
    pieces, said = heard(text)
    assert said.text == "".join(pieces) == text
    assert (said.finish, said.tool_calls) == ("stop", ())
    assert "".join(token.token for token in said.logprobs) == text


def test_without_tools_nothing_is_held_back_or_read():
    for request in (Request(REQUEST.messages), Request(REQUEST.messages, tools=REQUEST.tools, tool_choice="none")):
        pieces, said = heard(CALL, request=request)
        assert pieces == [CALL[at : at + 3] for at in range(0, len(CALL), 3)]
        assert said.tool_calls == ()


def test_only_the_chosen_tool_is_called():
    chosen = Request(REQUEST.messages, tools=REQUEST.tools, tool_choice="get_time")
    assert heard(CALL, request=chosen)[1].tool_calls == ()


def test_calls_that_the_server_read_are_not_read_again():
    made = heard(CALL)[1].tool_calls
    ear = Ear(REQUEST, lambda piece: None)
    ear.take(CALL)
    assert ear.finish(Completion(CALL, "tool_calls", Usage(), tool_calls=made)).text == CALL


def test_an_id_repeats_with_its_request_and_differs_from_those_before_it():
    later = Request((*REQUEST.messages, Message(role="user", content="And now?")), tools=REQUEST.tools)
    first, again, after = (heard(CALL, request=request)[1].tool_calls[0].id for request in (REQUEST, REQUEST, later))
    assert first == again != after
    assert len(first) == 9
    assert first.isalnum()


PIECES = st.sampled_from(
    [*MARKS, CALL, "weather", "{", "}", "[", "]", '"', "\\", ":", "</tool_call>", "```", "\ud800", " "]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=20).map("".join), st.integers(1, 9))
def test_any_text_is_read_and_what_was_streamed_is_its_beginning(text, size):
    pieces, said = heard(text, size)
    assert "".join(pieces) == said.text
    for call in said.tool_calls:
        assert call.name in NAMES
        call.model_dump_json()
    if not said.tool_calls:
        assert said.text == text


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" * 20_000,
        '<tool_call>{"a":"' * 10_000,
        "[" * 100_000,
        '{"a":' * 50_000,
        "[TOOL_CALLS]" + " " * 200_000,
        f"{CALL};" * 5_000,
        "weather" * 30_000,
        "<function=" + "w" * 200_000,
        "`" * 100_000,
        " " * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_does_no_harm(text):
    pieces, said = heard(text, 5_000)
    assert "".join(pieces) == said.text


def test_arguments_are_json_as_the_model_wrote_them():
    _, said = heard('{"name": "weather", "arguments": {"city": "Αθήνα", "days": [1, 2]}}')
    assert json.loads(said.tool_calls[0].arguments) == {"city": "Αθήνα", "days": [1, 2]}
    _, said = heard('{"name": "weather", "arguments": "no JSON"}')
    assert said.tool_calls[0].arguments == "no JSON"
