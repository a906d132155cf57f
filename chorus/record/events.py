"""The one stream that a debate gives off.

The terminal, the record, the server and the page all read these events; nothing else leaves the scheduler. Every event
carries `at`, seconds since the debate began on the event loop's clock.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chorus.types import Answer, Decision, Frozen, Plan, Question, Turn, TurnKind


class Convened(Frozen):
    """The plan stands: who sits where, who hears whom."""

    event: Literal["convened"] = "convened"
    at: float = 0.0
    debate: str
    question: Question
    plan: Plan
    personas: dict[str, str]
    seed: int


class TurnStarted(Frozen):
    """A seat begins to speak."""

    event: Literal["turn_started"] = "turn_started"
    at: float
    turn: str
    round: int
    seat: str
    persona: str
    kind: TurnKind
    heard: tuple[str, ...]


class TurnDelta(Frozen):
    """The next words of a turn."""

    event: Literal["turn_delta"] = "turn_delta"
    at: float
    turn: str
    text: str


class TurnRetried(Frozen):
    """The engine failed a call that will be made again. Words of the turn so far are void."""

    event: Literal["turn_retried"] = "turn_retried"
    at: float
    turn: str
    attempt: int
    reason: str


class TurnFinished(Frozen):
    """A seat has spoken."""

    event: Literal["turn_finished"] = "turn_finished"
    at: float
    turn: Turn


class TurnFailed(Frozen):
    """A turn came to nothing; `turn.reason` says why. The debate goes on while a quorum stands."""

    event: Literal["turn_failed"] = "turn_failed"
    at: float
    turn: Turn


class TurnCancelled(Frozen):
    """A turn was stopped, or never started: its words could not matter any more, or the debate was cut."""

    event: Literal["turn_cancelled"] = "turn_cancelled"
    at: float
    turn: Turn


class SupportMoved(Frozen):
    """The decision as it would be now, over the newest position of every seat."""

    event: Literal["support_moved"] = "support_moved"
    at: float
    decision: Decision


class Noted(Frozen):
    """Something a reader of the record should know: a transcript shortened, a budget spent."""

    event: Literal["noted"] = "noted"
    at: float
    note: str


class Decided(Frozen):
    """The end: the answer, with the whole record in it."""

    event: Literal["decided"] = "decided"
    at: float
    answer: Answer


Event = Annotated[
    Convened
    | TurnStarted
    | TurnDelta
    | TurnRetried
    | TurnFinished
    | TurnFailed
    | TurnCancelled
    | SupportMoved
    | Noted
    | Decided,
    Field(discriminator="event"),
]
