"""`/v1/responses`: a response made by a debate, streamed or not, read again, gone on from, and erased.

It is asked for as a chat is, and what holds there holds here: when the client goes, every call of its debate stops on the
engine; one key does not see what is another's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse, Response

from chorus.server import completion
from chorus.server.access import Admitted, Caller, Known
from chorus.server.asking import CLIENT_GONE, ask_of, feed_for, hold
from chorus.server.debates import erase
from chorus.server.feed import Feed
from chorus.server.live import LiveDebate
from chorus.server.problems import Refusal
from chorus.server.requests import IN_AN_ID
from chorus.server.responses import chain
from chorus.server.responses.items import as_chat, in_own_words
from chorus.server.responses.replies import ResponseObject, ResponseRemoved
from chorus.server.responses.requests import ResponseRequest
from chorus.server.responses.resource import PREFIX, Resource
from chorus.server.responses.writer import Writer
from chorus.server.service import Ask, Service
from chorus.server.silence import failure
from chorus.server.sse import DONE, KEEP_ALIVE, ClientGone, EventStream, event_schema, unless_gone

router = APIRouter(prefix="/v1/responses", tags=["responses"])

Id = Annotated[str, Path(min_length=1, max_length=300, pattern=IN_AN_ID, description="A response's id.")]

_ONE = ("read_response", "erase_response")
_LINKS = {name: {"operationId": name, "parameters": {"response": "$response.body#/id"}} for name in _ONE}
_STREAM = {"text/event-stream": {"schema": event_schema("event", "data")}}


@router.post(
    "",
    response_model=ResponseObject,
    responses={
        200: {
            "description": "The response; with `stream: true`, server-sent events of it.",
            "content": _STREAM,
            "links": _LINKS,
        }
    },
)
async def create_response(request: Request, body: ResponseRequest, caller: Admitted) -> Response:
    """Answer by a debate."""
    service: Service = request.app.state.service
    if body.stream_options is not None and not body.stream:
        raise Refusal("stream_options goes with stream: true", param="stream_options", code="invalid_value")
    with in_own_words():
        chat = as_chat(body, await chain.before(service, body.previous_response_id, caller.owner))
        ask = replace(ask_of(service, chat), keep=body.store is not False)
        feed = feed_for(service, chat, ask)
        told = Resource(service, body, ask, feed)
        if ask.keep:
            ask = replace(ask, reply=told.kept)
        request.state.user = body.user
        try:
            if body.stream:
                return await _streamed(request, service, ask, caller, feed, told)
            live = await hold(request, service, ask, caller, feed)
        except ClientGone:
            return Response(status_code=499)
    return JSONResponse(told.ended(live), headers={"x-debate-id": live.id})


@router.get("/{response}", response_model=ResponseObject)
async def read_response(request: Request, response: Id, caller: Known) -> Response:
    """Return a response as it was answered, or as far as it is."""
    for name in request.query_params:
        raise Refusal(f"{name[:80]} is not supported here", param=name[:80], code="unsupported_parameter")
    found = await chain.kept(request.app.state.service, response, caller.owner)
    if found is None:
        raise _missing(response)
    return JSONResponse(found["response"])


@router.delete("/{response}", response_model=ResponseRemoved)
async def erase_response(request: Request, response: Id, caller: Known) -> Response:
    """Erase a response for good, and its debate. One that is being made ends first."""
    service: Service = request.app.state.service
    found = await chain.kept(service, response, caller.owner, wait_s=0)
    if found is None or not await erase(service, response.removeprefix(PREFIX), caller.owner):
        raise _missing(response)
    return JSONResponse({"id": response, "object": "response", "deleted": True})


# ---- the stream ------------------------------------------------------------------------------------------------------


async def _streamed(
    request: Request, service: Service, ask: Ask, caller: Caller, feed: Feed, told: Resource
) -> Response:
    live = await unless_gone(request, service.begin(ask, caller, feed.take))
    return EventStream(
        _events(service, live, feed, Writer(told, live)),
        lambda: live.cancel(CLIENT_GONE),
        stall_s=service.policy.stall_s,
        headers={"x-debate-id": live.id},
    )


async def _events(service: Service, live: LiveDebate, feed: Feed, writer: Writer) -> AsyncGenerator[bytes]:
    """Yield the stream of one response."""
    yield b"".join(writer.begin())
    async with aclosing(feed.follow(live, service.policy.keep_alive_s)) as course:
        async for pieces in course:
            if pieces is None:
                yield KEEP_ALIVE
                continue
            said, content = pieces
            yield b"".join([*writer.voices(said), *(writer.words(content) if content else [])])
    yield b"".join(_ending(service, live, feed, writer))
    yield DONE


def _ending(service: Service, live: LiveDebate, feed: Feed, writer: Writer) -> list[bytes]:
    """Return the last events: what is left of the answer, or why there is none."""
    try:
        if why := failure(live):
            raise why
        assert live.answer is not None
        text, _ = completion.final(live.answer, live.spoken, ())
        return writer.end(feed.content.close(text), live.spoken.tool_calls if live.spoken else ())
    except Exception as error:  # noqa: BLE001 - the status is out: the only way left to say it
        return writer.fail(error)


def _missing(response: str) -> Refusal:
    return Refusal(f"there is no response {response[:80]!r}", status=404, param="response", code="not_found")
