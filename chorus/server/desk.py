"""One engine of the server, and who is let in to it. The chorus has one; each baked checkpoint has its own."""

from __future__ import annotations

from typing import Self

from chorus.chorus import Chorus
from chorus.debate.checked import MOST_ANSWERS
from chorus.engines.base import Engine
from chorus.engines.turnstile import Turnstile
from chorus.server.admission import Admission
from chorus.server.policy import Policy


class Desk:
    """An open engine behind its queue. Made by `Desk.open`."""

    def __init__(self, chorus: Chorus, engine: Engine, policy: Policy, *, shared: bool) -> None:
        self._chorus = chorus
        self.engine = engine
        at_once, room = policy.calls_at_once or engine.info.max_concurrency, policy.calls_waiting
        # The one debate of an idle server may need more than the room: at most its turns, and all checks for each.
        self.turnstile = Turnstile(engine, at_once, room + (1 + MOST_ANSWERS) * policy.max_turns)
        self.admission = Admission(self.turnstile, room, shared=shared)

    @classmethod
    async def open(cls, chorus: Chorus, policy: Policy, *, shared: bool) -> Self:
        """Open a chorus' engine; `shared` when several keys use it. Raises ChorusError when it can't be opened."""
        return cls(chorus, await chorus.open(), policy, shared=shared)

    async def aclose(self) -> None:
        """Close the engine."""
        await self._chorus.aclose()
