"""What a chat asks of the chorus, and how it is held while its client waits: one way for all that is asked as a chat."""

from __future__ import annotations

import json

from fastapi import Request

from chorus.engines.base import Sampling
from chorus.server.access import Caller
from chorus.server.answering import Wish
from chorus.server.conversation import read
from chorus.server.feed import Feed
from chorus.server.formats import format_of
from chorus.server.live import LiveDebate
from chorus.server.models import way
from chorus.server.options import settings_for
from chorus.server.problems import Refusal
from chorus.server.requests import ChatRequest, ChatTool, NamedTool
from chorus.server.service import Ask, Service
from chorus.server.silence import failure
from chorus.server.sse import unless_gone
from chorus.types import Tool

CLIENT_GONE = "the client went away"

ANSWER_TOKENS = 1024
"""Bound on an answer that is written for the client, where the request sets none."""


def ask_of(service: Service, body: ChatRequest) -> Ask:
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


def feed_for(service: Service, body: ChatRequest, ask: Ask) -> Feed:
    """Return what listens to the debate for the client."""
    aloud = ask.wish is not None and ask.wish.aloud(service.guided(ask.way))
    return Feed(body.stops, spokesperson=ask.wish is not None, aloud=aloud)


async def hold(request: Request, service: Service, ask: Ask, caller: Caller, feed: Feed) -> LiveDebate:
    """Hold a debate to its end, and return it.

    Raises:
        ClientGone: nobody waits for it any more; it was cancelled.
        ChorusError: it could not be begun, or has nothing to say to the client.
    """
    live: LiveDebate | None = None
    try:
        live = await unless_gone(request, service.begin(ask, caller, feed.take))
        await unless_gone(request, live.wait())
    finally:
        if live:
            live.cancel(CLIENT_GONE)
    if why := failure(live):
        raise why
    return live


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
