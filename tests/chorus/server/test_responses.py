"""`/v1/responses` over real HTTP, through OpenAI's client, every object and event checked against its typed models."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from serving import SCRIPT, serving, sse

pytest.importorskip("fastapi")

from chorus import Chorus
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.record.store import Store
from chorus.server.app import create_app
from chorus.server.keys import KeyRing
from chorus.server.responses import chain

ASKED = "What is 7 * 8?"
OURS = {"chorus"}
OPEN_RESPONSES = {"store", "presence_penalty", "frequency_penalty"}
"""Fields of a response that the open specification has, and OpenAI's types have not."""

TOOL = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Athens"}}</tool_call>'
SCRIPTED = {
    **SCRIPT,
    "turns": [
        {"turn": "*.spokesperson", "contains": "JSON", "text": '{"product": 56}'},
        {"turn": "*.spokesperson", "contains": "sunny", "text": "It is sunny in Athens."},
        {"turn": "*.spokesperson", "text": CALL},
        {"contains": "Say a lot", "text": "One word after another. " * 20},
        {"contains": "Say something", "text": "One word after another, until there are enough of them."},
        *SCRIPT["turns"],
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("responses"), script=SCRIPTED) as running:
        yield running


@pytest.fixture(scope="module")
def http(server):
    with server.client() as client:
        yield client


BODY = {"model": "chorus", "input": ASKED}


@asynccontextmanager
async def within(folder, script=SCRIPT, keys=None):
    """A client for a server in this process, which keeps its debates in a folder, or nowhere."""
    store = await Store.open(f"sqlite:///{folder}/debates.db") if folder else None
    chorus = Chorus(ScriptedEngine(Script.model_validate(script)), "skeptic,estimator,formalist")
    app = create_app(chorus, store=store, keys=keys)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client
    if store:
        await store.aclose()


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.base, api_key="none", max_retries=0) as made:
        yield made


def checked(kind, data):
    """Validate strictly, down to the last field: OpenAI's own models would take any field that they don't know."""
    value = adapter(kind).validate_python(data, strict=True)
    assert set(unknown(value)) <= {f"Response.{name}" for name in OURS | OPEN_RESPONSES}
    return value


adapter = cache(TypeAdapter)


