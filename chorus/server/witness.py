"""An engine that remembers how its calls failed: a debate turns failures into silence, a client wants to know the cause."""

from __future__ import annotations

from collections.abc import Sequence

from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request
from chorus.errors import EngineError
from chorus.types import Message


class Witness:
    """Passes calls on to an engine, and keeps the newest failure of one debate."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.failure: EngineError | None = None
        """How the last call that failed did."""

    @property
    def info(self) -> EngineInfo:
        """The engine's."""
        return self._engine.info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        try:
            return await self._engine.generate(request, emit)
        except EngineError as error:
            self.failure = error
            raise

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take."""
        return await self._engine.count(messages)

    async def aclose(self) -> None:
        """Nothing: the engine is shared."""
