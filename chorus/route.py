"""A question becomes a plan: who speaks, along which edges, how often, and how it is decided.

A checkpoint that a chorus was baked into has its own cast: asked for one voice, or for its inner voices, it is asked by
the prompt that it was trained on (`baked`). Else `casting` says who speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chorus.casting import cast_for, first_seats, persona_of
from chorus.checkpoints.baked import Baked, Style
from chorus.config import Settings
from chorus.debate import decide, grade, topology
from chorus.debate.calibration import Calibration
from chorus.debate.prompts import plain
from chorus.engines.base import Engine
from chorus.errors import ConfigError, QuestionError
from chorus.types import AnswerKind, GatePlan, Mode, Plan, Question, SeatPlan, Usage, well_formed
from personas import Library, Persona, SamplingOffset
from personas.library import PLAIN

OPENNESS = 0.4
"""How readily voices yield unless told otherwise. Small models are told nothing, to keep their prompts short."""

SMALL_MODEL = 1_000_000_000
"""Models with fewer weights follow one short line better than a page of instructions."""

ROUNDS = 2
"""Of a debate or an inner chorus unless told otherwise. Where a small model debates a question whose answers can be
compared, and nobody said who hears whom or how it is decided, there is one: its voices talked each other out of right
answers more often than into them, 105 against 68 on the test split (evals/results/matched)."""

STYLES: Mapping[Mode, Style] = {"solo": "answer", "inner": "chorus"}
"""The style in which a baked checkpoint is asked, by mode. In the others it is asked as any model is."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A plan, the question as it was understood, and the cards that the plan's seats refer to."""

    plan: Plan
    question: Question
    cast: dict[str, Persona]
    spent: Usage
    """What it took to have the cast written."""


def understood(question: Question) -> Question:
    """Return the question as its record holds it: with the choices that its wording names."""
    choices = grade.infer_choices(question)
    return question if choices == question.choices else question.model_copy(update={"choices": choices})


async def route(
    question: Question,
    settings: Settings,
    engine: Engine,
    library: Library,
    personas: Sequence[Persona] | None = None,
    calibration: Calibration | None = None,
) -> Routed:
    """Return the plan for a question.

    Args:
        question: as asked.
        settings: what was asked for; `None` values are settled here.
        engine: what the debate will run on; only `written` casts call it.
        library: where personas are looked up.
        personas: a cast in hand, which goes before `settings.personas`.
        calibration: what `settings.calibration` names.

    Raises:
        QuestionError: the question is empty.
        ConfigError, TopologyError, PersonaError: something was asked for that isn't there or doesn't fit.
    """
    if not plain(question.text).strip():
        raise QuestionError("the question is empty")
    kind = grade.infer_kind(question)
    question = understood(question)
    small = engine.info.parameters is not None and engine.info.parameters < SMALL_MODEL
    brief = settings.detail == "brief" or (settings.detail is None and small)
    baked = _as_trained(settings, engine, personas)
    if baked:
        cast, how, spent = _baked_in(baked, settings, library), "baked", Usage()
    else:
        cast, how, spent = await cast_for(question, kind, settings, engine, library, personas, small=small)
    if settings.mode == "solo":
        cast = cast[:1]
    spec = _topology(settings, brief)
    names = _seat_names(spec, cast)
    graph = topology.build(spec, names, seed=settings.seed)
    rule = settings.decision or _decision(settings, kind)
    _check(settings, rule)
    seats = tuple(_seat(name, persona, settings, as_card=not baked) for name, persona in zip(names, cast, strict=True))
    plan = Plan(
        mode=settings.mode,
        kind=kind,
        seats=seats,
        topology=well_formed(spec),
        edges=topology.edges_of(graph),
        rounds=_rounds(settings, kind, small, baked),
        decision=rule,
        layout=settings.layout,
        openness=OPENNESS if settings.openness is None and not brief else settings.openness,
        detail="brief" if brief else "full",
        positions=settings.positions,
        trained_prompt=baked.prompts[STYLES[settings.mode]] if baked else None,
        max_tokens=settings.max_tokens or (64 if brief else 512),
        stop_error=settings.stop_error,
        early_stop=settings.early_stop,
        gate=_gate(settings, calibration, dict(zip(names, cast, strict=True))) if settings.gate else None,
        calibration_sha256=calibration.sha256 if calibration else None,
        engine=well_formed(engine.info.spec),
        checkpoint_sha256=engine.info.checkpoint_sha256,
        routed_by=well_formed(how),
    )
    return Routed(plan, question, {persona.id: persona for persona in cast}, spent)


