"""Tools told in text, calls held to a schema, and what a chat template makes of either."""

from __future__ import annotations

import json

import pytest

from chorus.engines.base import Request, Sampling
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.engines.templating import ChatTemplate
from chorus.engines.tool_prompts import as_text, guide, offered
from chorus.errors import EngineError, SchemaRefused
from chorus.types import Message, Tool, ToolCall

USER = Message(role="user", content="Is it raining?")
SYSTEM = Message(role="system", content="Be brief.")
MADE = ToolCall(id="abcdef123", name="weather", arguments='{"city": "Paris"}')
CALLED = Message(role="assistant", content="", tool_calls=(MADE,))
RESULT = Message(role="tool", content="sunny", tool_call_id="abcdef123")
WEATHER = Tool(name="weather", description="Tells the weather.", parameters='{"type": "object", "required": ["city"]}')
CLOCK = Tool(name="clock")


def request(*messages: Message, **fields) -> Request:
    return Request(messages or (USER,), **fields)


# ---- what is offered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather", "clock"]),
        ("auto", ["weather", "clock"]),
        ("required", ["weather", "clock"]),
        ("none", []),
        ("clock", ["clock"]),
    ],
)
def test_the_choice_says_which_tools_may_be_called(choice, names):
    assert [tool.name for tool in offered(request(tools=(WEATHER, CLOCK), tool_choice=choice))] == names


def test_a_choice_that_names_no_tool_is_refused_with_those_there_are():
    with pytest.raises(EngineError, match="'wether', which is none of the tools: weather, clock"):
        offered(request(tools=(WEATHER, CLOCK), tool_choice="wether"))


@pytest.mark.parametrize("parameters", ["", "[]", "{", '"x"', "[" * 100_000])
def test_a_tools_parameters_are_a_json_object(parameters):
    with pytest.raises(ValueError, match="parameters"):
        Tool(name="clock", parameters=parameters)


# ---- what decoding is held to ------------------------------------------------------------------------------------


def test_what_may_be_anything_is_not_guided():
    assert guide(request()) is None
    assert guide(request(tools=(WEATHER,))) is None
    assert (
        guide(request(tools=(WEATHER,), tool_choice="none", json_schema='{"type": "string"}')) == '{"type": "string"}'
    )


def test_a_call_that_must_come_has_its_tools_name_and_arguments():
    schema = json.loads(guide(request(tools=(WEATHER, CLOCK), tool_choice="weather")))
    assert schema["properties"]["name"] == {"const": "weather"}
    assert schema["properties"]["arguments"] == {"$ref": "#/$defs/tool_0"}
    assert schema["$defs"] == {"tool_0": {"type": "object", "required": ["city"]}}
    assert len(json.loads(guide(request(tools=(WEATHER, CLOCK), tool_choice="required")))["anyOf"]) == 2


def test_with_a_schema_and_tools_either_an_answer_or_a_call_may_come():
    both = request(tools=(WEATHER,), json_schema='{"type": "integer"}')
    schema = json.loads(guide(both))
    assert [list(option) for option in schema["anyOf"]][1] == ["$ref"]
    assert schema["$defs"]["answer"] == {"type": "integer"}


def test_references_hold_where_a_schema_has_moved():
    parameters = {
        "properties": {"x": {"$ref": "#/$defs/X"}, "next": {"$ref": "#"}},
        "$defs": {"X": {"type": "integer"}},
    }
    tool = Tool(name="f", parameters=json.dumps(parameters))
    moved = json.loads(guide(request(tools=(tool,), tool_choice="f")))["$defs"]["tool_0"]
    assert moved["properties"] == {"x": {"$ref": "#/$defs/tool_0/$defs/X"}, "next": {"$ref": "#/$defs/tool_0"}}


@pytest.mark.parametrize("schema", ["{", "[" * 100_000])
def test_a_schema_that_is_no_json_is_refused(schema):
    with pytest.raises(SchemaRefused):
        guide(request(tools=(WEATHER,), json_schema=schema))


# ---- told in text ------------------------------------------------------------------------------------------------


def test_tools_stand_behind_what_the_system_message_says():
    told, user = as_text((SYSTEM, USER), (WEATHER,))
    assert told.role == "system"
    assert told.content.startswith("Be brief.\n\nYou can call these tools.")
    assert '"name": "weather"' in told.content
    assert user == USER
    assert [message.role for message in as_text((USER,), (WEATHER,))] == ["system", "user"]


def test_a_model_is_told_whether_it_must_call():
    assert "no tool is needed" in as_text((USER,), (WEATHER,))[0].content
    assert as_text((USER,), (WEATHER,), must=True)[0].content.endswith("Call a tool now.")


