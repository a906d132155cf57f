"""`/v1/debates`: a debate started, watched, read, explained, listed and erased. Another key's debate is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from chorus.record import jsonl
from chorus.record.explanation import explain
from chorus.server import conversation, elsewhere, past
from chorus.server.access import Admitted, Known
from chorus.server.live import ERASING, LiveDebate
from chorus.server.models import way
from chorus.server.options import settings_for
from chorus.server.problems import Refusal
from chorus.server.replies import DebateList, Removed, Started
from chorus.server.requests import IN_AN_ID, DebateRequest
from chorus.server.service import Ask, Service
from chorus.server.sse import KEEP_ALIVE, ClientGone, EventStream, event_schema, pieces, unless_gone
from chorus.types import Answer

router = APIRouter(prefix="/v1/debates", tags=["debates"])

CANCELLED = "it was cancelled"

Id = Annotated[
    str, Path(min_length=1, max_length=300, pattern=IN_AN_ID, description="A debate's id, as `x-debate-id` named it.")
]

_ONE = ("read_debate", "explain_debate", "follow_debate", "cancel_debate", "erase_debate")
_LINKS = {name: {"operationId": name, "parameters": {"debate": "$response.body#/id"}} for name in _ONE}


@router.post("", status_code=202, response_model=Started, responses={202: {"links": _LINKS}})
async def start_debate(request: Request, body: DebateRequest, caller: Admitted) -> Response:
    """Start a debate, to be watched. It goes on while its watcher reconnects, and ends when nobody watches any more."""
    service: Service = request.app.state.service
    chosen = way(service.ways, body.model)
    settings = settings_for(service.settings, chosen, body.chorus, service.library)
    ask = Ask(chosen, settings, conversation.question(body.question), body.question)
    try:
        live = await unless_gone(request, service.begin(ask, caller))
    except ClientGone:
        return Response(status_code=499)
    service.hall.unwatched(live)
    where = f"/v1/debates/{live.id}/events"
    return JSONResponse(
        {"id": live.id, "events": where}, 202, {"x-debate-id": live.id, "location": f"/v1/debates/{live.id}"}
    )


@router.get("", response_model=DebateList)
async def list_debates(
    request: Request,
    caller: Known,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[
        str | None, Query(max_length=300, pattern=IN_AN_ID, description="The last id of the page before.")
    ] = None,
    needs_review: Annotated[
        bool | None, Query(description="Only those that a person should look at, or only others.")
    ] = None,
) -> Response:
    """List debates, newest first."""
    service: Service = request.app.state.service
    rows, more = await past.page(service, caller.owner, limit=limit, before=before, needs_review=needs_review)
    return JSONResponse({"object": "list", "data": rows, "has_more": more})


@router.get(
    "/{debate}",
    response_model=None,
    responses={
        200: {
            "description": "The record, `schema: 1`.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def read_debate(request: Request, debate: Id, caller: Known) -> Response:
    """Return a debate's record: everything that was said, heard, decided and spent."""
    answer = await _answer(request.app.state.service, debate, caller.owner)
    return Response(jsonl.dumps(answer), media_type="application/json")


