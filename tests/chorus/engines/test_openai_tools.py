"""Schemas and tools over OpenAI's API: sent natively, gathered from the stream, and done without where refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fake_openai_server import FakeOpenAIServer, Refusal, Stream, error, part

from chorus.engines.base import Completion, Request
from chorus.engines.openai_http import OpenAIEngine
from chorus.engines.openai_opening import open_openai
from chorus.errors import EngineError, SchemaRefused
from chorus.types import Message, Tool, ToolCall

USER = Message(role="user", content="Is it raining in Paris?")
WEATHER = Tool(name="weather", description="Tells the weather.", parameters='{"type": "object"}')
SCHEMA = '{"type": "object", "properties": {"answer": {"type": "string"}}}'
JSON = '{"answer": "56"}'
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeOpenAIServer]:
    async with FakeOpenAIServer() as server:
        yield server


@pytest_asyncio.fixture
async def engine(server: FakeOpenAIServer) -> AsyncIterator[OpenAIEngine]:
    engine = await open_openai(f"{server.url}#fake")
    yield engine
    await engine.aclose()


async def call(engine: OpenAIEngine, *messages: Message, heard: list[str] | None = None, **fields) -> Completion:
    emit = ([] if heard is None else heard).append
    return await engine.generate(Request(messages or (USER,), **fields), emit)


# ---- schemas -----------------------------------------------------------------------------------------------------


async def test_a_schema_goes_out_as_response_format(server, engine):
    server.default = Stream(JSON)
    said = await call(engine, json_schema=SCHEMA)
    assert said.text == JSON
    wanted = server.chats[0]["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"] == {"name": "answer", "schema": json.loads(SCHEMA), "strict": True}
    assert "response_format" not in (await call(engine), server.chats[1])[1]


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "Unrecognized request argument supplied: response_format"),
        error(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
        Refusal(422, {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}),
    ],
    ids=["unknown", "unsupported", "extra"],
)
async def test_a_server_without_schemas_is_asked_without_from_then_on(server, engine, refusal):
    assert engine.info.guided
    server.replies = [refusal]
    assert (await call(engine, json_schema=SCHEMA)).text == "Answer: 56"
    assert not engine.info.guided
    await call(engine, json_schema=SCHEMA)
    assert ["response_format" in chat for chat in server.chats] == [True, False, False]


@pytest.mark.parametrize(
    "refusal",
    [
        error(
            400,
            "Invalid schema for response_format 'answer': 'additionalProperties' is required",
            param="response_format",
        ),
        error(400, "The provided JSON schema contains features not supported by xgrammar."),
        error(400, "Failed to transform json schema into a grammar: unknown type", type="BadRequestError"),
    ],
    ids=["openai", "vllm features", "vllm grammar"],
)
async def test_a_schema_that_the_server_refuses_is_named_and_the_next_one_is_sent(server, engine, refusal):
    server.replies = [refusal]
    with pytest.raises(SchemaRefused, match="schema"):
        await call(engine, json_schema=SCHEMA)
    assert engine.info.guided
    await call(engine, json_schema=SCHEMA)
    assert "response_format" in server.chats[-1]


async def test_a_schema_may_be_refused_as_late_as_in_the_stream(server, engine):
    fault = {"message": "Grammar error: Invalid type: poem", "type": "BadRequestError", "code": 400}
    server.default = Stream(JSON, breaks="error", break_after=0, error=fault)
    with pytest.raises(SchemaRefused, match="poem"):
        await call(engine, json_schema=SCHEMA)
    with pytest.raises(EngineError, match="poem") as refused:
        await call(engine)
    assert not isinstance(refused.value, SchemaRefused)


@pytest.mark.parametrize("schema", ["{", ""])
async def test_a_schema_that_is_no_json_never_leaves(server, engine, schema):
    with pytest.raises(SchemaRefused):
        await call(engine, json_schema=schema)
    assert server.chats == []


async def test_other_refusals_are_not_laid_on_the_schema(server, engine):
    server.replies = [error(400, "temperature must be below 2")]
    with pytest.raises(EngineError, match="temperature") as refused:
        await call(engine, json_schema=SCHEMA)
    assert not isinstance(refused.value, SchemaRefused)
    server.replies = [error(400, "Unrecognized request argument supplied: logprobs")]
    assert (await call(engine, json_schema=SCHEMA)).text == "Answer: 56"
    assert engine.info.guided


# ---- tools -------------------------------------------------------------------------------------------------------


async def test_tools_and_the_choice_go_out_in_openais_shape(server, engine):
    for choice in (None, "none", "required", "weather"):
        await call(engine, tools=(WEATHER,), tool_choice=choice)
    function = {"name": "weather", "description": "Tells the weather.", "parameters": {"type": "object"}}
    assert server.chats[0]["tools"] == [{"type": "function", "function": function}]
    assert [chat["tool_choice"] for chat in server.chats] == [
        "auto",
        "none",
        "required",
        {"type": "function", "function": {"name": "weather"}},
    ]


async def test_calls_are_gathered_from_the_stream(server, engine):
    server.default = Stream(
        "Let me look.",
        tool_calls=(
            (part(0, "weather", "", id="call_a"),),
            (part(0, arguments='{"city": '),),
            (part(1, "weather", '{"city": "Rome"}', id="call_b"), part(0, arguments='"Paris"}')),
        ),
        finish="tool_calls",
    )
    heard: list[str] = []
    said = await call(engine, heard=heard, tools=(WEATHER,))
    assert said.tool_calls == (
        ToolCall(id="call_a", name="weather", arguments='{"city": "Paris"}'),
        ToolCall(id="call_b", name="weather", arguments='{"city": "Rome"}'),
    )
    assert (said.text, said.finish) == ("Let me look.", "tool_calls") == ("".join(heard), said.finish)


@pytest.mark.parametrize(
    ("parts", "made"),
    [
        ([part(None, "weather", '{"a": 1}', id="x"), part(None, "weather", "{}", id="y")], ['{"a": 1}', "{}"]),
        ([part(0, "weather")], ["{}"]),
        ([part(0, arguments="{}")], []),
        ([part(0, "weather", '{"a'), part(0, "weather", '": 1}')], ['{"a": 1}']),
        ([{"index": "0", "function": None}, {"function": {"name": 5}}, {}], []),
        ([part(7, "weather", "\ud800")], ["\ufffd"]),
    ],
    ids=["no index", "no arguments", "no name", "name repeated", "nonsense", "half a pair"],
)
async def test_servers_may_leave_out_or_repeat_parts_of_a_call(server, engine, parts, made):
    server.default = Stream("", tool_calls=tuple((one,) for one in parts), finish="stop")
    said = await call(engine, tools=(WEATHER,))
    assert [one.arguments for one in said.tool_calls] == made
    assert said.finish == ("tool_calls" if made else "stop")
    assert all(one.id for one in said.tool_calls)


async def test_a_call_that_the_server_left_in_the_text_is_read(server, engine):
    server.default = Stream(CALL)
    said = await call(engine, tools=(WEATHER,))
    assert [(one.name, one.arguments) for one in said.tool_calls] == [("weather", '{"city": "Paris"}')]
    assert said.text == ""


async def test_a_call_without_end_is_cut(server, engine):
    endless = tuple((part(0, "weather", "x" * 10_000),) for _ in range(40))
    server.default = Stream("", tool_calls=endless)
    said = await call(engine, tools=(WEATHER,))
    assert len(said.tool_calls[0].arguments) < 200_000


async def test_calls_and_results_go_out_in_openais_shape(server, engine):
    made = ToolCall(id="call_a", name="weather", arguments='{"city": "Par\ud800is"}')
    said = Message(role="assistant", content="", tool_calls=(made,))
    await call(engine, USER, said, Message(role="tool", content="sunny", tool_call_id="call_a"))
    _, called, result = server.chats[0]["messages"]
    assert called["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Par?is"}'}}
    ]
    assert result == {"role": "tool", "content": "sunny", "tool_call_id": "call_a"}


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        error(400, 'tool_choice="required" requires --tool-call-parser to be set'),
        error(400, "registry.example/library/gemma:latest does not support tools"),
        error(500, "tools param requires --jinja flag"),
        error(404, "No endpoints found that support tool use: 'tools' is not supported"),
        error(400, "Unrecognized request argument supplied: tools"),
    ],
    ids=["vllm auto", "vllm required", "ollama", "llama.cpp", "router", "unknown"],
)
async def test_a_server_without_tools_is_told_of_them_in_text(server, engine, refusal):
    server.default = Stream(CALL)
    server.replies = [refusal]
    said = await call(engine, tools=(WEATHER,))
    assert [one.name for one in said.tool_calls] == ["weather"]
    await call(engine, tools=(WEATHER,))
    assert ["tools" in chat for chat in server.chats] == [True, False, False]
    assert "You can call these tools." in server.chats[-1]["messages"][0]["content"]


async def test_a_call_that_must_come_is_then_decoded_by_its_schema(server, engine):
    server.refuses = frozenset({"tools"})
    server.default = Stream('{"name": "weather", "arguments": {"city": "Paris"}}')
    said = await call(engine, tools=(WEATHER,), tool_choice="required")
    assert [one.name for one in said.tool_calls] == ["weather"]
    schema = server.chats[-1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"] == {"const": "weather"}


async def test_a_faulty_tool_is_the_callers_to_hear_of(server, engine):
    server.replies = [error(400, "Invalid schema for function 'weather': unknown type is not supported")]
    with pytest.raises(EngineError, match="function 'weather'"):
        await call(engine, tools=(WEATHER,))
    await call(engine, tools=(WEATHER,))
    assert "tools" in server.chats[-1]