def unknown(value):
    if isinstance(value, BaseModel):
        yield from (f"{type(value).__name__}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from unknown(getattr(value, name))
    elif isinstance(value, list):
        for one in value:
            yield from unknown(one)


def stream(http, **body):
    """The events of a stream, each checked, as the client's types have them and as they came."""
    told = http.post("/v1/responses", json={**BODY, "stream": True, **body})
    assert told.headers["content-type"].startswith("text/event-stream")
    return read(told.text)


def read(text):
    assert text.endswith("data: [DONE]\n\n")
    raw = sse(text)
    assert [one["event"] for one in raw] == [one["data"]["type"] for one in raw]
    assert [one["data"]["sequence_number"] for one in raw] == list(range(len(raw)))
    return [checked(ResponseStreamEvent, one["data"]) for one in raw], [one["data"] for one in raw]


def until_gone(http, debate):
    until = time.monotonic() + 10
    while http.get(f"/v1/debates/{debate}").status_code != 404:
        assert time.monotonic() < until
        time.sleep(0.02)


class TestWhole:
    def test_an_answer_comes_with_the_debate_as_its_reasoning(self, client, http):
        whole = client.responses.create(model="chorus", input=ASKED)
        assert (whole.output_text, whole.status) == ("56", "completed")
        reasoning, message = whole.output
        assert any(part.text.startswith("[formalist, round 1] 70 less 14") for part in reasoning.summary)
        assert message.content[0].text == "56"
        assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens > 0
        assert 0 < whole.usage.output_tokens_details.reasoning_tokens <= whole.usage.output_tokens
        assert whole.chorus["confidence"] > 0.5
        record = http.get(f"/v1/debates/{whole.chorus['debate']}").json()
        spoken = {f"[{turn['seat']}, round {turn['round']}] {turn['text']}" for turn in record["turns"]}
        assert {part.text for part in reasoning.summary} <= spoken, "a part for each turn, under its mark"

    def test_it_is_what_openais_types_say(self, http):
        body = {
            "model": "chorus",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": ASKED}]}],
            "instructions": "Answer in one word.",
            "metadata": {"ticket": "17"},
            "user": "anna",
            "temperature": 0.5,
            "max_output_tokens": 50,
            "chorus": {"rounds": 1, "seed": 7},
        }
        told = http.post("/v1/responses", json=body)
        whole = checked(Response, told.json())
        assert whole.output_text == "56"
        assert (whole.metadata, whole.user, whole.temperature) == ({"ticket": "17"}, "anna", 0.5)
        record = http.get(f"/v1/debates/{told.headers['x-debate-id']}").json()
        assert (record["plan"]["rounds"], record["plan"]["max_tokens"], record["seed"]) == (1, 50, 7)
        assert "Answer in one word." in record["question"]["question"]

    def test_json_is_parsed_into_the_clients_own_type(self, client):
        class Product(BaseModel):
            product: int

        whole = client.responses.parse(model="chorus", input=ASKED, text_format=Product)
        assert whole.output_parsed == Product(product=56)

    def test_an_answer_that_breaks_off_says_so(self, client):
        whole = client.responses.create(model="chorus-solo", input="Say something.", max_output_tokens=1)
        assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert whole.output[-1].status == "incomplete"


class TestStream:
    def test_a_stream_is_the_debate_as_it_happens(self, http):
        events, raw = stream(http)
        kinds = [event.type.removeprefix("response.") for event in events]
        assert kinds[:4] == ["created", "in_progress", "output_item.added", "reasoning_summary_part.added"]
        assert kinds[-7:] == [
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
        assert kinds.count("reasoning_summary_text.delta") > 10, "token by token"
        whole = events[-1].response
        parts = {}
        for event in events:
            if event.type == "response.reasoning_summary_text.delta":
                parts[event.summary_index] = parts.get(event.summary_index, "") + event.delta
        assert list(parts.values()) == [part.text for part in whole.output[0].summary]
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "56"
        done = [event["item"] for event in raw if event["type"] == "response.output_item.done"]
        assert done == raw[-1]["response"]["output"], "the pieces make the whole"
        assert http.get(f"/v1/responses/{whole.id}").json() == raw[-1]["response"]

    def test_no_voice_is_spoken_into(self, http):
        _, raw = stream(http)
        of_voices = [one for one in raw if "summary_index" in one]
        for one, following in pairwise(of_voices):
            ended = one["type"] == "response.reasoning_summary_part.done"
            assert (following["summary_index"] == one["summary_index"] + 1) is ended

    def test_the_clients_own_stream_follows_it(self, client):
        with client.responses.stream(model="chorus", input=ASKED) as events:
            final = events.get_final_response()
        assert final.output_text == "56"

    def test_an_answer_that_a_voice_writes_goes_out_as_it_comes(self, http):
        events, _ = stream(http, input="Say something.")
        assert sum(event.type == "response.output_text.delta" for event in events) > 1
        assert events[-1].response.output_text.startswith("One word after another")

    def test_a_tool_call_is_streamed_and_its_result_leads_to_the_answer(self, http, client):
        events, raw = stream(http, input="How is the weather in Athens?", tools=[TOOL])
        kinds = [event.type.removeprefix("response.") for event in events]
        assert kinds[-5:-1] == [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ]
        call = events[-1].response.output[-1]
        assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"city": "Athens"})
        assert [one["item"]["type"] for one in raw if one["type"] == "response.output_item.done"] == [
            "reasoning",
            "function_call",
        ]
        told = client.responses.create(
            model="chorus",
            previous_response_id=events[-1].response.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
            tools=[TOOL],
        )
        assert told.output_text == "It is sunny in Athens."

    def test_a_stream_that_breaks_off_says_so(self, http):
        events, _ = stream(http, model="chorus-solo", input="Say something.", max_output_tokens=1)
        assert events[-1].type == "response.incomplete"


