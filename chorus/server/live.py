"""A debate under way, and what it gave off so far.

One task holds the debate; any number of readers follow its log, each at its own pace and from any place in it. The log
holds every event as JSON, its index is the event's id. Invariants:

- the last event is `decided`, whichever way the debate ends: done, cut, cancelled, failed, or by a fault of ours;
- a log is never longer than `MAX_LOG_CHARS`: past it words are left out, and come whole with the end of their turn;
- `cancel` stops every call on the engine before the task ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from chorus.debate.scheduler import Debate
from chorus.record import events
from chorus.record.events import Event
from chorus.server.answering import Spoken, Spokesperson
from chorus.types import Answer

log = logging.getLogger("chorus.server")

MAX_LOG_CHARS = 4_000_000

ERASING = "it is being erased"
ERASED = "it was erased"

Tap = Callable[[Event], None]
"""Hears each event as it happens, in the event loop's thread."""

Reply = Callable[["LiveDebate"], str]
"""Returns, as JSON, what the client is answered: so far while the debate is under way, and for good once it is over."""

Ended = Callable[["LiveDebate"], Awaitable[None]]
"""Writes down a debate that is over."""


class LiveDebate:
    """One debate while it is held.

    Args:
        debate: planned, not begun.
        owner: whose it is: a key's id, or `local`.
        model: the way of answering that was asked for.
        asked: the question as lists show it.
        spokesperson: writes the answer for the client once the chorus has decided, where that takes a call of its own.
        reply: tells what the client is answered, where that can be asked for later.
        keep: whether the debate stays after its end.
        max_log_chars: bound on the log.
    """

    def __init__(
        self,
        debate: Debate,
        *,
        owner: str,
        model: str,
        asked: str,
        spokesperson: Spokesperson | None = None,
        reply: Reply | None = None,
        keep: bool = True,
        max_log_chars: int = MAX_LOG_CHARS,
    ) -> None:
        self.id = debate.id
        self.debate = debate
        self.owner, self.model, self.asked = owner, model, asked
        self.reply = reply
        self.keep = keep
        """Whether it is to be written down; no more once it was erased."""
        self.created = datetime.now(UTC)
        self.answer: Answer | None = None
        """The record; set once, at the end."""
        self.ended = self.created
        """When that was."""
        self.spoken: Spoken | None = None
        """What the spokesperson wrote."""
        self.fault: BaseException | None = None
        """Why there is no answer for the client although a record may exist."""
        self.log: list[str] = []
        self.watchers = 0
        self.watched_elsewhere = -math.inf
        """When its events were last read at another server, on the event loop's clock."""
        self._spokesperson = spokesperson
        self._tap: Tap | None = None
        self._why: str | None = None
        self._max = self._room = max_log_chars
        self._more = asyncio.Event()
        self._over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        """Holds the debate, then has it written down."""

    @property
    def size(self) -> int:
        """Length of the log, in characters."""
        return self._max - self._room

    @property
    def cancelled(self) -> str | None:
        """Why it was cancelled; None when it was not."""
        return self._why

    @property
    def erased(self) -> bool:
        """Whether it was ended so that nothing of it stays."""
        return self._why in (ERASING, ERASED)

    @property
    def over(self) -> bool:
        """Whether the last event is out."""
        return self._over.is_set()

    def start(self, ended: Ended, *, tap: Tap | None = None) -> None:
        """Begin. `ended` is awaited after the last event is out, in the same task."""
        self._tap = tap
        self.task = asyncio.create_task(self._run(ended), name=f"debate {self.id}")

    def cancel(self, why: str) -> None:
        """End the debate now; no-op when it is over. The record says why, and holds what was said until then."""
        if self.task and self.answer is None and self._why is None:
            self._why = why
            self.task.cancel()

    async def wait(self) -> None:
        """Wait for the last event."""
        await self._over.wait()

    async def next(self, index: int, patience_s: float) -> Sequence[str]:
        """Return the events from an index on. Waits for the first of them; empty when none came, or none will."""
        if index >= len(self.log) and not self.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._more.wait()
        return self.log[index:]

    @contextlib.contextmanager
    def watched(self, left: Callable[[LiveDebate], object]) -> Iterator[None]:
        """Count as a reader of the events; `left` is told when the last one has gone."""
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1
            if not self.watchers:
                left(self)

    async def _run(self, ended: Ended) -> None:
        try:
            async with aclosing(self._course()) as course:
                async for event in course:
                    self._take(event)
        except asyncio.CancelledError:
            self._end(self._why or "the server stopped")
        except Exception as error:
            log.exception("debate %s", self.id)
            self.fault = error
            self._end("the server failed")
        finally:
            self._over.set()
            self._wake()
        await ended(self)

    async def _course(self) -> AsyncGenerator[Event]:
        """Give the debate's events; the spokesperson speaks before the last of them."""
        async with aclosing(self.debate.run()) as stream:
            async for event in stream:
                if isinstance(event, events.Decided) and self._spokesperson and event.answer.answer is not None:
                    async with aclosing(self._spokesperson.speak(event)) as speech:
                        async for one in speech:
                            yield one
                else:
                    yield event

    def _end(self, why: str) -> None:
        """Give off the last event of a debate that was left before its end."""
        if self.answer is None:
            record = self.debate.record(why)
            if record.status != "done":
                record = record.model_copy(update={"reason": why})
            self._take(events.Decided(at=record.usage.wall_s, answer=record))

    def _take(self, event: Event) -> None:
        if isinstance(event, events.Decided):
            self.answer, self.ended = event.answer, datetime.now(UTC)
            if self._spokesperson:
                self.spoken, self.fault = self._spokesperson.spoken, self.fault or self._spokesperson.failure
            self._over.set()
        if self._tap:
            self._tap(event)
        if isinstance(event, events.TurnDelta) and self._room <= 0:
            return
        self.log.append(event.model_dump_json(by_alias=True))
        self._room -= len(self.log[-1])
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        if not self.over:
            self._more = asyncio.Event()  # the old one belongs to those who were waiting
