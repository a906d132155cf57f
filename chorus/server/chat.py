"""`POST /v1/chat/completions`: a client that knows nothing of choruses asks one.

In a stream the debate goes out as it happens, as `reasoning` and `reasoning_content`; then the answer as `content`;
then, when asked for, the usage. A failure on the way is an event with an `error`, which OpenAI's clients raise. When the
client goes, streaming or not, every call of its debate stops on the engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from chorus.server import completion
from chorus.server.access import Admitted, Caller
from chorus.server.asking import CLIENT_GONE, ask_of, feed_for, hold
from chorus.server.completion import Chunks
from chorus.server.feed import Feed
from chorus.server.live import LiveDebate
from chorus.server.onair import as_one
from chorus.server.problems import problem
from chorus.server.replies import ChatCompletion
from chorus.server.requests import ChatRequest
from chorus.server.service import Ask, Service
from chorus.server.silence import failure
from chorus.server.sse import DONE, KEEP_ALIVE, ClientGone, EventStream, event_schema, message, unless_gone

router = APIRouter()

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
    ask = ask_of(service, body)
    request.state.user = body.user
    if body.stream:
        return await _streamed(request, service, body, ask, caller)
    return await _whole(request, service, body, ask, caller)


async def _whole(request: Request, service: Service, body: ChatRequest, ask: Ask, caller: Caller) -> Response:
    """Answer with one object, once the debate is over."""
    feed = feed_for(service, body, ask)
    try:
        live = await hold(request, service, ask, caller, feed)
    except ClientGone:
        return Response(status_code=499)
    assert live.answer is not None
    text, finish = completion.final(live.answer, live.spoken, body.stops)
    reasoning = as_one(feed.said)
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
    feed = feed_for(service, body, ask)
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
    async with aclosing(feed.follow(live, service.policy.keep_alive_s)) as course:
        async for pieces in course:
            if pieces is None:
                yield KEEP_ALIVE
                continue
            said, content = pieces
            if said:
                yield chunks.reasoning(as_one(said))
            if content:
                yield chunks.delta({"content": content})
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
    if why := failure(live):
        raise why
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