class TestBefore:
    """Responses go on from responses."""

    def test_a_conversation_is_told_to_the_voices(self, client, http):
        one = client.responses.create(model="chorus", input="What is 6 * 8?", instructions="Be brief.")
        two = client.responses.create(model="chorus", input=ASKED, previous_response_id=one.id)
        three = client.responses.create(model="chorus", input="And 7 * 9?", previous_response_id=two.id)
        record = http.get(f"/v1/debates/{three.chorus['debate']}").json()
        told = [(message["role"], message["content"]) for message in record["question"]["history"]]
        assert told == [("user", "What is 6 * 8?"), ("assistant", "56"), ("user", ASKED), ("assistant", "56")]
        assert "Be brief." not in json.dumps(record), "instructions hold for one response"

    def test_what_a_client_sends_back_by_itself_is_the_same(self, client, http):
        one = client.responses.create(model="chorus", input=ASKED)
        items = [{"role": "user", "content": ASKED}, *one.output, {"role": "user", "content": "And 7 * 9?"}]
        two = client.responses.create(model="chorus", input=items)
        record = http.get(f"/v1/debates/{two.chorus['debate']}").json()
        assert [message["content"] for message in record["question"]["history"]] == [ASKED, "56"]

    def test_it_is_read_and_erased(self, client, http):
        one = client.responses.create(model="chorus", input=ASKED)
        assert client.responses.retrieve(one.id) == one
        client.responses.delete(one.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(one.id)
        assert http.get(f"/v1/debates/{one.chorus['debate']}").status_code == 404, "its debate went with it"
        assert http.delete(f"/v1/responses/{one.id}").status_code == 404
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="chorus", input=ASKED, previous_response_id=one.id)
        assert (refused.value.param, refused.value.code) == ("previous_response_id", "previous_response_not_found")

    def test_what_is_not_to_be_stored_is_not(self, client, http):
        one = client.responses.create(model="chorus", input=ASKED, store=False)
        assert http.get(f"/v1/responses/{one.id}").status_code == 404
        until_gone(http, one.chorus["debate"])
        listed = http.get("/v1/debates", params={"limit": 200}).json()["data"]
        assert one.chorus["debate"] not in [debate["id"] for debate in listed]

    def test_a_chat_is_no_response(self, client, http):
        chat = client.chat.completions.create(model="chorus", messages=[{"role": "user", "content": ASKED}])
        assert http.get(f"/v1/responses/resp_{chat.chorus['debate']}").status_code == 404
        assert http.delete(f"/v1/responses/resp_{chat.chorus['debate']}").status_code == 404

    async def test_a_server_with_a_store_remembers_for_good(self, tmp_path):
        async with within(tmp_path) as http:
            one = (await http.post("/v1/responses", json=BODY)).json()
        async with within(tmp_path) as http:
            assert (await http.get(f"/v1/responses/{one['id']}")).json() == one
            on = await http.post("/v1/responses", json={**BODY, "previous_response_id": one["id"]})
            assert on.json()["previous_response_id"] == one["id"]

    async def test_no_debate_is_kept_again_in_what_goes_on_from_it(self, tmp_path):
        async with within(tmp_path) as http:
            one = (await http.post("/v1/responses", json=BODY)).json()
            reasoning, answer = one["output"]
            items = [{"role": "user", "content": ASKED}, reasoning, answer, {"role": "user", "content": "And 7 * 9?"}]
            two = (await http.post("/v1/responses", json={**BODY, "input": items})).json()
            service = http._transport.app.state.service
            told = await chain.before(service, two["id"], "local")
            kept = await chain.kept(service, two["id"], "local")
        assert [item["type"] for item in kept["input"]] == ["message"] * 3
        assert "annotations" not in json.dumps(kept["input"])
        assert [item.type for item in told] == ["message"] * 4
        assert kept["response"]["output"][0]["type"] == "reasoning", "it can be read again as it was answered"

    async def test_one_without_remembers_for_a_while(self):
        async with within(None) as http:
            one = (await http.post("/v1/responses", json=BODY)).json()
            on = await http.post("/v1/responses", json={**BODY, "previous_response_id": one["id"]})
            assert on.status_code == 200
            assert (await http.delete(f"/v1/responses/{one['id']}")).json()["deleted"] is True
            assert (await http.get(f"/v1/responses/{one['id']}")).status_code == 404

    async def test_nobody_goes_on_from_what_is_anothers(self, tmp_path):
        ring = await KeyRing.open(f"sqlite:///{tmp_path}/debates.db")
        secrets = [(await ring.create(name))[1] for name in ("Anna", "Bob")]
        async with within(tmp_path, keys=ring) as http:
            anna, bob = ({"Authorization": f"Bearer {secret}"} for secret in secrets)
            one = (await http.post("/v1/responses", json=BODY, headers=anna)).json()["id"]
            assert (await http.get(f"/v1/responses/{one}", headers=anna)).status_code == 200
            assert (await http.get(f"/v1/responses/{one}", headers=bob)).status_code == 404
            assert (await http.delete(f"/v1/responses/{one}", headers=bob)).status_code == 404
            on = {**BODY, "previous_response_id": one}
            assert (await http.post("/v1/responses", json=on, headers=bob)).status_code == 400
            assert (await http.post("/v1/responses", json=on, headers=anna)).status_code == 200
        await ring.aclose()


