"""Who speaks: the cast of one question.

It comes from one of three places: it is named (`fixed`), it is matched to the question by expertise (`expertise`), or the
model writes it on the spot (`written`, after Solo Performance Prompting, arXiv:2307.05300). Whatever the model writes is
validated like any card; if it is no use the cast falls back to a match by expertise, and says so. Of a small model
expertise says little: few methods do it good, whatever the question, so it is given those that did best by measurement.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chorus.config import Settings
from chorus.debate import topology
from chorus.debate.prompts import plain
from chorus.engines.base import Engine, Request, Sampling
from chorus.errors import ConfigError, EngineError
from chorus.types import AnswerKind, Message, Question, Usage
from personas import Library, Persona
from personas.cast import diverse
from personas.library import BASELINE

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

BEST_SMALL = (
    "plain", "estimator", "backtracker", "tester", "analogist", "skeptic", "contrarian", "decomposer", "formalist"
)  # fmt: skip
"""Who speaks for a model under a billion weights, in order: a plain voice, then the methods by how often each was right
on dev (`evals/results/dev/report.md`, "methods, greedy"). Three methods of matching expertise did worse than one plain
voice (`evals/results/matched/report.md`)."""

MEASURED = ("number", "list", "short")
"""The kinds of answer that were asked for there. Of others nothing is known, but that these voices rarely say yes or no."""

_LENGTHS = (("name", 80), ("cue", 120))
"""What a written persona says of itself, and how many characters of it are kept."""

WRITE_CAST = """\
Question: {question}

Name {wanted} would help to answer it. Reply with a JSON list only, like
[{{"name": "Ann, a surveyor", "cue": "Measure first, then compute.", "method": ["first step", "second step"]}}]"""


async def cast_for(
    question: Question,
    kind: AnswerKind,
    settings: Settings,
    engine: Engine,
    library: Library,
    personas: Sequence[Persona] | None,
    *,
    small: bool,
) -> tuple[list[Persona], str, Usage]:
    """Return the cast, which way it was chosen, and what that cost.

    For a `small` model and a question of a kind that was measured, `auto` takes the first of `BEST_SMALL`.

    Raises:
        ConfigError, TopologyError, PersonaError: something was asked for that isn't there or doesn't fit.
    """
    voices = 1 if settings.mode == "solo" else settings.voices
    if personas is not None:
        if not personas:
            raise ConfigError("the cast is empty: name at least one persona")
        return list(personas), "fixed", Usage()
    if settings.personas == "written":
        return await _written(question, kind, voices, engine, library)
    if settings.personas != "auto":
        return list(library.select(settings.personas)), "fixed", Usage()
    if settings.topology and topology.is_file(settings.topology):
        seats = topology.seats_in(Path(settings.topology))
        cast = [library.get(persona or persona_of(seat)) for seat, persona in seats]
        return cast, "fixed by the topology file", Usage()
    if small and kind in MEASURED and voices <= len(BEST_SMALL):
        return [library.get(name) for name in BEST_SMALL[:voices]], "what did best with small models", Usage()
    return _matched(question, kind, voices, library), "expertise", Usage()


def persona_of(seat: str) -> str:
    """Return the persona that a seat of a topology file means when the file names none: `skeptic-2` is a skeptic."""
    return re.sub(r"-\d+$", "", seat)


def first_seats(seated: Mapping[str, Persona], voices: int) -> tuple[str, ...]:
    """Return the seats that speak first at a gate: of those whose methods differ most, each persona's first seat.

    Args:
        seated: who holds each seat, in the plan's order.
        voices: how many are wanted; a cast with fewer different personas gives fewer.
    """
    chosen = {persona.id for persona in diverse(tuple(seated.values()), voices)}
    first: dict[str, str] = {}
    for seat, persona in seated.items():
        if persona.id in chosen:
            first.setdefault(persona.id, seat)
    return tuple(first.values())


def _matched(question: Question, kind: AnswerKind, wanted: int, library: Library) -> list[Persona]:
    """Pick the voices whose expertise the question touches, and whose methods differ."""
    pool = library.packs[PACK_OF_KIND.get(kind, "reasoning")]
    words = Counter(_words(f"{question.text} {TAGS_OF_KIND.get(kind, '')}"))
    touched = {persona.id: sum(words[word] for tag in persona.expertise for word in _words(tag)) for persona in pool}
    most = max(touched.values()) or 1
    scores = {name: count / most for name, count in touched.items()}
    if wanted > len(pool):
        # More seats than the pack has methods: the other packs lend theirs.
        methods = (persona for pack, members in library.packs.items() if pack != BASELINE for persona in members)
        pool = pool + tuple(persona for persona in methods if persona not in pool)
    if wanted > len(pool):
        raise ConfigError(f"{wanted} voices are more than the {len(pool)} personas there are; name them to repeat some")
    return list(diverse(pool, wanted, scores))


async def _written(
    question: Question, kind: AnswerKind, voices: int, engine: Engine, library: Library
) -> tuple[list[Persona], str, Usage]:
    """Have the model write the cast, or fall back."""
    wanted = f"{voices} different experts whose ways" if voices > 1 else "an expert whose way"
    text = WRITE_CAST.format(question=plain(question.text).strip(), wanted=f"{wanted} of thinking")
    request = Request((Message(role="user", content=text),), Sampling(max_tokens=100 * voices), id="0.cast")
    spent = Usage(calls=1)
    try:
        completion = await engine.generate(request, lambda _: None)
        spent = completion.usage
        return _read_cast(completion.text, voices), "written", spent
    except (EngineError, ValueError) as error:
        how = f"expertise, since no cast could be written: {error}"
        return _matched(question, kind, voices, library), how, spent


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


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]{3,}", text.casefold())
