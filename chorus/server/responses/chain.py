"""What was said before: the responses that one goes on from, as they are kept."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chorus.server import elsewhere
from chorus.server.problems import Refusal
from chorus.server.responses.items import MAX_ITEMS
from chorus.server.responses.requests import Item
from chorus.server.responses.resource import PREFIX, broken_off
from chorus.server.service import Service

WAIT_S = 5.0
"""How long a response is waited for that another server makes before nothing goes on from it: it may have been answered, and
not be written down yet."""

READ_S = 1.0
"""How long whoever reads it waits for that."""

_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


async def kept(service: Service, response: str, owner: str, *, wait_s: float = READ_S) -> dict[str, Any] | None:
    """Return a response, in memory or in the store, with the `input` that led to it; None when there is none.

    One that another server makes is given as it began, unless it is over in time; one that was cut with its server as
    failed.

    Raises:
        StoreError: the store can't be read.
    """
    if not response.startswith(PREFIX):
        return None
    debate = response.removeprefix(PREFIX)
    if live := service.hall.get(debate, owner):
        return _read(live.reply(live)) if live.reply else None
    if service.store is None:
        return None
    found = await service.store.reply(debate, owner)
    if found and not found.over and service.replica and wait_s:
        await elsewhere.over(service.replica, debate, owner, wait_s)
        found = await service.store.reply(debate, owner)
    if found is None:
        return None
    told = _read(found.text)
    if found.broken is not None:
        told["response"] = broken_off(told["response"], found.broken)
    return told


async def before(service: Service, response: str | None, owner: str) -> list[Item]:
    """Return the conversation up to a response and with it, oldest first; empty for None.

    Raises:
        Refusal: it, or one that it goes on from, is not there, has no answer, or is still being made.
        StoreError: the store can't be read.
    """
    items: list[Item] = []
    while response is not None and len(items) <= MAX_ITEMS:
        found = await kept(service, response, owner, wait_s=WAIT_S)
        if found is None:
            raise _refused(f"there is no response {response[:80]!r}: it was erased, or not kept", "not_found")
        told = found["response"]
        if told["status"] not in ("completed", "incomplete"):
            raise _refused(f"nothing goes on from {response[:80]!r}, which is {told['status']}", "not_completed")
        items = [*_items(response, [*found["input"], *told["output"]]), *items]
        response = told["previous_response_id"]
    return items


def _read(kept: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kept)
    return found


def _items(response: str, kept: list[dict[str, Any]]) -> list[Item]:
    """Read items as they are kept, except for debates behind answers, which nobody reads again."""
    try:
        return _ITEMS.validate_python([item for item in kept if item.get("type") != "reasoning"])
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise _refused(f"nothing goes on from {response[:80]!r}: {why}", "unusable") from None


def _refused(why: str, code: str) -> Refusal:
    return Refusal(why, param="previous_response_id", code=f"previous_response_{code}")
