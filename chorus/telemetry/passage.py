"""An engine around an engine. It keeps every promise of the one inside, and shows its attributes as its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request
from chorus.types import Message


class Passage:
    """Hands every call on as it is. Subclasses watch `generate`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        # Only what isn't found here is asked for: `calls`, `load` and whatever else the engine inside has.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._engine, name)

    @property
    def info(self) -> EngineInfo:
        """What the engine inside is."""
        return self._engine.info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        return await self._engine.generate(request, emit)

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt."""
        return await self._engine.count(messages)

    async def aclose(self) -> None:
        """Close the engine inside."""
        await self._engine.aclose()
