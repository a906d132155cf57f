"""Debates that another server of the same store holds: followed and ended from here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from chorus.errors import StoreError
from chorus.record.relay import NEVER, Heard
from chorus.server.live import ERASED
from chorus.server.problems import Refusal, problem
from chorus.server.replica import Replica
from chorus.server.sse import KEEP_ALIVE, message, pieces

if TYPE_CHECKING:
    from chorus.server.service import Service

LOOK_S = 1.0
"""Seconds after which news is looked for without a notice."""

END_S = 10.0
"""How long the other server may take to end a debate that is to be erased; then it is erased under its hands."""


async def follow(
    service: Service, replica: Replica, debate: str, owner: str, start: int, heard: Heard
) -> AsyncGenerator[bytes]:
    """Give a debate's events from one on, as they come, until it is over or this server is to end.

    In the latter case, as where a server dies, the reader takes it up behind the last event that it saw, at another one.

    Args:
        service: of this server.
        replica: this server among the others.
        debate: the debate's id.
        owner: whose it is.
        start: the number of the first event wanted.
        heard: what has been heard from there on.
    """
    index, spoke, now = start, 0.0, asyncio.get_running_loop().time
    with replica.following(debate) as woken:
        latest: Heard | None = heard
        while latest:
            for piece in pieces(latest.events, index):
                yield piece
                spoke = now()
            index += len(latest.events)
            if latest.broken:
                yield _broken_off(latest.broken)
            if latest.over or service.draining:
                return
            await _news(woken)
            if now() - spoke >= service.policy.keep_alive_s:
                yield KEEP_ALIVE
                spoke = now()
            latest = await _heard(replica, debate, owner, index)
    yield _broken_off(ERASED)


async def end(replica: Replica, debate: str, owner: str, why: str) -> None:
    """Have a debate ended, if it is under way, and wait until it is written down. Raises StoreError."""
    if await replica.relay.wish(debate, owner, why):
        await over(replica, debate, owner, END_S)


async def over(replica: Replica, debate: str, owner: str, within_s: float) -> bool:
    """Wait until a debate is over and written down. Returns whether it is; False where there is none. Raises StoreError."""
    with replica.following(debate) as woken, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while heard := await replica.relay.heard(debate, owner, NEVER):
                if heard.over:
                    return True
                await _news(woken)
    return False


async def _heard(replica: Replica, debate: str, owner: str, index: int) -> Heard | None:
    try:
        return await replica.relay.heard(debate, owner, index)
    except StoreError:  # away for now: the reader may wait for it
        return Heard([], over=False)


async def _news(woken: asyncio.Event) -> None:
    """Wait for news, or until it is time to look anyway."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            await woken.wait()
    woken.clear()


def _broken_off(why: str) -> bytes:
    """Return the last message of events that end without a decision."""
    refusal = Refusal(f"the debate was broken off: {why}", status=502, code="broken_off")
    return message(problem(refusal).body)
