"""An engine for one debate, whose calls run inside the spans of the turns that they belong to."""

from __future__ import annotations

import asyncio

from opentelemetry.trace import Span, use_span

from chorus.engines.base import Completion, Emit, Engine, Request
from chorus.telemetry import genai
from chorus.telemetry.passage import Passage
from chorus.telemetry.spans import DebateSpans


class Traced(Passage):
    """Makes a turn's span the current one while the engine works on it, and tells the span what only the call knows."""

    def __init__(self, engine: Engine, spans: DebateSpans) -> None:
        super().__init__(engine)
        self._spans = spans

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        span = self._spans.call(request)
        if span is None:
            return await self._engine.generate(request, emit)
        hear = _timed(emit, span) if span.is_recording() else emit
        # What becomes of the turn is the speaker's to say: it may call again.
        with use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            try:
                return await self._engine.generate(request, hear)
            except Exception as error:
                self._spans.call_failed(request, error)
                raise


def _timed(emit: Emit, span: Span) -> Emit:
    """Return an `emit` that tells the span how long its first piece took."""
    clock = asyncio.get_running_loop().time
    started, silent = clock(), True

    def hear(piece: str) -> None:
        nonlocal silent
        if silent:
            silent = False
            span.set_attribute(genai.FIRST_CHUNK, clock() - started)
        emit(piece)

    return hear
