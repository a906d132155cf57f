"""The interview: every problem in every arm, put to a system as a question, and to its voices as two options.

A system states its belief as the mean over the seats of the probability that each ends with (a linear pool); one whose
voices all fail states none. The options are read voice by voice, apart from the debate: the engine is asked which of the
hypothesis and its rival holds, in both orders, and the mean of the two probabilities stands.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from chorus import Chorus
from chorus.engines.base import Engine
from chorus.types import Answer, Message, Question
from evals.asking import Asked, choose, listed
from evals.beliefs.problems import ARMS, Arm, Problem
from evals.beliefs.scores import Belief
from evals.beliefs.stated import Fault, probability
from evals.logbook import Logbook
from personas import Library, Persona

SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "single": {"mode": "solo", "personas": "plain"},
    "self-consistency": {
        "mode": "vote",
        "personas": "plain*5",
        "temperature": 0.8,
        "decision": "plurality",
        "early_stop": False,
    },
    "chorus": {
        "mode": "debate",
        "personas": "estimator,skeptic,formalist,tester,decomposer",
        "rounds": 2,
        "decision": "plurality",
    },
}
"""Ways of answering: settings by name."""

CHARTER = "You answer questions. Be short and exact. {cue}"
WHOLE = "all"
"""The voice that a system's own belief stands under."""


def question(problem: Problem, arm: Arm) -> Question:
    """Return what a system is asked."""
    text = f"{problem.ask(arm)}\nHow probable is it that {problem.hypothesis}? Give a probability in percent."
    return Question(id=f"{problem.id}/{arm}", text=text, kind="number")


async def state(
    engine: Engine,
    system: str,
    settings: Mapping[str, Any],
    problems: Sequence[Problem],
    *,
    concurrency: int = 4,
    log: Logbook[Belief] | None = None,
) -> list[Belief]:
    """Have a system state its beliefs. A debate that comes to nothing is a belief that couldn't be read."""
    slots, kept = asyncio.Semaphore(concurrency), log or Logbook()
    speaker = Chorus(engine, settings=None, **settings)

    async def ask(problem: Problem, arm: Arm) -> Sequence[Belief]:
        async def hold() -> tuple[list[Belief], bool]:
            record = await (await speaker.convene(question(problem, arm))).hold()
            return _stated(record, system, problem, arm), all(turn.status != "failed" for turn in record.turns)

        async with slots:
            return await kept.once(f"{system}/{problem.id}/{arm}", hold)

    asked = await asyncio.gather(*(ask(problem, arm) for problem in problems for arm in ARMS))
    return [belief for beliefs in asked for belief in beliefs]


async def read_options(
    engine: Engine,
    system: str,
    cast: Sequence[Persona],
    problems: Sequence[Problem],
    *,
    concurrency: int = 8,
    log: Logbook[Belief] | None = None,
) -> list[Belief]:
    """Read the probability that each voice gives the hypothesis as an option; none where the engine reports none."""
    slots, kept = asyncio.Semaphore(concurrency), log or Logbook()

    async def ask(voice: Persona, problem: Problem, arm: Arm) -> Sequence[Belief]:
        async def read() -> tuple[list[Belief], bool]:
            asked = [await _choose(engine, voice, problem, arm, first) for first in (True, False)]
            known = [one.shares[place] for place, one in enumerate(asked) if one.shares]
            p = math.fsum(known) / 2 if len(known) == 2 else None
            belief = Belief(system=system, voice=voice.id, reading="options", problem=problem.id, arm=arm, p=p)
            return [belief], all(one.failed is None for one in asked)

        async with slots:
            return await kept.once(f"{system}/{problem.id}/{arm}/options/{voice.id}", read)

    asked = await asyncio.gather(*(ask(v, problem, arm) for v in cast for problem in problems for arm in ARMS))
    return [belief for beliefs in asked for belief in beliefs]


def cast(settings: Mapping[str, Any]) -> list[Persona]:
    """Return the different personas of a system."""
    return list({one.id: one for one in Library.builtin().select(settings["personas"])}.values())


async def _choose(engine: Engine, voice: Persona, problem: Problem, arm: Arm, first: bool) -> Asked:
    """Have a voice choose between the hypothesis, first or second, and its rival."""
    options = [_sentence(problem.hypothesis), _sentence(problem.rival)]
    options = options if first else options[::-1]
    messages = [
        Message(role="system", content=CHARTER.format(cue=voice.cue)),
        Message(role="user", content=f"{problem.ask(arm)}\nWhich is so?\n{listed(options)}"),
    ]
    return await choose(engine, messages, options, id=f"1.{voice.id}", debate=f"{problem.id}/{arm}/options")


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def _stated(record: Answer, system: str, problem: Problem, arm: Arm) -> list[Belief]:
    newest = {turn.seat: turn for turn in record.turns if turn.kind == "speech" and turn.status == "done"}
    readings = {seat: probability(turn.text) for seat, turn in newest.items()}
    known = [reading for reading in readings.values() if isinstance(reading, float)]
    whole: float | Fault = "unparsed" if "outside" not in readings.values() else "outside"
    if known:
        whole = math.fsum(known) / len(known)
    return [_belief(system, seat, problem, arm, reading) for seat, reading in {**readings, WHOLE: whole}.items()]


def _belief(system: str, voice: str, problem: Problem, arm: Arm, reading: float | Fault) -> Belief:
    p, fault = (reading, None) if isinstance(reading, float) else (None, reading)
    return Belief(system=system, voice=voice, reading="stated", problem=problem.id, arm=arm, p=p, fault=fault)
