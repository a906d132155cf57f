"""`POST /v1/chat/completions`: a client that knows nothing of choruses asks one.

In a stream the debate goes out as it happens, as `reasoning` and `reasoning_content`; then the answer as `content`;
then, when asked for, the usage. A failure on the way is an event with an `error`, which OpenAI's clients raise. When the
client goes, streaming or not, every call of its debate stops on the engine.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from chorus.engines.base import Sampling
from chorus.server import completion
from chorus.server.access import Admitted, Caller
from chorus.server.answering import Wish
from chorus.server.completion import Chunks
from chorus.server.conversation import read
from chorus.server.feed import Feed
from chorus.server.formats import format_of
from chorus.server.live import LiveDebate
from chorus.server.models import way
from chorus.server.options import settings_for
from chorus.server.problems import Refusal, problem
from chorus.server.schemas import ChatCompletion, ChatRequest, ChatTool, NamedTool
from chorus.server.service import Ask, Service
from chorus.server.sse import DONE, KEEP_ALIVE, ClientGone, EventStream, event_schema, message, unless_gone
from chorus.types import Tool

router = APIRouter()

CLIENT_GONE = "the client went away"

ANSWER_TOKENS = 1024
"""Bound on an answer that is written for the client, where the request sets none."""

_STREAM = {"text/event-stream": {"schema": event_schema("data")}}


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"description": "The answer; with `stream: true`, server-sent chunks of it.", "content": _STREAM}},
    tags=["chat"],
)
async def create_chat_completion(request: Request, body: ChatRequest, caller: Admitted) -> Response:
    """Answer a conversation by a debate."""
    service: Service = request.app.state.service
    ask = _ask(service, body)
    request.state.user = body.user
    if body.stream:
        return await _streamed(request, service, body, ask, caller)
    return await _whole(request, service, body, ask, caller)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def _ask(service: Service, body: ChatRequest) -> Ask:
    """Return what a request asks for. Raises Refusal or ChorusError, naming the field that can't be served."""
    chosen = way(service.ways, body.model)
    tools = _tools(body.tools or []) if body.tool_choice != "none" else ()
    choice = _tool_choice(body, tools)
    if tools:
        chosen.standing.check_tools()
    conversation = read(body, tools)
    settings = settings_for(
        service.settings,
        chosen,
        body.chorus,
        service.library,
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.length,
        seed=None if body.seed is None else body.seed % 2**63,
    )
    form, wish = format_of(body.response_format), None
    if form or tools:
        sampling = Sampling(
            max_tokens=chosen.standing.length(body.length or ANSWER_TOKENS),
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed if settings.temperature > 0 else None,
            stop=body.stops,
        )
        wish = Wish(sampling, form, tools, choice, one_call=body.parallel_tool_calls is False)
    return Ask(chosen, settings, conversation.question, conversation.asked, conversation, wish)


def _tools(tools: list[ChatTool]) -> tuple[Tool, ...]:
    given = [tool.function for tool in tools]
    if len({function.name for function in given}) < len(given):
        raise Refusal("two tools have the same name", param="tools", code="invalid_value")
    return tuple(
        Tool(
            name=function.name,
            description=function.description or "",
            parameters=json.dumps(function.parameters or {}, ensure_ascii=False),
        )
        for function in given
    )


def _tool_choice(body: ChatRequest, tools: tuple[Tool, ...]) -> str | None:
    choice = body.tool_choice
    if choice is None or choice == "none":
        return None
    if not tools:
        raise Refusal("tool_choice needs tools", param="tool_choice", code="invalid_value")
    if isinstance(choice, NamedTool):
        name = choice.function.name
        if name not in {tool.name for tool in tools}:
            raise Refusal(f"there is no tool {name[:80]!r} among the tools", param="tool_choice", code="invalid_value")
        return name
    return choice


# ---- what goes back --------------------------------------------------------------------------------------------------


