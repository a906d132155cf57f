"""What is written down of a debate: that it began, how it ended, and the charge for it. Each once.

A write whose fate nobody knows, since the database went away over it, is made again: the note that a debate began stays as
it is, its end is written over, and a charge bears the debate's name and counts once (`KeyRing.spend`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from chorus.record.store import Gone
from chorus.server.access import Caller
from chorus.server.live import LiveDebate
from chorus.server.webhook import Webhook, message
from chorus.types import Usage

if TYPE_CHECKING:
    from chorus.record.store import Store
    from chorus.server.keys import Key, KeyRing

log = logging.getLogger("chorus.server")


class Ledger:
    """See the module's docstring.

    Args:
        store: where debates are kept; None keeps none.
        keys: whom debates are charged to; None charges nobody.
        webhook: is told of answers that a person should look at.
        review: tells why a person should look at a debate that is over.
    """

    def __init__(
        self,
        store: Store | None,
        keys: KeyRing | None,
        webhook: Webhook | None,
        review: Callable[[LiveDebate], list[str]],
    ) -> None:
        self._store, self._keys, self._webhook = store, keys, webhook
        self._review = review
        self._noting: dict[str, asyncio.Task[None]] = {}
        """Of each debate that is not written down yet, the note in the store that it began."""
        self._payers: dict[str, Caller] = {}
        """Who is still to pay for a debate."""
        self._charging: dict[str, asyncio.Task[None]] = {}
        """Charges under way. A charge outlives who waits for it, or each would wait as long for a slow database."""

    def bill(self, live: LiveDebate, caller: Caller) -> None:
        """Note who pays for a debate that begins."""
        self._payers[live.id] = caller

    def noted(self, live: LiveDebate) -> asyncio.Task[None]:
        """Return the note in the store that a debate began; one that failed is made again."""
        assert self._store
        noting = self._noting.get(live.id)
        if noting is None or (noting.done() and (noting.cancelled() or noting.exception())):
            reply = live.reply(live) if live.reply else None
            note = self._store.begin(live.id, owner=live.owner, model=live.model, question=live.asked, reply=reply)
            self._noting[live.id] = noting = asyncio.create_task(note)
        return noting

    async def settle(self, live: LiveDebate) -> bool:
        """Charge for a debate that is over and write it down, as far as that is still to be done. Raises StoreError.

        Returns whether it need not be kept in memory.
        """
        await self._charge(live)
        stored = not live.keep or await self._write(live)
        self.forget(live)
        return stored

    def forget(self, live: LiveDebate) -> None:
        """Know no more of a debate: nothing more of it is to be written."""
        self._payers.pop(live.id, None)
        self._noting.pop(live.id, None)

    async def charged(self, within_s: float) -> None:
        """Wait for the charges under way, at most so long."""
        if self._charging:
            await asyncio.wait(self._charging.values(), timeout=within_s)

    async def _charge(self, live: LiveDebate) -> None:
        caller = self._payers.get(live.id)
        if not (self._keys and caller and caller.key and live.answer):
            return
        if live.id not in self._charging:
            spending = self._spend(live.id, self._keys, caller.key, live.answer.usage)
            self._charging[live.id] = asyncio.create_task(spending)
        await asyncio.shield(self._charging[live.id])

    async def _spend(self, debate: str, keys: KeyRing, key: Key, used: Usage) -> None:
        try:
            await keys.spend(key, used.prompt_tokens + used.completion_tokens, debate)
            self._payers.pop(debate, None)
        finally:
            del self._charging[debate]

    async def _write(self, live: LiveDebate) -> bool:
        """Write down a debate. Returns whether there is a store."""
        if not self._store or live.id not in self._noting or not live.answer:
            return False
        await self.noted(live)
        reasons = self._review(live)
        told = self._webhook if reasons and not live.erased else None
        body = message(live, reasons) if told else None
        reply = live.reply(live) if live.reply else None
        try:
            await self._store.finish(live.id, live.answer, live.log, reasons, reply=reply, message=body)
        except Gone:
            log.info("debate %s was erased before it was written down", live.id)
            return True
        if told:
            told.wake()
        return True
