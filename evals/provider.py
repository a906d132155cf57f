"""Our engines as models of Inspect's: `inspect eval … --model chorus/hf:smollm2-135m`.

Behind `chorus/` stands any engine SPEC; model arguments (`-M dtype=float32`) are the engine's options. The engine is
opened by the first call, in the event loop that makes it, and is open until `aclose` or the process ends. A script's
simulated waiting is real here, as Inspect lives by the machine's clock.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from chorus.engines.base import Engine
from chorus.engines.registry import Opener, open_engine
from evals import translation
from evals.inspect_engine import TURN, InspectEngine

NAME = "chorus"
"""What a model's name begins with."""

QUEUE = 1024
"""Calls at once that Inspect may make: engines line them up themselves, and know better."""


class ChorusAPI(ModelAPI):
    """One engine behind Inspect's model interface."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (Inspect's own signature)
        **options: Any,
    ) -> None:
        """Make the provider; nothing is opened yet.

        Args:
            model_name: an engine SPEC.
            base_url: unused: the SPEC says where a server is.
            api_key: unused.
            config: Inspect's defaults for the model.
            **options: the engine's own.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        self._options = options
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Lock | None = None

    async def open(self, report: Callable[[str], None] | None = None, opener: Opener = open_engine) -> Engine:
        """Return the engine, opened the first time that this event loop asks for it.

        Args:
            report: is told of steps that take long.
            opener: opens it.

        Raises:
            ChorusError: it can't be opened.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # An engine belongs to the loop that opened it, and that one is gone.
            self._loop, self._engine, self._opening = loop, None, asyncio.Lock()
        assert self._opening is not None
        async with self._opening:
            if self._engine is None:
                self._engine = await opener(self.model_name, report=report, **self._options)
            return self._engine

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Complete the messages; a debate's own request goes before what Inspect made of it. Raises EngineError."""
        engine = await self.open()
        request = TURN.get() or translation.request(input, tools, tool_choice, config)
        completion = await engine.generate(request, lambda _: None)
        return translation.output(completion, self.model_name)

    async def aclose(self) -> None:
        """Close the engine."""
        engine, self._engine = self._engine, None
        if engine and self._loop is asyncio.get_running_loop():
            await engine.aclose()

    def max_connections(self) -> int:
        """Return how many calls Inspect may have in flight."""
        return QUEUE


modelapi(NAME)(ChorusAPI)


async def opened(
    model: Model, report: Callable[[str], None] | None = None, opener: Opener = open_engine
) -> InspectEngine:
    """Return what a debate speaks through on a model of Inspect's, ours or another's; our engine is open then.

    Args:
        model: under evaluation.
        report: is told of steps that take long.
        opener: opens it, if it isn't yet.

    Raises:
        ChorusError: the engine can't be opened.
    """
    api = model.api
    engine = await api.open(report, opener) if isinstance(api, ChorusAPI) else None
    return InspectEngine(model, engine, secrets.token_hex(8))
