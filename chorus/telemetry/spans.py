"""The spans of one debate, made from its events in the order in which they come.

Invariants: every span that was started is ended once; a turn's span stands under its round's, and this under the
debate's; a round's span ends when the last of its turns did, though that is known only at the debate's end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from chorus.engines.base import Request
from chorus.errors import DebateFailed
from chorus.record import events
from chorus.record.events import Event
from chorus.telemetry import attributes, genai
from chorus.telemetry.naming import IN_PROCESS, EngineName, engine_name

RETRY = "chorus.retry"
"""The span event of a failed attempt after which another is to follow."""


class _Round:
    """A round's span, how many turns began in it, and when the last of those that have ended did (ns)."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.turns = 0
        self.last_end: int | None = None


class DebateSpans:
    """The open spans of one debate. `capture` lets the text of prompts and answers in."""

    def __init__(self, tracer: trace.Tracer, *, capture: bool) -> None:
        self._tracer = tracer
        self._capture = capture
        self._debate: Span | None = None
        self._rounds: dict[int, _Round] = {}
        self._turns: dict[str, Span] = {}
        self._errors: dict[str, str] = {}
        """Of turns whose last call failed, the class of the error."""
        self._id = ""
        self._engine = EngineName("", "")
        # Most events are words, or how the vote stands: these cost one look.
        self._seers: dict[type[Event], Callable[[Any], None]] = {
            events.Convened: self._convened,
            events.TurnStarted: self._turn_started,
            events.TurnRetried: self._turn_retried,
            events.TurnFinished: self._turn_ended,
            events.TurnFailed: self._turn_ended,
            events.TurnCancelled: self._turn_ended,
            events.Decided: self._decided,
        }

    def see(self, event: Event) -> None:
        """Start, fill or end the span that the event is about."""
        if seer := self._seers.get(type(event)):
            seer(event)

    def close(self, fault: BaseException | None) -> None:
        """End what is still open: all spans of a debate that was left before it was decided, or that broke."""
        broken = bool(self._turns)
        for name, turn in self._turns.items():
            if isinstance(fault, Exception):
                _fail(turn, self._errors.get(name, genai.OTHER_ERROR), str(fault))
            turn.end()
        self._turns.clear()
        for one in self._rounds.values():
            one.span.set_attribute(attributes.TURNS, one.turns)
            one.span.end(None if broken else one.last_end)
        self._rounds.clear()
        if self._debate is not None:
            debate, self._debate = self._debate, None
            debate.set_attribute(attributes.STATUS, "abandoned")
            if isinstance(fault, Exception):
                _fail(debate, type(fault).__name__, str(fault))
            debate.end()

    def call(self, request: Request) -> Span | None:
        """Return the span of the turn that a call belongs to, once it says what is asked for; None for other calls."""
        span = self._turns.get(request.id)
        if span is not None and span.is_recording():
            span.set_attributes(attributes.of_request(request, capture=self._capture))
        return span

    def call_failed(self, request: Request, error: Exception) -> None:
        """Remember what kind of error a call ended in: the event of the turn's failure only has its words."""
        self._errors[request.id] = type(error).__name__

    def _convened(self, event: events.Convened) -> None:
        self._id, self._engine = event.debate, engine_name(event.plan.engine)
        self._debate = self._tracer.start_span(
            f"{genai.INVOKE_WORKFLOW} {event.plan.mode}",
            attributes=attributes.of_plan(event, self._engine, capture=self._capture),
        )

    def _turn_started(self, event: events.TurnStarted) -> None:
        self._turns[event.turn] = self._start(event, event.round)

    def _turn_retried(self, event: events.TurnRetried) -> None:
        if span := self._turns.get(event.turn):
            span.add_event(RETRY, {"chorus.attempt": event.attempt, "chorus.reason": event.reason})

    def _turn_ended(self, event: events.TurnFinished | events.TurnFailed | events.TurnCancelled) -> None:
        turn, failed = event.turn, isinstance(event, events.TurnFailed)
        span = self._turns.pop(turn.id, None)
        if span is None:
            if not failed:
                return
            # It failed before its call, for instance because nothing of it fits the context window.
            span = self._start(event, turn.round)
        span.set_attributes(attributes.of_end(turn, capture=self._capture))
        if failed:
            _fail(span, self._errors.pop(turn.id, genai.OTHER_ERROR), turn.reason or "")
        ended = time.time_ns()
        span.end(ended)
        self._rounds[turn.round].last_end = ended

    def _decided(self, event: events.Decided) -> None:
        if self._debate is None:
            return
        debate, self._debate = self._debate, None
        debate.set_attributes(attributes.of_answer(event.answer, capture=self._capture))
        if event.answer.status == "failed":
            _fail(debate, DebateFailed.__name__, event.answer.reason or "")
        self.close(None)
        debate.end()

    def _start(
        self, event: events.TurnStarted | events.TurnFinished | events.TurnFailed | events.TurnCancelled, number: int
    ) -> Span:
        """Start a turn's span, under that of its round."""
        name = self._engine
        round_ = self._round(number)
        round_.turns += 1
        return self._tracer.start_span(
            f"{genai.CHAT} {name.model}",
            context=trace.set_span_in_context(round_.span),
            kind=SpanKind.INTERNAL if name.provider in IN_PROCESS else SpanKind.CLIENT,
            attributes=attributes.of_start(event, self._id, name),
        )

    def _round(self, number: int) -> _Round:
        if number not in self._rounds:
            span = self._tracer.start_span(
                f"round {number}",
                context=trace.set_span_in_context(self._debate) if self._debate else None,
                attributes={attributes.ROUND: number, genai.CONVERSATION: self._id},
            )
            self._rounds[number] = _Round(span)
        return self._rounds[number]


def _fail(span: Span, kind: str, words: str) -> None:
    span.set_attribute(genai.ERROR, kind)
    span.set_status(StatusCode.ERROR, words)
