"""An engine that is opened again after it died: for whoever lives longer than an engine does, as a worker.

A call that it died under, or that is made before it was open, finds an engine that can't be reached, which debates wait
out like any restart. The next call opens it again, and others wait with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request
from chorus.engines.calls import in_its_own_task
from chorus.engines.registry import open_engine
from chorus.errors import EngineDied, EngineUnreachable
from chorus.types import Message


class Reopened:
    """The engine. `open` is to be called before anything else.

    Args:
        spec: of the engine.
        options: its own.
    """

    def __init__(self, spec: str, options: Mapping[str, Any]) -> None:
        self._spec = spec
        self._options = options
        self._info: EngineInfo | None = None
        self._opening = asyncio.Lock()
        self._engine: Engine | None = None
        self._dead: Engine | None = None
        """The one before, as long as it isn't closed."""

    @property
    def is_open(self) -> bool:
        """Whether calls are made without waiting for it."""
        return self._engine is not None

    @property
    def info(self) -> EngineInfo:
        """What it is, or was when it was last open."""
        self._info = self._engine.info if self._engine else self._info
        assert self._info, "it was never open"
        return self._info

    async def open(self) -> EngineInfo:
        """Return what the engine is, once it is open.

        Raises:
            ChorusError: as `open_engine`, the first time. EngineUnreachable: it can't be opened again, whatever keeps it.
        """
        await self._opened()
        return self.info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError; EngineUnreachable where the engine died, or can't be opened again."""
        engine = await self._opened()
        try:
            completion = await in_its_own_task(engine.generate(request, emit))
        except EngineDied as error:
            if self._engine is engine:
                self._engine, self._dead = None, engine
            raise EngineUnreachable(str(error)) from error
        if completion is None:
            raise EngineUnreachable("the engine was closed under the call")
        return completion

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt. Raises EngineUnreachable."""
        return await (await self._opened()).count(messages)

    async def aclose(self) -> None:
        """Close it."""
        async with self._opening:
            await self._bury()
            engine, self._engine = self._engine, None
            if engine:
                await engine.aclose()

    async def _opened(self) -> Engine:
        if self._engine:
            return self._engine
        async with self._opening:
            if self._engine is None:
                try:
                    await self._bury()
                    self._engine = await open_engine(self._spec, **self._options)
                except Exception as error:
                    if self._info is None or isinstance(error, EngineUnreachable):
                        raise
                    failure = f"the engine can't be opened again: {type(error).__name__}: {error}"
                    raise EngineUnreachable(failure) from error
            self._info = self._engine.info
            return self._engine

    async def _bury(self) -> None:
        """Close an engine that died, for the next one wants its memory."""
        dead, self._dead = self._dead, None
        if dead:
            await dead.aclose()
