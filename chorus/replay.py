"""A recorded debate seen again, and decided again, without the engine that held it.

The turns stay what they were; only the decision is made anew. Rules that need one more turn (ballots, a ruling, a
synthesis) that the record lacks ask an engine for that turn alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing

from chorus.debate import decide
from chorus.debate.scheduler import Debate
from chorus.engines.base import Engine
from chorus.errors import ConfigError, RecordError
from chorus.record import events
from chorus.record.events import Event
from chorus.types import Answer, Plan
from personas import Library


def replayed(answer: Answer) -> Iterator[Event]:
    """Yield a record's events as they would have come had every turn been instant."""
    yield events.Convened(
        debate=answer.id, question=answer.question, plan=answer.plan, personas=answer.personas, seed=answer.seed
    )
    for turn in answer.turns:
        match turn.status:
            case "done":
                yield events.TurnFinished(at=0.0, turn=turn)
            case "failed":
                yield events.TurnFailed(at=0.0, turn=turn)
            case "cancelled":
                yield events.TurnCancelled(at=0.0, turn=turn)
    yield events.Decided(at=answer.usage.wall_s, answer=answer)


async def redecide(answer: Answer, rule: str, engine: Engine | None = None, library: Library | None = None) -> Answer:
    """Return the record with its outcome decided by another rule.

    Args:
        answer: the record.
        rule: the decision rule's name.
        engine: asked for ballots, a ruling or a synthesis that the record lacks.
        library: where the cards are looked up that an engine's prompt needs.

    Raises:
        ConfigError: the rule needs an engine and none was given, or there is no such rule.
        RecordError: the record was cut short, so that another rule might have heard more.
        PersonaError: a card that is needed is gone or has changed.
    """
    needs = decide.rule(rule).needs
    stopped = [turn.id for turn in answer.turns if turn.kind == "speech" and turn.status == "cancelled"]
    if rule != answer.decision.rule and (answer.status == "cut" or stopped):
        why = answer.reason or f"{', '.join(stopped)} never spoke"
        raise RecordError(f"{answer.id} was cut short ({why}): it can't be decided by another rule than its own")
    plan = answer.plan.model_copy(update={"decision": rule})
    if needs is None or any(turn.kind == needs and turn.status == "done" for turn in answer.turns):
        seats = [seat.seat for seat in plan.seats]
        decision = decide.decide(rule, answer.question, plan.kind, answer.turns, seats)
        return answer.model_copy(
            update={
                "plan": plan,
                "decision": decision,
                "answer": decision.answer,
                "confidence": decision.confidence,
                "dissent": decision.dissent,
            }
        )
    if engine is None:
        raise ConfigError(f"{rule} needs a {needs} that the record lacks: name an engine to ask for it (--engine SPEC)")
    return await _ask_again(answer, plan, engine, library or Library.builtin())


async def _ask_again(answer: Answer, plan: Plan, engine: Engine, library: Library) -> Answer:
    cast = {}
    for name, sha256 in answer.personas.items():
        cast[name] = library.get(name)
        if cast[name].sha256 != sha256:
            raise RecordError(f"the card {name} has changed since {answer.id} was held: its voice can't be asked again")
    debate = Debate(
        plan, answer.question, cast, engine, seed=answer.seed, versions=answer.versions, spoken=answer.turns
    )
    ended = None
    async with aclosing(debate.run()) as stream:
        async for event in stream:
            if isinstance(event, events.Decided):
                ended = event.answer
    assert ended is not None
    return ended.model_copy(update={"id": answer.id, "notes": (*answer.notes, *ended.notes)})
