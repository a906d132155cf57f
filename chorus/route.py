"""A question becomes a plan: who speaks, along which edges, how often, and how it is decided.

A checkpoint that a chorus was baked into has its own: asked for one voice, or for its inner voices, it is asked by the
prompt that it was trained on (`baked`). Else the cast comes from one of three places: it is named (`fixed`), it is
matched to the question by expertise (`expertise`), or the model writes it on the spot (`written`, after Solo Performance
Prompting, arXiv:2307.05300). Whatever the model writes is validated like any card; if it is no use the cast falls back to
a match by expertise, and the plan says so.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chorus.checkpoints.baked import Baked, Style
from chorus.config import Settings
from chorus.debate import decide, grade, topology
from chorus.debate.calibration import Calibration
from chorus.debate.prompts import plain
from chorus.engines.base import Engine, Request, Sampling
from chorus.errors import ConfigError, EngineError, QuestionError
from chorus.types import AnswerKind, GatePlan, Message, Mode, Plan, Question, SeatPlan, Usage, well_formed
from personas import Library, Persona, SamplingOffset
from personas.cast import diverse
from personas.library import BASELINE, PLAIN

OPENNESS = 0.4
"""How readily voices yield unless told otherwise. Small models are told nothing, to keep their prompts short."""

SMALL_MODEL = 1_000_000_000
"""Models with fewer weights follow one short line better than a page of instructions."""

ROUNDS = 2
"""Of a debate or an inner chorus unless told otherwise. Where a small model debates a question whose answers can be
compared, and nobody said who hears whom or how it is decided, there is one: its voices talked each other out of right
answers more often than into them, 105 against 68 on the test split (evals/results/matched)."""

PACK_OF_KIND: Mapping[str, str] = {"text": "judgement"}
"""The pack that a cast is matched from, by the kind of answer; `reasoning` for all others."""

TAGS_OF_KIND: Mapping[str, str] = {
    "number": "math arithmetic calculation estimation",
    "expression": "math algebra formal",
    "choice": "logic knowledge",
    "yesno": "logic",
    "code": "code programming debugging testing",
    "list": "planning",
}
"""Words that a question of this kind is about, whether it says so or not."""

STYLES: Mapping[Mode, Style] = {"solo": "answer", "inner": "chorus"}
"""The style in which a baked checkpoint is asked, by mode. In the others it is asked as any model is."""

_LENGTHS = (("name", 80), ("cue", 120))
"""What a written persona says of itself, and how many characters of it are kept."""

WRITE_CAST = """\
Question: {question}

