"""What was said before: the responses that one goes on from, as they are kept."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chorus.server import elsewhere
from chorus.server.problems import Refusal
from chorus.server.responses.items import MAX_ITEMS
from chorus.server.responses.requests import Item
from chorus.server.responses.resource import PREFIX
from chorus.server.service import Service

WAIT_S = 5.0
"""How long a response is waited for that another server makes: it may have been answered, and not be written down yet."""

_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


async def kept(service: Service, response: str, owner: str) -> dict[str, Any] | None:
    """Return a response, in memory or in the store, with the `input` that led to it; None when there is none.

    Raises:
        StoreError: the store can't be read.
    """
    if not response.startswith(PREFIX):
        return None
    debate = response.removeprefix(PREFIX)
    if live := service.hall.get(debate, owner):
        text = live.reply(live) if live.reply else None
    else:
        text = await _stored(service, debate, owner)
    found: dict[str, Any] | None = None if text is None else json.loads(text)
    return found


async def _stored(service: Service, debate: str, owner: str) -> str | None:
    if service.store is None:
        return None
    text = await service.store.reply(debate, owner)
    if text is None and service.replica and await elsewhere.over(service.replica, debate, owner, WAIT_S):
        text = await service.store.reply(debate, owner)
    return text


async def before(service: Service, response: str | None, owner: str) -> list[Item]:
    """Return the conversation up to a response and with it, oldest first; empty for None.

    Raises:
        Refusal: it, or one that it goes on from, is not there, has no answer, or is still being made.
        StoreError: the store can't be read.
    """
    items: list[Item] = []
    while response is not None and len(items) <= MAX_ITEMS:
        found = await kept(service, response, owner)
        if found is None:
            raise _refused(f"there is no response {response[:80]!r}: it was erased, or not kept", "not_found")
        told = found["response"]
        if told["status"] not in ("completed", "incomplete"):
            raise _refused(f"nothing goes on from {response[:80]!r}, which is {told['status']}", "not_completed")
        items = [*_read(response, [*found["input"], *told["output"]]), *items]
        response = told["previous_response_id"]
    return items


def _read(response: str, kept: list[dict[str, Any]]) -> list[Item]:
    """Read items as they are kept, except for debates behind answers, which nobody reads again."""
    try:
        return _ITEMS.validate_python([item for item in kept if item.get("type") != "reasoning"])
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise _refused(f"nothing goes on from {response[:80]!r}: {why}", "unusable") from None


def _refused(why: str, code: str) -> Refusal:
    return Refusal(why, param="previous_response_id", code=f"previous_response_{code}")
