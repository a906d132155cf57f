"""A recorded debate seen again, and decided again, without the engine that held it.

The turns stay what they were; only the decision is made anew. Rules that need one more turn (ballots, checks, a
ruling, a synthesis) that the record lacks ask an engine for that turn alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from chorus.debate import decide
from chorus.debate.scheduler import Debate
from chorus.engines.base import Engine
from chorus.errors import ConfigError, RecordError
from chorus.record import events
from chorus.record.events import Event
from chorus.types import Answer, TurnKind
from personas import Library, Persona


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
        engine: asked for ballots, checks, a ruling or a synthesis that the record lacks.
        library: where the cards are looked up that ballots and checks need.

    Raises:
        ConfigError: the rule needs an engine and none was given, or there is no such rule.
        RecordError: the record was cut short, so that another rule might have heard more; or a card that a ballot
            or a check needs has changed.
        PersonaError: a card that a ballot or a check needs is gone.
    """
    decide.rule(rule)  # whether there is one
    if rule != answer.decision.rule and (why := _cut_short(answer)):
        raise RecordError(
            f"{answer.id} was cut short ({why}): it can't be decided by another rule than its own; "
            "--no-early-stop hears everybody out"
        )
    again = answer.model_copy(update={"plan": answer.plan.model_copy(update={"decision": rule})})
    needs = _lacking(again)
    if rule == answer.decision.rule and answer.decision.calibrated:
        return answer  # what its confidence was worth is not to be had from the record again
    if needs is None or (engine is None and rule == answer.decision.rule):
        undecided = answer.status == "failed" and rule == answer.decision.rule
        return answer if undecided else _decided(again)
    if engine is None:
        raise ConfigError(f"{rule} needs a {needs} that the record lacks: name an engine to ask for it (--engine SPEC)")
    return await _ask_again(again, engine, library or Library.builtin())


def _decided(answer: Answer) -> Answer:
    """Return the record with the outcome that its plan's rule makes of its turns."""
    seats = decide.electorate(answer.plan, answer.turns)
    decision = decide.decide(answer.plan.decision, answer.question, answer.plan.kind, answer.turns, seats)
    outcome = {
        "decision": decision,
        "answer": decision.answer,
        "confidence": decision.confidence,
        "dissent": decision.dissent,
    }
    if decision.answer is None:
        outcome |= {"status": "failed", "reason": answer.reason or "no voice gave an answer"}
    return answer.model_copy(update=outcome)


def _lacking(answer: Answer) -> TurnKind | None:
    """Return the kind of turn that the plan's rule needs and the record lacks; nobody votes where all agree."""
    rule = decide.rule(answer.plan.decision)
    if any(turn.kind == rule.needs and turn.status == "done" for turn in answer.turns):
        return None
    seats = [seat.seat for seat in answer.plan.seats]
    held = decide.decide("plurality", answer.question, answer.plan.kind, answer.turns, seats).support
    return None if rule.asks_every_voice and len(held) < 2 else rule.needs


def _cut_short(answer: Answer) -> str | None:
    """Return why voices that the plan had room for were not heard; `None` when all were."""
    if answer.status == "cut":
        return answer.reason
    stopped = [turn.id for turn in answer.turns if turn.kind == "speech" and turn.status == "cancelled"]
    if stopped:
        return answer.reason or f"{', '.join(stopped)} never spoke"
    if len(decide.electorate(answer.plan, answer.turns)) < len(answer.plan.seats):
        return "the gate answered before the others were asked"
    held = max((turn.round for turn in answer.turns if turn.kind == "speech"), default=0)
    if answer.plan.mode != "inner" and held < answer.plan.rounds:
        return f"it ended after round {held} of {answer.plan.rounds}"
    return None


async def _ask_again(answer: Answer, engine: Engine, library: Library) -> Answer:
    """Have an engine speak the one turn that is missing; of a voice's card, ballots and checks alone have need."""
    rule = decide.rule(answer.plan.decision)
    cast = _cards(answer, library) if rule.asks_every_voice else {}
    debate = Debate(answer.plan, answer.question, cast, engine, seed=answer.seed, spoken=answer.turns)
    ended = await debate.hold()
    known = {turn.id for turn in answer.turns}
    usage = sum((turn.usage for turn in ended.turns if turn.id not in known), answer.usage)
    asked = f"decided again by {rule.name}, which asked {engine.info.spec}"
    return ended.model_copy(
        update={
            "id": answer.id,
            "status": "cut" if (answer.status, ended.status) == ("cut", "done") else ended.status,
            "reason": ended.reason or answer.reason,
            "notes": (*answer.notes, *ended.notes, asked),
            "usage": usage.model_copy(update={"wall_s": round(answer.usage.wall_s + ended.usage.wall_s, 6)}),
            "personas": answer.personas,
            "versions": answer.versions,
        }
    )


def _cards(answer: Answer, library: Library) -> dict[str, Persona]:
    cast = {}
    for name, sha256 in answer.personas.items():
        cast[name] = library.get(name)
        if cast[name].sha256 != sha256:
            raise RecordError(f"the card {name} has changed since {answer.id} was held: its voice can't be asked again")
    return cast
