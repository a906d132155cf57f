"""Traces of debates, for OpenTelemetry: a span for the debate, under it one for each round, under these the turns.

    debate   invoke_workflow debate      from convened to decided
      round    round 1                   from its first turn's start to its last one's end
        turn     chat smollm2-135m       from the first attempt of its call to the end of the last

They are made from the debate's events alone; nothing in a debate knows of them. Rounds overlap, as turns do in a
dataflow. A turn that never began has no span, and neither have the voices of an inner chorus, which is one call. The
debate's span is a child of whatever span is current where the debate was begun, and a turn's span is current while
the engine works, so that an instrumented HTTP client, and a server behind it, hang theirs below.

Spans go to the TracerProvider that the program has set; without one they go nowhere. What voices read and say, and the
answers they give, stay out unless `genai.CAPTURE` lets them in.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from chorus.engines.base import Engine
from chorus.errors import MissingExtra
from chorus.record.events import Event
from chorus.telemetry import genai

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

    from chorus.telemetry.spans import DebateSpans

_log = logging.getLogger(__name__)


class Tracing:
    """Makes the traces of debates.

    Args:
        provider: where spans go; the program's global one by default, also when that is set later.

    Raises:
        MissingExtra: opentelemetry-api is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise MissingExtra("telemetry = 'otel'", "telemetry") from error
        version = importlib.metadata.version("greek-chorus")
        self._tracer: Tracer = trace.get_tracer("chorus", version, provider, genai.SCHEMA_URL)
        self._capture = genai.captures_content()

    def debate(self) -> DebateTrace:
        """Return the trace of one debate that is about to begin."""
        from chorus.telemetry.spans import DebateSpans

        return DebateTrace(DebateSpans(self._tracer, capture=self._capture))


class DebateTrace:
    """Observes one debate. A fault in making its spans is logged, ends its trace, and never reaches the debate."""

    def __init__(self, spans: DebateSpans) -> None:
        self._spans: DebateSpans | None = spans

    def engine(self, engine: Engine) -> Engine:
        """Return the engine for this debate: its calls run inside their turns' spans."""
        from chorus.telemetry.traced import Traced

        return engine if self._spans is None else Traced(engine, self._spans)

    def see(self, event: Event) -> None:
        """Take note of an event."""
        if self._spans is not None:
            self._safely(functools.partial(self._spans.see, event))

    def close(self, fault: BaseException | None) -> None:
        """End every span that is still open. `fault` is what ended the debate, if it was not its decision."""
        if self._spans is not None:
            self._safely(functools.partial(self._spans.close, fault))

    def _safely(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - whatever it is, the debate must not end of it
            _log.exception("the trace of a debate ends here")
            self._spans = None