def test_calls_and_results_become_words_of_the_assistant_and_the_user():
    user, called, result = as_text((USER, CALLED, RESULT))
    assert user == USER
    assert called == Message(
        role="assistant",
        content='<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    )
    assert result == Message(role="user", content="<tool_response>\nsunny\n</tool_response>")


def test_neighbours_that_became_one_role_are_joined_and_no_others():
    two = (USER, CALLED, RESULT, RESULT.model_copy(update={"content": "21 degrees"}), USER)
    assert [message.role for message in as_text(two)] == ["user", "assistant", "user"]
    assert as_text(two)[-1].content.endswith("</tool_response>\n\nIs it raining?")
    assert as_text((USER, USER)) == (USER, USER)
    assert as_text(()) == ()


# ---- chat templates ----------------------------------------------------------------------------------------------


class Tokenizer:
    """Renders as a model's tokenizer would; a token a character."""

    def __init__(self, *, knows_tools: bool, refuses: str = "\0") -> None:
        self.knows_tools, self.refuses = knows_tools, refuses
        self.chat_template: str | None = "…"

    def apply_chat_template(self, messages, *, add_generation_prompt, return_dict, tools=None):
        text = json.dumps([messages, tools] if self.knows_tools else [m["content"] for m in messages])
        if self.refuses in text:
            raise ValueError("conversation roles must alternate")
        return {"input_ids": [ord(letter) for letter in text]}

    def __call__(self, text):
        return {"input_ids": [ord(letter) for letter in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


def rendered(tokenizer: Tokenizer, asked: Request) -> str:
    return tokenizer.decode(ChatTemplate(tokenizer).encode(asked.messages, asked))


def test_a_template_that_knows_tools_is_given_them():
    messages, tools = json.loads(rendered(Tokenizer(knows_tools=True), request(USER, CALLED, RESULT, tools=(WEATHER,))))
    assert tools[0]["function"]["name"] == "weather"
    assert messages[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Paris"}}
    assert messages[2] == {"role": "tool", "content": "sunny", "tool_call_id": "abcdef123", "name": "weather"}


def test_arguments_that_are_no_json_reach_a_template_as_they_are():
    broken = CALLED.model_copy(update={"tool_calls": (MADE.model_copy(update={"arguments": "{oops"}),)})
    messages, _ = json.loads(rendered(Tokenizer(knows_tools=True), request(USER, broken, RESULT)))
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == "{oops"


def test_a_template_that_knows_no_tools_reads_them_as_text():
    text = rendered(Tokenizer(knows_tools=False), request(USER, CALLED, RESULT, tools=(WEATHER,)))
    assert "You can call these tools." in text
    assert "<tool_call>" in text
    assert "<tool_response>" in text


def test_a_template_that_refuses_these_messages_reads_them_as_text():
    text = rendered(Tokenizer(knows_tools=True, refuses="abcdef123"), request(USER, CALLED, RESULT))
    assert "<tool_response>" in text


def test_a_template_that_refuses_text_too_is_an_engine_error():
    with pytest.raises(EngineError, match="roles must alternate"):
        rendered(Tokenizer(knows_tools=False, refuses="raining"), request())


def test_without_tools_a_template_sees_none():
    messages, tools = json.loads(
        rendered(Tokenizer(knows_tools=True), request(SYSTEM, USER, tools=(CLOCK,), tool_choice="none"))
    )
    assert tools is None
    assert messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it raining?"}]


def test_a_model_without_a_template_reads_one_message_after_the_other():
    tokenizer = Tokenizer(knows_tools=True)
    tokenizer.chat_template = None
    assert rendered(tokenizer, request(SYSTEM, USER)) == "Be brief.\n\nIs it raining?\n\n"
    assert "<tool_response>" in rendered(tokenizer, request(USER, CALLED, RESULT))


# ---- scripts -----------------------------------------------------------------------------------------------------


async def test_a_script_may_call_a_tool_that_was_offered():
    text = 'Let me look. <tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'
    engine = ScriptedEngine(Script.model_validate({"default": {"text": text, "confidence": 0.5}}))
    pieces: list[str] = []
    said = await engine.generate(request(tools=(WEATHER,)), pieces.append)
    assert ("".join(pieces), said.text, said.finish) == ("Let me look.", "Let me look.", "tool_calls")
    assert [(call.name, call.arguments) for call in said.tool_calls] == [("weather", '{"city": "Paris"}')]
    plain = await engine.generate(Request((USER,), Sampling(max_tokens=99)), pieces.append)
    assert (plain.text, plain.tool_calls) == (text, ())


def test_a_script_says_whether_it_is_guided():
    assert ScriptedEngine(Script(guided=True)).info.guided
    assert not ScriptedEngine(Script()).info.guided
