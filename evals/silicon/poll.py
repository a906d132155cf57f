"""The poll: every persona is asked what its person was asked, in an order of options and a wording drawn for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from chorus.engines.base import Engine
from chorus.types import Frozen, Message
from evals.asking import choose, listed
from evals.logbook import Logbook
from evals.silicon.fidelity import Pairs
from evals.silicon.survey import Asking, Survey
from personas import Persona, backstory

CHARTER = "You take part in a survey. {told} {task}"


class Reply(Frozen):
    """What one persona said to one question."""

    person: int
    """Row of the survey."""
    question: str
    """Its column."""
    party: bool
    """Whether the persona was told the person's party."""
    order: tuple[int, ...]
    """The options as they stood under the letters."""
    wording: int
    text: str
    option: int | None
    """The option it named, in the codebook's order; None: a refusal, or a failed call."""
    shares: tuple[float, ...] | None
    """The options' probabilities, in the codebook's order; None: they couldn't be read."""
    failed: str | None = None


def people(survey: Survey, question: Asking, n: int, seed: int) -> list[int]:
    """Draw up to `n` people whose answer is known, and of whom something is known beside their party."""
    known = [
        at
        for at, row in enumerate(survey.rows)
        if question.answer(row) is not None and any(trait.value(row) is not None for trait in survey.traits(False))
    ]
    random.Random(f"people/{seed}").shuffle(known)
    return sorted(known[:n])


async def poll(
    engine: Engine,
    survey: Survey,
    question: Asking,
    chosen: Sequence[int],
    *,
    party: bool,
    seed: int = 0,
    temperature: float = 1.0,
    concurrency: int = 8,
    log: Logbook[Reply] | None = None,
) -> list[Reply]:
    """Ask the personas of these people. Sampling and probabilities come from the same call.

    Raises:
        PersonaError: what is known of somebody doesn't fit on a card.
    """
    slots, kept = asyncio.Semaphore(concurrency), log or Logbook()

    async def ask(at: int) -> Reply:
        async def reply() -> tuple[list[Reply], bool]:
            said = await _reply(engine, survey.persona(at, party), question, at, party, seed, temperature)
            return [said], said.failed is None

        name = f"{question.column}/{'with' if party else 'without'} party/{at}"
        async with slots:
            return (await kept.once(name, reply))[0]

    return await asyncio.gather(*(ask(at) for at in chosen))


async def _reply(
    engine: Engine, card: Persona, question: Asking, at: int, party: bool, seed: int, temperature: float
) -> Reply:
    draw = random.Random(f"{seed}/{question.column}/{at}")
    order = list(range(len(question.options)))
    draw.shuffle(order)
    wording = draw.randrange(len(question.wordings))
    options = [question.options[option] for option in order]
    messages = [
        Message(role="system", content=CHARTER.format(told=backstory.told(card), task=backstory.TASK)),
        Message(role="user", content=f"{question.wordings[wording]}\n{listed(options)}"),
    ]
    asked = await choose(
        engine, messages, options, temperature=temperature, seed=draw.getrandbits(31), id=f"1.{card.id}", debate="poll"
    )
    shares = None
    if asked.shares:
        shares = tuple(asked.shares[order.index(option)] for option in range(len(order)))
    return Reply(
        person=at,
        question=question.column,
        party=party,
        order=tuple(order),
        wording=wording,
        text=asked.text,
        option=None if asked.option is None else order[asked.option],
        shares=shares,
        failed=asked.failed,
    )


def pairs(survey: Survey, question: Asking, replies: Sequence[Reply], *, sampled: bool) -> Pairs:
    """Pair people with what their personas said: the sampled answer, or the options' probabilities."""
    options = len(question.options)
    said: list[Sequence[float] | None] = []
    for reply in replies:
        one_hot = None if reply.option is None else [float(reply.option == option) for option in range(options)]
        said.append(one_hot if sampled else reply.shares)
    return paired(survey, question, [reply.person for reply in replies], said)


def paired(survey: Survey, question: Asking, chosen: Sequence[int], said: Sequence[Sequence[float] | None]) -> Pairs:
    """Pair these people with what is said in their place."""
    rows = [survey.rows[at] for at in chosen]
    groups = {trait.column: [trait.cell(row) for row in rows] for trait in survey.codebook.trait if trait.group}
    return Pairs([question.answer(row) or 0 for row in rows], said, len(question.options), groups)
