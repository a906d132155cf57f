"""What one client is to be sent of a debate, and has not been sent yet.

Two lines of text: the debate, voice by voice, and the answer as `content`. They grow as the debate gives off events and are
taken whenever the client has read what it got, so a slow reader gets fewer and longer pieces, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from chorus.record import events
from chorus.record.events import Event
from chorus.server.answering import SEAT
from chorus.server.content import Content
from chorus.server.onair import OnAir, Said

if TYPE_CHECKING:
    from chorus.server.live import LiveDebate


class Feed:
    """Listens to a debate for one client.

    Args:
        stops: strings that end the answer.
        spokesperson: whether one writes the answer, since the chorus' own is not what goes out.
        aloud: whether the spokesperson's words go out as they come.
    """

    def __init__(self, stops: Sequence[str] = (), *, spokesperson: bool = False, aloud: bool = False) -> None:
        self.content = Content(stops)
        self._spokesperson = spokesperson
        self._aloud = aloud
        """Whether the answer's words go out as they come."""
        self._on_air = OnAir()
        self._answering: str | None = None
        """The turn whose words are the answer's."""
        self._can_be_read = False
        self.said: list[Said] = []
        """Everything that the voices said so far."""
        self._sent = 0
        """How much of it was taken."""
        self._more = asyncio.Event()

    def take(self, event: Event) -> None:
        """Hear the next event."""
        if isinstance(event, events.Convened):
            # A free text of the coordinator is the answer; what voices say in JSON is yet to be read.
            self._can_be_read = event.plan.positions == "text"
        elif isinstance(event, events.TurnStarted) and self._answers(event):
            self._answering = event.turn
        elif isinstance(event, events.TurnDelta) and event.turn == self._answering:
            self.content.say(event.text)
            if self._aloud:
                self._more.set()
        elif isinstance(event, events.TurnRetried) and event.turn == self._answering:
            self.content.void()
        elif said := self._on_air.take(event):
            self.said += said
            self._more.set()
        if isinstance(event, events.Decided):
            self._more.set()

    @property
    def quiet(self) -> bool:
        """Whether nothing has come since the last look."""
        return not self._more.is_set()

    def pieces(self) -> tuple[list[Said], str]:
        """Take what there is: of the debate, and of the content."""
        self._more.clear()
        said, self._sent = self.said[self._sent :], len(self.said)
        return said, self.content.ready() if self._aloud else ""

    async def follow(self, live: LiveDebate, patience_s: float) -> AsyncGenerator[tuple[list[Said], str] | None]:
        """Take what there is, again and again until the debate is over; None where nothing came for so long."""
        while True:
            over = live.over  # asked before the pieces are taken, so that none is left behind
            said, content = self.pieces()
            if said or content:
                yield said, content
            if over:
                return
            if not (said or content):
                await self.wait(patience_s)
                if self.quiet and not live.over:
                    yield None

    async def wait(self, patience_s: float) -> None:
        """Wait until there is something, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._more.wait()

    def _answers(self, event: events.TurnStarted) -> bool:
        """Tell whether the turn writes the answer."""
        if self._spokesperson:
            return event.seat == SEAT and event.kind == "synthesis"
        self._aloud = event.kind == "synthesis" and self._can_be_read
        return self._aloud
