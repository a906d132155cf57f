"""The OpenAI client against a real HTTP server that behaves, and misbehaves in every way we know of."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fake_openai_server import FakeOpenAIServer, Refusal, Stream, context_too_long, error, html, in_thread, rate_limited

from chorus.engines import openai_models
from chorus.engines.base import Completion, Request, Sampling, TokenLogprob, estimate_tokens
from chorus.engines.openai_http import OpenAIEngine
from chorus.engines.openai_opening import open_openai
from chorus.errors import ConfigError, ContextTooLong, EngineError, EngineUnreachable
from chorus.types import Message

PROMPT = (Message(role="system", content="Be brief."), Message(role="user", content="What is 7 times 8?"))


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAIServer]:
    async with FakeOpenAIServer() as server:
        yield server


@pytest.fixture
async def engine(server: FakeOpenAIServer) -> AsyncIterator[OpenAIEngine]:
    engine = await open_openai(f"{server.url}#fake", timeout_s=10)
    yield engine
    await engine.aclose()


async def ask(engine: OpenAIEngine, heard: list[str] | None = None, **sampling) -> Completion:
    return await engine.generate(Request(PROMPT, Sampling(**sampling)), (heard if heard is not None else []).append)


# Opening


async def test_a_server_with_one_model_needs_no_name_and_tells_its_window(server):
    engine = await open_openai(server.url)
    assert engine.info.spec == f"openai:{server.url}#fake"
    assert engine.info.context_window == 2048
    assert not engine.info.virtual_time
    await engine.aclose()


async def test_the_window_can_be_given_and_has_a_default(server):
    given = await open_openai(f"{server.url}/#fake", context_window=512)
    server.max_model_len = None
    unknown = await open_openai(f"{server.url}#fake")
    assert (given.info.context_window, unknown.info.context_window) == (512, 8192)
    assert given.info.spec == unknown.info.spec
    await given.aclose()
    await unknown.aclose()


async def test_the_key_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    engine = await open_openai(server.url)
    assert server.received[0].headers["authorization"] == "Bearer sk-test"
    await engine.aclose()


async def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    engine = await open_openai(server.url)
    assert (await ask(engine)).text == "Answer: 56"
    await engine.aclose()


@pytest.mark.parametrize(
    ("models", "model", "wrong"),
    [
        (("smollm2-135m",), "smollm-135m", "does not serve the model 'smollm-135m': did you mean 'smollm2-135m'"),
        (("a", "b"), "", "serves a, b: name one"),
        (tuple(f"m{n}" for n in range(13)), "", "m9 and 3 more: name one"),
        ((), "", "serves no model"),
        (error(404, "Not Found"), "", r"/models answered 404: name the model"),
        (html(), "", r"an HTML page \(Welcome to nginx\) where a list of models was due"),
        (html(), "fake", "an HTML page"),
        (Refusal(200, {"models": []}), "", "where a list of models was due"),
        (Refusal(200, "hello"), "", "'hello' where a list of models was due"),
    ],
)
async def test_a_model_that_cant_be_settled_is_a_matter_of_configuration(server, models, model, wrong):
    server.models = models
    with pytest.raises(ConfigError, match=wrong) as refused:
        await open_openai(f"{server.url}#{model}")
    assert server.url in str(refused.value)


@pytest.mark.parametrize(
    ("models", "retryable"), [(error(401, "bad key"), False), (error(503, "loading"), True), (html(502), True)]
)
async def test_a_server_that_refuses_the_list_is_an_engine_error(server, models, retryable):
    server.models = models
    with pytest.raises(EngineError, match=f"{server.url} answered {models.status}") as refused:
        await open_openai(f"{server.url}#fake")
    assert refused.value.retryable is retryable


@pytest.mark.parametrize("models", [error(404, "Not Found"), html(404), Refusal(405, ""), Refusal(200, {"models": []})])
async def test_a_server_without_a_list_is_taken_at_the_callers_word(server, models):
    server.models = models
    engine = await open_openai(f"{server.url}#mine")
    assert (await ask(engine)).text == "Answer: 56"
    assert server.chats[0]["model"] == "mine"
    await engine.aclose()


@pytest.mark.parametrize(("parent", "window"), [("base", 1024), ("gone", 8192), (None, 8192)])
async def test_an_adapter_has_the_context_window_of_the_model_that_it_adapts(server, parent, window):
    cards = [{"id": "base", "max_model_len": 1024}, {"id": "noise", "max_model_len": None, "parent": parent}]
    server.models = Refusal(200, {"object": "list", "data": cards})
    engine = await open_openai(f"{server.url}#noise")
    assert engine.info.context_window == window
    await engine.aclose()


async def test_a_base_url_that_lacks_v1_is_told_so(server):
    with pytest.raises(ConfigError, match="usually ends in /v1"):
        await open_openai(server.url.removesuffix("/v1"))


@pytest.mark.parametrize(
    ("url", "wrong"), [("http://127.0.0.1:9/v1", "127.0.0.1"), ("http://nowhere.invalid/v1", "Name or service|name")]
)
async def test_a_server_that_is_not_there_is_named_with_the_reason(url, wrong):
    with pytest.raises(EngineError, match=f"can't reach {url}: .*({wrong})") as refused:
        await open_openai(f"{url}#fake")
    assert refused.value.retryable


@pytest.mark.parametrize(
    "rest", ["", "#fake", "127.0.0.1:8000", "ftp://h/v1", "http://", "http://h:x/v1", "http://h/v1?a=b"]
)
async def test_what_is_no_base_url_is_refused(rest):
    with pytest.raises(ConfigError, match="is not a base URL"):
        await open_openai(rest)


async def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as refused:
        await open_openai("http://me:hunter2@127.0.0.1:8000/v1#fake")
    assert "hunter2" not in str(refused.value)


async def test_a_servers_own_fields_go_into_every_request(server):
    engine = await open_openai(server.url, extra_body={"top_k": 5, "ignore_eos": True})
    await ask(engine)
    await engine.aclose()
    assert (server.chats[0]["top_k"], server.chats[0]["ignore_eos"]) == (5, True)
    with pytest.raises(ConfigError, match="extra_body must be a table"):
        await open_openai(server.url, extra_body="top_k=5")


@pytest.mark.parametrize("option", [{"timeout_s": 0}, {"context_window": -1}, {"max_concurrency": "8"}])
async def test_options_must_be_numbers_above_0(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} must be a number above 0"):
        await open_openai("http://127.0.0.1:9/v1", **option)


# A good answer


async def test_a_call_streams_its_text_and_comes_back_whole(server, engine):
    server.default = Stream("7 times 8 is 56.\nAnswer: 56", cached_tokens=3)
    heard: list[str] = []
    said = await ask(engine, heard, max_tokens=40, temperature=0.5, top_p=0.9, seed=7, stop=("\n\n",))
    assert heard == ["7", " times", " 8", " is", " 56.", "\nAnswer:", " 56"]
    assert (said.text, said.finish) == ("".join(heard), "stop")
    assert [token.token for token in said.logprobs] == heard
    assert {token.logprob for token in said.logprobs} == {-0.25}
    assert said.usage.model_dump(exclude={"wall_s"}) == {
        "calls": 1,
        "prompt_tokens": 9,
        "cached_tokens": 3,
        "completion_tokens": 7,
    }
    assert said.usage.wall_s > 0
    assert server.chats == [
        {
            "model": "fake",
            "messages": [message.model_dump(exclude_defaults=True) for message in PROMPT],
            "max_tokens": 40,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "stop": ["\n\n"],
            "logprobs": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_the_servers_finish_reason_is_passed_on(engine, server):
    assert (await ask(engine, max_tokens=1)).finish == "length"
    server.default = Stream("no", finish="content_filter")
    assert (await ask(engine)).finish == "content_filter"


async def test_an_empty_answer_is_an_answer(server, engine):
    server.default = Stream("")
    said = await ask(engine)
    assert (said.text, said.finish, said.logprobs) == ("", "stop", ())


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_thinking_is_counted_but_no_part_of_the_answer(server, engine, name):
    server.default = Stream("Answer: 56", reasoning="seven eights are", reasoning_field=name)
    heard: list[str] = []
    said = await ask(engine, heard)
    assert heard == ["Answer:", " 56"]
    assert [token.token for token in said.logprobs] == heard
    assert said.usage.completion_tokens == 5
    server.default = Stream("Answer: 56", reasoning="seven eights are", reasoning_field=name, usage=False)
    assert (await ask(engine)).usage.completion_tokens == 5


async def test_the_likeliest_first_tokens_come_to_those_who_ask(server, engine):
    server.default = Stream(likely=((" B", -1.5), (" A", -0.5), ("C", -3.0)))
    asked = Request(PROMPT, openings=2)
    said = await engine.generate(asked, lambda piece: None)
    assert said.openings == (TokenLogprob(" A", -0.5), TokenLogprob(" B", -1.5))
    assert server.chats[-1]["top_logprobs"] == 2
    assert (await ask(engine)).openings == ()
    assert "top_logprobs" not in server.chats[-1]


async def test_a_server_without_likeliest_tokens_is_asked_without(server, engine):
    server.refuses = frozenset({"top_logprobs"})
    said = await engine.generate(Request(PROMPT, openings=2), lambda piece: None)
    assert (said.text, said.openings) == ("Answer: 56", ())


async def test_end_tokens_in_the_logprobs_are_cut_to_the_text(server, engine):
    server.default = Stream("Answer: 56", extra_tokens=("<|im_end|>", "\n"))
    assert [token.token for token in (await ask(engine)).logprobs] == ["Answer:", " 56"]


async def test_tokens_that_dont_spell_the_text_are_dropped(server, engine):
    server.default = Stream(logprob=float("nan"))
    assert (await ask(engine)).logprobs == ()
    server.default = Stream(logprob=0.001)
    assert {token.logprob for token in (await ask(engine)).logprobs} == {0.0}


async def test_a_server_that_ignores_max_tokens_is_cut_off(server, engine):
    server.default = Stream("word " * 100_000, ignores_limits=True)
    said = await ask(engine, max_tokens=10)
    assert said.finish == "length"
    assert len(said.text) < 20_000


async def test_without_usage_the_tokens_are_counted_here(server, engine):
    server.default = Stream("Answer: 56", usage=False)
    assert (await ask(engine)).usage.prompt_tokens == 9
    server.tokenize = False
    server.default = Stream("Answer: 56", usage=False, logprob=None, cached_tokens=None)
    said = await ask(engine)
    assert said.usage.prompt_tokens == estimate_tokens(PROMPT)
    assert said.usage.completion_tokens == estimate_tokens([Message(role="assistant", content="Answer: 56")])
    assert said.logprobs == ()


async def test_half_a_surrogate_pair_is_sent_as_a_question_mark(server, engine):
    await engine.generate(Request((Message(role="user", content="a\ud800b"),)), lambda piece: None)
    assert server.chats[0]["messages"][0]["content"] == "a?b"


# What the server can't do


@pytest.mark.parametrize(
    "refused", [{"logprobs"}, {"seed"}, {"stream_options"}, {"logprobs", "seed", "stream_options"}]
)
async def test_fields_that_the_server_refuses_are_left_out_from_then_on(server, engine, refused):
    server.refuses = frozenset(refused)
    assert (await ask(engine, seed=7)).text == "Answer: 56"
    tries = len(server.chats)
    assert tries == 1 + len(refused)
    assert (await ask(engine, seed=7)).text == "Answer: 56"
    assert len(server.chats) == tries + 1
    assert not refused & set(server.chats[-1])


async def test_calls_that_run_together_all_learn_what_is_refused(server, engine):
    server.refuses = frozenset({"logprobs"})
    said = await asyncio.gather(*(ask(engine) for _ in range(5)))
    assert {completion.text for completion in said} == {"Answer: 56"}


async def test_max_tokens_goes_by_its_newer_name_where_that_is_wanted(server, engine):
    server.wants_max_completion_tokens = True
    await ask(engine, max_tokens=33)
    await ask(engine, max_tokens=34)
    assert [chat.get("max_completion_tokens") for chat in server.chats] == [None, 33, 34]


async def test_a_fastapi_refusal_is_understood_by_the_field_that_it_names(server, engine):
    detail = [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": {"logprobs": True}}]
    server.replies = [Refusal(422, {"detail": detail})]
    await ask(engine, seed=7)
    assert "seed" not in server.chats[1]
    assert "logprobs" in server.chats[1]


async def test_seeds_can_be_kept_from_a_server(server):
    engine = await open_openai(server.url, send_seed=False)
    await ask(engine, seed=7)
    assert "seed" not in server.chats[0]
    await engine.aclose()


# Counting


async def test_the_prompt_is_counted_by_the_server(server, engine):
    assert await engine.count(PROMPT) == 9
    assert server.received[-1].body == {
        "model": "fake",
        "messages": [message.model_dump(exclude_defaults=True) for message in PROMPT],
    }


@pytest.mark.parametrize("route", [False, error(405, "no"), Refusal(200, {"tokens": []}), html()])
async def test_a_server_that_cant_count_is_asked_once(server, engine, route):
    server.tokenize = route
    before = len(server.received)
    assert await engine.count(PROMPT) == estimate_tokens(PROMPT)
    assert await engine.count(PROMPT) == estimate_tokens(PROMPT)
    assert len(server.received) == before + 1


async def test_a_server_that_is_busy_is_asked_again(server, engine):
    server.tokenize = error(503, "busy")
    assert await engine.count(PROMPT) == estimate_tokens(PROMPT)
    server.tokenize = True
    assert await engine.count(PROMPT) == 9


# Failures


@pytest.mark.parametrize(
    ("reply", "wrong", "retryable"),
    [
        (error(500, "boom"), "answered 500: boom", True),
        (html(502), r"answered 502: an HTML page \(Welcome to nginx\)", True),
        (html(200), "an HTML page .* where a stream was due", False),
        (Refusal(200, {"choices": []}), "'{\"choices\": \\[\\]}' where a stream was due", False),
        (error(401, "bad key"), "answered 401: bad key .*OPENAI_API_KEY", False),
        (error(403, "not yours"), "answered 403: not yours", False),
        (error(404, "no such model"), "answered 404: no such model", False),
        (error(400, "temperature too hot"), "answered 400: temperature too hot", False),
        (Refusal(400, {"object": "error", "message": "flat"}), "answered 400: flat", False),
        (Refusal(422, {"detail": [{"loc": ["body", "top_p"], "msg": "too big"}]}), r"422: body\.top_p: too big", False),
        (error(408, "slow"), "answered 408", True),
        (error(429, "pay first", code="insufficient_quota"), "answered 429: pay first", False),
        (error(500, "x" * 5000), "x{300}…$", True),
        (Stream(breaks="end"), "the stream ended without a finish reason", True),
        (Stream(finish=None), "the stream ended without a finish reason", True),
        (Stream(breaks="hang up"), "lost the connection to", True),
        (Stream(breaks="error"), "broke off its stream: engine died", True),
        (Stream(breaks="error", error="just words"), "broke off its stream: just words", True),
        (Stream(breaks="error", error={"message": "bad", "code": 400}), "broke off its stream: bad", False),
        (Stream(breaks="garbage"), "not JSON", True),
        (Stream(breaks="garbage", garbage="[" * 50_000), "not JSON", True),
        *(
            (Stream(breaks="garbage", garbage=odd), "without a finish reason", True)
            for odd in ("5", "null", "[1]", '"x"')
        ),
        (Stream(breaks="garbage", garbage='{"choices": 5}'), "without a finish reason", True),
        (Stream(breaks="garbage", garbage='{"choices": [{"delta": {"content": 7}}]}'), "without a finish reason", True),
    ],
)
async def test_every_failure_is_an_engine_error_that_names_the_url(server, engine, reply, wrong, retryable):
    server.replies = [reply]
    with pytest.raises(EngineError, match=wrong) as failed:
        await ask(engine)
    assert server.url in str(failed.value)
    assert failed.value.retryable is retryable
    assert not isinstance(failed.value, ContextTooLong)
    assert (await ask(engine)).text == "Answer: 56", "the engine must be usable after a failure"


@pytest.mark.parametrize("silence", [Stream(first_s=30), Stream(breaks="stall")])
async def test_a_server_that_falls_silent_is_given_up(server, silence):
    engine = await open_openai(server.url, timeout_s=0.2)
    server.default = silence
    with pytest.raises(EngineError, match=rf"no word from {server.url} in 0\.2 s") as failed:
        await ask(engine)
    assert failed.value.retryable
    await server.until_dropped()
    await engine.aclose()


async def test_what_came_before_a_failure_was_heard(server, engine):
    server.replies = [Stream("one two three", breaks="error")]
    heard: list[str] = []
    with pytest.raises(EngineError):
        await ask(engine, heard)
    assert heard == ["one", " two"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2),
        ("1.5", 1.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("in ten hours", 36000),
        ("soon", None),
        ("", None),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(server, engine, header, seconds):
    if header == "in ten hours":
        header = format_datetime(datetime.now(UTC) + timedelta(hours=10), usegmt=True)
    server.replies = [rate_limited(header)]
    with pytest.raises(EngineError, match="answered 429: slow down") as failed:
        await ask(engine)
    assert failed.value.retryable
    assert failed.value.retry_after_s == (seconds if seconds is None else pytest.approx(seconds, abs=60))


async def test_a_wait_may_be_given_in_milliseconds(server, engine):
    server.replies = [error(429, "slow down", headers={"retry-after-ms": "250", "retry-after": "1"})]
    with pytest.raises(EngineError) as failed:
        await ask(engine)
    assert failed.value.retry_after_s == 0.25


@pytest.mark.parametrize(
    "reply",
    [
        context_too_long(),
        error(400, "too many", code="context_length_exceeded"),
        error(400, "request (4390 tokens) exceeds the available context size (4096 tokens)"),
        error(500, "the request is too big", type="exceed_context_size_error"),
        error(400, "The decoder prompt (length 21535) is longer than the maximum model length of 16384."),
        Stream(breaks="error", error={"message": "This model's maximum context length is 10 tokens", "code": 400}),
    ],
)
async def test_a_context_that_is_too_long_has_its_own_error(server, engine, reply):
    server.replies = [reply]
    with pytest.raises(ContextTooLong):
        await ask(engine)
    assert len(server.chats) == 1, "the request must not be tried again without some field"


async def test_a_server_that_went_away_is_an_engine_error():
    async with FakeOpenAIServer() as server:
        engine = await open_openai(server.url)
    with pytest.raises(EngineError, match="can't reach") as failed:
        await ask(engine)
    assert isinstance(failed.value, EngineUnreachable), "a debate waits for it to come back"
    await engine.aclose()


async def test_an_address_that_takes_no_connection_is_told_soon(monkeypatch):
    monkeypatch.setattr(openai_models, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(4):  # nobody accepts these, and there is no room for more
            knocking = waiting.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(full.getsockname())
        with pytest.raises(EngineUnreachable, match="it took no connection in time"):
            await open_openai(f"http://127.0.0.1:{full.getsockname()[1]}/v1#fake", timeout_s=60)


async def test_a_process_too_busy_to_notice_its_connection_does_not_take_the_server_for_gone(server, monkeypatch):
    """A connection takes several rounds of the event loop, and each may last long where many calls are written at once."""
    monkeypatch.setattr(openai_models, "CONNECT_TIMEOUT_S", 1.0)
    engine = await open_openai(server.url, timeout_s=60)

    async def hog() -> None:
        for _ in range(4):
            time.sleep(0.4)  # noqa: ASYNC251
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as both:
        call = both.create_task(ask(engine))
        both.create_task(hog())
    assert call.result().text == "Answer: 56"
    await engine.aclose()


@pytest.mark.parametrize(
    ("reply", "gone"),
    [
        (html(502), True),
        (error(503, "loading"), True),
        (error(500, "boom"), False),
        (rate_limited(1), False),
        (Stream(breaks="hang up"), False),
    ],
    ids=["502", "503", "500", "429", "hang-up"],
)
async def test_a_server_that_is_gone_is_told_from_one_that_fails(server, engine, reply, gone):
    server.replies = [reply]
    with pytest.raises(EngineError) as failed:
        await ask(engine)
    assert isinstance(failed.value, EngineUnreachable) is gone
    assert failed.value.retryable


async def test_a_model_without_a_chat_template_is_named_for_it(server, engine):
    said = "default chat template is no longer allowed, so you must provide a chat template if the tokenizer has none"
    server.replies = [error(400, f"As of transformers v4.44, {said}", type="BadRequestError", code=400)]
    with pytest.raises(EngineError, match=r"must provide a chat template.*--chat-template FILE") as failed:
        await ask(engine)
    assert not failed.value.retryable


async def test_a_failing_listener_is_not_taken_for_a_failing_server(engine):
    def listen(piece: str) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await engine.generate(Request(PROMPT), listen)


# Cancelling and closing


@pytest.mark.parametrize("reply", [Stream(first_s=30), Stream("a b c d", per_token_s=0.2), Stream(breaks="stall")])
async def test_cancelling_a_call_closes_its_connection_at_once(server, engine, reply):
    server.default = reply
    call = asyncio.create_task(ask(engine))
    await server.until_asked()
    assert engine.calls.running == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(1):
        await server.until_dropped(1)
    assert (engine.calls.running, engine.calls.aborted) == (0, 1)


async def test_closing_the_engine_cancels_its_calls_and_refuses_new_ones(server):
    server.default = Stream(breaks="stall")
    engine = await open_openai(server.url)
    calls = [asyncio.create_task(ask(engine)) for _ in range(3)]
    await server.until_asked(3)
    await engine.aclose()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
    await server.until_dropped(3)
    with pytest.raises(EngineError, match="closed"):
        await ask(engine)
    await engine.aclose()


def test_an_engine_belongs_to_the_loop_that_opened_it():
    with in_thread(FakeOpenAIServer()) as server, asyncio.Runner() as first:
        engine = first.run(open_openai(server.url))
        with asyncio.Runner() as second, pytest.raises(EngineError, match="another event loop"):
            second.run(ask(engine))
        assert first.run(ask(engine)).text == "Answer: 56"
        first.run(engine.aclose())


def test_the_key_is_not_needed(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY" not in os.environ
    with in_thread(FakeOpenAIServer()) as server:

        async def run() -> str:
            engine = await open_openai(server.url)
            try:
                return (await ask(engine)).text
            finally:
                await engine.aclose()

        assert asyncio.run(run()) == "Answer: 56"