def _rounds(settings: Settings, kind: AnswerKind, small: bool, baked: Baked | None) -> int:
    if settings.mode in ("vote", "solo"):
        return 1
    if settings.rounds:
        return settings.rounds
    if baked:
        return baked.rounds
    untold = settings.mode == "debate" and settings.topology is None and settings.decision is None
    return 1 if small and untold and grade.comparable(kind) else ROUNDS


def _as_trained(settings: Settings, engine: Engine, personas: Sequence[Persona] | None) -> Baked | None:
    """Return how a baked checkpoint wants to be asked, where nothing was asked for that it wasn't trained on.

    Whoever names a cast has it told to the model, as any model is told.
    """
    free = personas is None and settings.personas == "auto" and settings.positions == "text"
    return engine.info.baked if free and settings.mode in STYLES else None


def _baked_in(baked: Baked, settings: Settings, library: Library) -> list[Persona]:
    """Return who speaks when a baked checkpoint is asked as it was trained: its inner voices, or itself."""
    return list(baked.cast) if settings.mode == "inner" else [library.get(PLAIN)]


def _gate(settings: Settings, calibration: Calibration | None, seated: Mapping[str, Persona]) -> GatePlan:
    """Choose the voices that speak first: those whose methods differ most. Raises ConfigError."""
    if settings.mode not in ("debate", "vote"):
        raise ConfigError(f"the mode {settings.mode!r} has no gate: it has one call. Leave the gate out")
    fitted = calibration.gate if calibration else None
    if fitted is None:
        where = f"{settings.calibration} has no section 'gate'" if calibration else "no calibration file is set"
        raise ConfigError(f"the gate needs a threshold fitted on labelled questions, and {where}: --calibration FILE")
    first = first_seats(seated, fitted.voices)
    if len(first) < fitted.voices:
        raise ConfigError(f"the gate needs {fitted.voices} different voices, and the cast has {len(first)}")
    return GatePlan(seats=first, threshold=fitted.threshold)


def _seat_names(spec: str, cast: Sequence[Persona]) -> list[str]:
    """Name the seats after their personas; a topology file with a seat for everyone names them itself."""
    if topology.is_file(spec):
        named = topology.seats_in(Path(spec))
        if [persona.id for persona in cast] == [persona or persona_of(seat) for seat, persona in named]:
            return [seat for seat, _ in named]
    return topology.seat_names([persona.id for persona in cast])


def _topology(settings: Settings, brief: bool) -> str:
    if settings.mode in ("vote", "inner", "solo"):
        if settings.topology not in (None, "none"):
            raise ConfigError(f"mode {settings.mode} has no edges: leave the topology out")
        return "none"
    # Small models copy what is quoted to them, so they are told the answers alone. A choice, not yet a measured one.
    return settings.topology or ("complete:visibility=answer" if brief else "complete")


def _decision(settings: Settings, kind: AnswerKind) -> str:
    if settings.mode == "inner":
        return "judge"
    if grade.comparable(kind):
        return "weighted"
    return "plurality" if settings.mode == "solo" else "synthesis"


def _check(settings: Settings, rule: str) -> None:
    chosen = decide.rule(rule)
    if settings.mode == "inner" and chosen.asks_every_voice:
        lacks = "casts no ballots" if chosen.needs == "ballot" else "checks no answers"
        raise ConfigError(f"an inner chorus {lacks}, so {rule} can't decide it")
    if settings.mode == "inner" and settings.positions == "json":
        raise ConfigError("an inner chorus is one text of many voices: leave --positions json out")
    if settings.mode in ("vote", "solo") and settings.rounds not in (None, 1):
        raise ConfigError(f"mode {settings.mode} has one round: leave --rounds out")


def _seat(name: str, persona: Persona, settings: Settings, *, as_card: bool) -> SeatPlan:
    """Return a persona's seat; what its card adds to the sampling counts where the model reads the card."""
    offset = persona.sampling if as_card else SamplingOffset()
    return SeatPlan(
        seat=name,
        persona=persona.id,
        temperature=min(2.0, max(0.0, settings.temperature + offset.temperature)),
        top_p=min(1.0, max(0.05, settings.top_p + offset.top_p)),
    )