IMAGE = {"type": "input_image", "image_url": "x"}


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "concise"}}, "reasoning.summary"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": 3}}}}, "text.format.schema"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "rain"}}, "tool_choice"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"temperature": 9}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"chorus": {"rounds": 99}}, "chorus.rounds"),
        ({"input": []}, "input"),
        ({"input": " "}, "input"),
        ({"input": "word " * 5000}, "input"),
        ({"input": [{"role": "assistant", "content": "56"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "x" * 600_000}] * 2}]}, "input"),
        ({"input": [{"role": "user", "content": "?"}] * 2000, "instructions": "Be brief."}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [IMAGE]}]}, "input[0].content[0]"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
        ({"previous_response_id": "resp_\0"}, "previous_response_id"),
    ],
)
def test_what_it_cant_do_is_refused_by_name(http, field, param):
    refused = http.post("/v1/responses", json={**BODY, **field})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", '"\\ud800"', '{"\\udfff": 1}'])
@pytest.mark.parametrize(
    ("field", "param"),
    [
        ('"tools": [{"type": "function", "name": "a", "parameters": {"a": [%s]}}]', "tools[0].parameters"),
        ('"text": {"format": {"type": "json_schema", "name": "a", "schema": {"const": %s}}}', "text.format.schema"),
    ],
)
def test_what_json_can_not_say_is_refused_before_anything_is_held(http, field, param, value):
    body = f'{{"model": "chorus", "input": "What is 7 * 8?", {field % value}}}'
    refused = http.post("/v1/responses", content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_an_option_of_reading_that_is_not_supported_is_refused_too(http):
    one = http.post("/v1/responses", json=BODY).json()["id"]
    refused = http.get(f"/v1/responses/{one}", params={"stream": "true"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")


async def test_a_failure_in_mid_stream_ends_it_as_failed_and_stands_in_what_is_kept(tmp_path):
    dead = {
        "real_time": True,
        "default": {"text": "A few words", "fail": {"message": "the engine died", "after_tokens": 2}},
    }
    async with within(tmp_path, dead) as http:
        events, raw = read((await http.post("/v1/responses", json={**BODY, "stream": True})).text)
        assert events[-1].type == "response.failed"
        assert "the engine died" in events[-1].response.error.message
        failed = events[-1].response.id
        assert (await http.get(f"/v1/responses/{failed}")).json() == raw[-1]["response"]
        assert (await http.post("/v1/responses", json=BODY)).status_code in (502, 503)
        on = await http.post("/v1/responses", json={**BODY, "previous_response_id": failed})
        assert on.json()["error"]["code"] == "previous_response_not_completed"


@pytest.mark.clients
async def test_it_is_what_the_open_specification_says():
    """Open Responses' own models, made from its document."""
    types = pytest.importorskip("openresponses_types")
    tooled = {**BODY, "input": "How is the weather in Athens?", "tools": [TOOL]}
    dead = {"real_time": True, "default": {"text": "A few words", "fail": {"message": "it died", "after_tokens": 2}}}
    cases = [
        (SCRIPTED, BODY, "completed"),
        (SCRIPTED, tooled, "completed"),
        (SCRIPTED, {**BODY, "input": "Say a lot.", "max_output_tokens": 16}, "incomplete"),
        (dead, BODY, "failed"),
    ]
    for script, body, status in cases:
        types.CreateResponseBody.model_validate(body)
        async with within(None, script) as http:
            _, raw = read((await http.post("/v1/responses", json={**body, "stream": True})).text)
        assert raw[-1]["response"]["status"] == status
        types.ResponseResource.model_validate(raw[-1]["response"])
        for data in raw:
            words = data["type"].replace("summary_text", "summary").replace(".", "_").split("_")
            named = "".join(word.title() for word in words)
            getattr(types, f"{named}StreamingEvent").model_validate(data)
