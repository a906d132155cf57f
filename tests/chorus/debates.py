"""Debates for tests: a scripted engine, a plan, and everything that came of them, held in no time at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from chorus.debate import topology
from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines.base import Engine
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.engines.virtual_time import VirtualTimeLoop
from chorus.record import events
from chorus.record.events import Event
from chorus.types import Answer, Plan, Question, SeatPlan, Turn
from personas import Library, Persona

T = TypeVar("T")

SUM = Question(text="What is 7 * 8?", kind="number")
ESSAY = Question(text="What is justice?", kind="text")
LIBRARY = Library.builtin()
SEATS = ("skeptic", "estimator", "formalist")


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a clock that jumps."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def engine(turns: Mapping[str, Any] | None = None, *, default: Any = "Answer: 56", **settings: Any) -> ScriptedEngine:
    """An engine that says what stands under the first glob that matches the turn; replies are texts or fields."""
    rules = [{"turn": glob, **_reply(reply)} for glob, reply in (turns or {}).items()]
    return ScriptedEngine(Script.model_validate({"turns": rules, "default": _reply(default), **settings}))


def _reply(reply: Any) -> Any:
    return {"text": reply} if isinstance(reply, str) else reply


def after(seconds: float, text: str = "Answer: 56", **more: Any) -> dict[str, Any]:
    """A reply that takes its time."""
    return {"text": text, "latency": {"first": seconds}, **more}


def fails(message: str = "the server is down", *, times: int | None = None, **more: Any) -> dict[str, Any]:
    """A fault; with `times` the reply comes after it."""
    return {"text": "Answer: 56", "fail": {"message": message, "times": times, **more}}


def plan(spec: str = "complete", seats: tuple[str, ...] = SEATS, **changes: Any) -> Plan:
    """A plan whose seats are named after their personas, or `PERSONA-2`; its rule lets every voice speak to its end."""
    values = {
        "mode": "debate",
        "kind": "number",
        "seats": tuple(
            SeatPlan(seat=seat, persona=seat.partition("-")[0], temperature=0.0, top_p=1.0) for seat in seats
        ),
        "topology": spec,
        "edges": topology.edges_of(topology.build(spec, seats)),
        "rounds": 2,
        "decision": "borda",
        "layout": "shared",
        "openness": 0.4,
        "detail": "full",
        "max_tokens": 64,
        "engine": "scripted:memory",
        "routed_by": "fixed",
    }
    return Plan(**{**values, **changes})


def cast(of: Plan) -> dict[str, Persona]:
    """The built-in cards of a plan's personas."""
    return {seat.persona: LIBRARY.get(seat.persona) for seat in of.seats}


def debate(speaker: Engine, of: Plan | None = None, question: Question = SUM, seed: int = 0, **limits: Any) -> Debate:
    """A debate that has not begun."""
    of = of or plan()
    return Debate(of, question, cast(of), speaker, seed=seed, limits=Limits(**limits))


@dataclass
class Held:
    """A debate that was held."""

    events: list[Event]
    answer: Answer

    def turn(self, name: str) -> Turn:
        return next(turn for turn in self.answer.turns if turn.id == name)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def started(self, name: str) -> float:
        return next(event.at for event in self.of(events.TurnStarted) if event.turn == name)

    def ended(self, name: str) -> float:
        return next(event.at for event in self.endings() if event.turn.id == name)

    def endings(self) -> list[events.TurnFinished | events.TurnFailed | events.TurnCancelled]:
        return self.of(events.TurnFinished) + self.of(events.TurnFailed) + self.of(events.TurnCancelled)


def hold(speaker: Engine, *args: Any, **more: Any) -> Held:
    """Hold a debate to its end. Takes what `debate` takes."""
    return in_virtual_time(_hold(debate(speaker, *args, **more)))


async def _hold(one: Debate) -> Held:
    async with aclosing(one.run()) as stream:
        seen = [event async for event in stream]
    last = seen[-1]
    assert isinstance(last, events.Decided)
    return Held(seen, last.answer)


async def until(stream: AsyncIterator[Event], kind: type[T]) -> T:
    """Read on until an event of this kind comes."""
    async for event in stream:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")