Name {voices} different experts whose ways of thinking would help to answer it. Reply with a JSON list only, like
[{{"name": "Ann, a surveyor", "cue": "Measure first, then compute.", "method": ["first step", "second step"]}}]"""


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
        cast, how, spent = await _cast(question, kind, settings, engine, library, personas)
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
        gate=_gate(settings, calibration, cast, seats) if settings.gate else None,
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


async def _cast(
    question: Question,
    kind: AnswerKind,
    settings: Settings,
    engine: Engine,
    library: Library,
    personas: Sequence[Persona] | None,
) -> tuple[list[Persona], str, Usage]:
    """Return the cast, which way it was chosen, and what that cost."""
    if personas is not None:
        if not personas:
            raise ConfigError("the cast is empty: name at least one persona")
        return list(personas), "fixed", Usage()
    if settings.personas == "written":
        return await _written(question, kind, settings, engine, library)
    if settings.personas != "auto":
        return list(library.select(settings.personas)), "fixed", Usage()
    if settings.topology and topology.is_file(settings.topology):
        seats = topology.seats_in(Path(settings.topology))
        cast = [library.get(persona or _persona_of(seat)) for seat, persona in seats]
        return cast, "fixed by the topology file", Usage()
    return _matched(question, kind, settings, library), "expertise", Usage()


def _as_trained(settings: Settings, engine: Engine, personas: Sequence[Persona] | None) -> Baked | None:
    """Return how a baked checkpoint wants to be asked, where nothing was asked for that it wasn't trained on.

    Whoever names a cast has it told to the model, as any model is told.
    """
    free = personas is None and settings.personas == "auto" and settings.positions == "text"
    return engine.info.baked if free and settings.mode in STYLES else None


def _baked_in(baked: Baked, settings: Settings, library: Library) -> list[Persona]:
    """Return who speaks when a baked checkpoint is asked as it was trained: its inner voices, or itself."""
    return list(baked.cast) if settings.mode == "inner" else [library.get(PLAIN)]


def _gate(
    settings: Settings, calibration: Calibration | None, cast: Sequence[Persona], seats: Sequence[SeatPlan]
) -> GatePlan:
    """Choose the voices that speak first: those whose methods differ most. Raises ConfigError."""
    if settings.mode not in ("debate", "vote"):
        raise ConfigError(f"the mode {settings.mode!r} has no gate: it has one call. Leave the gate out")
    fitted = calibration.gate if calibration else None
    if fitted is None:
        where = f"{settings.calibration} has no section 'gate'" if calibration else "no calibration file is set"
        raise ConfigError(f"the gate needs a threshold fitted on labelled questions, and {where}: --calibration FILE")
    chosen = {persona.id for persona in diverse(cast, fitted.voices)}
    if len(chosen) < fitted.voices:
        raise ConfigError(f"the gate needs {fitted.voices} different voices, and the cast has {len(chosen)}")
    first = {seat.persona: seat.seat for seat in reversed(seats) if seat.persona in chosen}
    return GatePlan(seats=tuple(seat.seat for seat in seats if seat.seat in first.values()), threshold=fitted.threshold)


def _matched(question: Question, kind: AnswerKind, settings: Settings, library: Library) -> list[Persona]:
    """Pick the voices whose expertise the question touches, and whose methods differ."""
    pool = library.packs[PACK_OF_KIND.get(kind, "reasoning")]
    words = Counter(_words(f"{question.text} {TAGS_OF_KIND.get(kind, '')}"))
    touched = {persona.id: sum(words[word] for tag in persona.expertise for word in _words(tag)) for persona in pool}
    most = max(touched.values()) or 1
    scores = {name: count / most for name, count in touched.items()}
    wanted = 1 if settings.mode == "solo" else settings.voices
    if wanted > len(pool):
        # More seats than the pack has methods: the other packs lend theirs.
        methods = (persona for pack, members in library.packs.items() if pack != BASELINE for persona in members)
        pool = pool + tuple(persona for persona in methods if persona not in pool)
    if wanted > len(pool):
        raise ConfigError(f"{wanted} voices are more than the {len(pool)} personas there are; name them to repeat some")
    return list(diverse(pool, wanted, scores))


async def _written(
    question: Question, kind: AnswerKind, settings: Settings, engine: Engine, library: Library
) -> tuple[list[Persona], str, Usage]:
    """Have the model write the cast, or fall back."""
    text = WRITE_CAST.format(question=plain(question.text).strip(), voices=settings.voices)
    request = Request((Message(role="user", content=text),), Sampling(max_tokens=100 * settings.voices), id="0.cast")
    spent = Usage(calls=1)
    try:
        completion = await engine.generate(request, lambda _: None)
        spent = completion.usage
        return _read_cast(completion.text, settings.voices), "written", spent
    except (EngineError, ValueError) as error:
        how = f"expertise, since no cast could be written: {error}"
        return _matched(question, kind, settings, library), how, spent


def _read_cast(text: str, voices: int) -> list[Persona]:
    """Return the personas in what the model wrote. Raises ValueError with the reason when it is no use."""
    match = re.search(r"\[.*\]", text, re.S)
    if not match:
        raise ValueError("the model wrote no JSON list")
    try:
        entries = json.loads(match.group())
    except (ValueError, RecursionError):
        raise ValueError("the model's JSON can't be read") from None
    cast: dict[str, Persona] = {}
    for number, entry in enumerate(entries[:voices], 1):
        persona = _persona(entry, number)
        cast.setdefault(persona.id, persona)
    if len(cast) < min(2, voices):
        raise ValueError(f"the model wrote {len(cast)} usable personas")
    return list(cast.values())


def _persona(entry: Any, number: int) -> Persona:
    if not isinstance(entry, dict):
        raise ValueError("the model's list holds something else than personas")
    name, cue = (said[:most] if isinstance(said := entry.get(key), str) else "" for key, most in _LENGTHS)
    steps = entry.get("method")
    method = (
        [step[:300] for step in steps if isinstance(step, str) and step.strip()][:8] if isinstance(steps, list) else []
    )
    try:
        return Persona.model_validate(
            {
                "id": _slug(name) or f"voice-{number}",
                "name": name,
                "summary": cue or name,
                "method": method if len(method) > 1 else [*method, "State what follows for the question."],
                "cue": cue,
                "voice": "Plain and brief.",
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"a persona it wrote has a faulty {first['loc'][0]}: {first['msg']}") from None


def _slug(name: str) -> str:
    """Return a persona's id made from its name; empty when the name has no Latin letter to begin with."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).lstrip("-0123456789")[:40].strip("-")


def _seat_names(spec: str, cast: Sequence[Persona]) -> list[str]:
    """Name the seats after their personas; a topology file with a seat for everyone names them itself."""
    if topology.is_file(spec):
        named = topology.seats_in(Path(spec))
        if [persona.id for persona in cast] == [persona or _persona_of(seat) for seat, persona in named]:
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
    needs = decide.rule(rule).needs
    if settings.mode == "inner" and needs == "ballot":
        raise ConfigError(f"an inner chorus casts no ballots, so {rule} can't decide it")
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


def _persona_of(seat: str) -> str:
    """Return the persona that a seat of a topology file means when the file names none: `skeptic-2` is a skeptic."""
    return re.sub(r"-\d+$", "", seat)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]{3,}", text.casefold())