def _feed(service: Service, body: ChatRequest, ask: Ask) -> Feed:
    aloud = ask.wish is not None and ask.wish.aloud(service.guided(ask.way))
    return Feed(body.stops, spokesperson=ask.wish is not None, aloud=aloud)


async def _whole(request: Request, service: Service, body: ChatRequest, ask: Ask, caller: Caller) -> Response:
    """Answer with one object, once the debate is over."""
    feed = _feed(service, body, ask)
    live: LiveDebate | None = None
    try:
        live = await unless_gone(request, service.begin(ask, caller, feed.take))
        await unless_gone(request, live.wait())
    except ClientGone:
        return Response(status_code=499)
    finally:
        if live:
            live.cancel(CLIENT_GONE)
    if failure := service.failure(live):
        raise failure
    assert live.answer is not None
    text, finish = completion.final(live.answer, live.spoken, body.stops)
    reasoning, _ = feed.pieces()
    calls = live.spoken.tool_calls if live.spoken else ()
    answer = {
        "role": "assistant",
        "content": text if text or not calls else None,
        "refusal": None,
        "reasoning": reasoning,
        "reasoning_content": reasoning,
        **({"tool_calls": completion.tool_calls(calls, numbered=False)} if calls else {}),
    }
    whole = {
        **completion.head(live.id, body.model, "chat.completion"),
        "choices": [{"index": 0, "message": answer, "finish_reason": finish, "logprobs": None}],
        "usage": completion.usage(live.answer, live.spoken),
        "chorus": completion.about(live.answer, service.review(live)),
    }
    return JSONResponse(whole, headers={"x-debate-id": live.id})


async def _streamed(request: Request, service: Service, body: ChatRequest, ask: Ask, caller: Caller) -> Response:
    """Answer with the debate as it happens."""
    feed = _feed(service, body, ask)
    try:
        live = await unless_gone(request, service.begin(ask, caller, feed.take))
    except ClientGone:
        return Response(status_code=499)
    return EventStream(
        _chunks(service, body, live, feed),
        lambda: live.cancel(CLIENT_GONE),
        stall_s=service.policy.stall_s,
        headers={"x-debate-id": live.id},
    )


async def _chunks(service: Service, body: ChatRequest, live: LiveDebate, feed: Feed) -> AsyncGenerator[bytes]:
    """Yield the stream of one completion."""
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    chunks = Chunks(live.id, body.model, include_usage=include_usage)
    yield chunks.delta({"role": "assistant", "content": ""}, chorus={"debate": live.id})
    while True:
        over = live.over  # asked before the pieces are taken, so that none is left behind
        reasoning, content = feed.pieces()
        if reasoning:
            yield chunks.reasoning(reasoning)
        if content:
            yield chunks.delta({"content": content})
        if over:
            break
        if not (reasoning or content):
            await feed.wait(service.policy.keep_alive_s)
            if feed.quiet and not live.over:
                yield KEEP_ALIVE
    try:
        for chunk in _ending(service, body, live, feed, chunks, include_usage):
            yield chunk
    except Exception as error:  # noqa: BLE001 - the status is out: the only way left to say it
        yield message(problem(error).body)
        return
    yield DONE


def _ending(
    service: Service, body: ChatRequest, live: LiveDebate, feed: Feed, chunks: Chunks, include_usage: bool
) -> list[bytes]:
    """Return the last chunks: what is left of the answer, how it ended, what it cost. Raises what failed."""
    if failure := service.failure(live):
        raise failure
    assert live.answer is not None
    text, finish = completion.final(live.answer, live.spoken, body.stops)
    left = feed.content.close(text)
    last: list[bytes] = [chunks.delta({"content": left})] if left else []
    if live.spoken and live.spoken.tool_calls:
        last.append(chunks.delta({"tool_calls": completion.tool_calls(live.spoken.tool_calls, numbered=True)}))
    last.append(chunks.delta({}, finish, chorus=completion.about(live.answer, service.review(live))))
    if include_usage:
        last.append(chunks.usage(completion.usage(live.answer, live.spoken)))
    return last