@router.get(
    "/{debate}/explanation",
    response_model=None,
    responses={200: {"description": "Readable text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def explain_debate(request: Request, debate: Id, caller: Known) -> Response:
    """Explain an answer in words: who argued what, who changed their mind and why, how sure, what the dissent was."""
    service: Service = request.app.state.service
    answer = await _answer(service, debate, caller.owner)
    return PlainTextResponse(explain(answer, service.reasons(answer)))


@router.get(
    "/{debate}/events",
    response_model=None,
    responses={
        200: {
            "description": "Server-sent events: `id`, `event`, `data`.",
            "content": {"text/event-stream": {"schema": event_schema("id", "event", "data")}},
        }
    },
)
async def follow_debate(
    request: Request,
    debate: Id,
    caller: Known,
    last_event_id: Annotated[str | None, Header(description="Go on behind this event.", max_length=20)] = None,
) -> Response:
    """Follow a debate's events, live or after the fact, from the first or behind the last one seen."""
    service: Service = request.app.state.service
    start = _after(last_event_id)
    stall = service.policy.stall_s
    if live := service.hall.get(debate, caller.owner):
        watching = live.watched(service.hall.unwatched)
        watching.__enter__()
        return EventStream(
            _live(live, start, service.policy.keep_alive_s), lambda: watching.__exit__(None, None, None), stall_s=stall
        )
    if replica := service.replica:
        heard = await replica.relay.heard(debate, caller.owner, start)
        if heard is None:
            raise _missing(debate)
        following = elsewhere.follow(service, replica, debate, caller.owner, start, heard)
        return EventStream(following, lambda: None, stall_s=stall)
    events = await past.events(service, debate, caller.owner)
    if events is None:
        raise _missing(debate)
    return EventStream(_recorded(events, start), lambda: None, stall_s=stall)


@router.post("/{debate}/cancel", status_code=202, response_model=Started)
async def cancel_debate(request: Request, debate: Id, caller: Known) -> Response:
    """End a debate now, with the best decision so far. One that is over stays as it is."""
    service: Service = request.app.state.service
    if live := service.hall.get(debate, caller.owner):
        live.cancel(CANCELLED)
    elif service.replica and await service.replica.relay.wish(debate, caller.owner, CANCELLED):
        pass  # whoever holds it ends it
    elif await past.events(service, debate, caller.owner) is None:
        raise _missing(debate)
    return JSONResponse({"id": debate, "events": f"/v1/debates/{debate}/events"}, 202)


@router.delete("/{debate}", response_model=Removed)
async def erase_debate(request: Request, debate: Id, caller: Known) -> Response:
    """End a debate if it is under way, and erase it for good."""
    if not await erase(request.app.state.service, debate, caller.owner):
        raise _missing(debate)
    return JSONResponse({"id": debate, "object": "debate", "deleted": True})


# ---- their parts -----------------------------------------------------------------------------------------------------


async def erase(service: Service, debate: str, owner: str) -> bool:
    """End a debate if it is under way, and erase it. Returns whether there was one. Raises StoreError."""
    live = service.hall.get(debate, owner)
    if live:
        live.cancel(ERASING)
        if live.task:
            await asyncio.wait({live.task})
        live.keep = False
        service.hall.forget(debate)
    elif service.replica:
        await elsewhere.end(service.replica, debate, owner, ERASING)
    stored = await service.store.erase(debate, owner) if service.store else False
    return live is not None or stored


async def _answer(service: Service, debate: str, owner: str) -> Answer:
    """Return a record. Raises Refusal: 404 when it isn't there, 409 while the debate is under way."""
    live = service.hall.get(debate, owner)
    stored = None if live else await past.record(service, debate, owner)
    known = live or stored
    answer = known.answer if known else None
    if answer:
        return answer
    if live or (stored and stored.status == "running"):
        raise Refusal("the debate is still under way: follow its events", status=409, code="under_way", retry_after_s=1)
    if stored:
        raise Refusal("the debate was broken off, and left its events only", status=404, code="no_record")
    raise _missing(debate)


async def _live(live: LiveDebate, start: int, keep_alive_s: float) -> AsyncGenerator[bytes]:
    index = start
    while True:
        over = live.over
        batch = await live.next(index, keep_alive_s)
        if batch:
            for piece in pieces(batch, index):
                yield piece
            index += len(batch)
        elif over:
            return
        elif not live.over:
            yield KEEP_ALIVE


async def _recorded(events: Sequence[str], start: int) -> AsyncGenerator[bytes]:
    for piece in pieces(events[start:], start):
        yield piece


def _after(last_event_id: str | None) -> int:
    """Return the index behind the last event seen. Raises Refusal when it is none."""
    if not last_event_id:
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit():
        raise Refusal("Last-Event-ID is no event's id: it is a number", param="Last-Event-ID", code="invalid_value")
    return int(last_event_id) + 1


def _missing(debate: str) -> Refusal:
    return Refusal(f"there is no debate {debate[:80]!r}", status=404, param="debate", code="not_found")
