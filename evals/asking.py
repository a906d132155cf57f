"""One multiple-choice question put to an engine: what it says, and how probable each option was.

Both readings come from one call. The text is read by the one grader; a text that names no option is a refusal. The
probabilities are those of the first token, summed over the spellings of each letter and divided by their total; where
the engine reports none, or less than `MASS` of the probability is on letters, there are no such probabilities.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from chorus.debate import grade
from chorus.engines.base import Engine, Request, Sampling, TokenLogprob
from chorus.errors import EngineError
from chorus.types import LETTERS, Message, Usage

OPENINGS = 20
MASS = 0.05
"""Probability that must be on the options' letters together for their shares to mean anything."""
TOKENS = 16

_LETTER = re.compile(r"\s*\(?([A-Z])[).:]?\s*")


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back."""

    text: str
    option: int | None
    """The option that the text names; None: it names none."""
    shares: tuple[float, ...] | None
    """Probability of each option, together 1; None where it can't be read."""
    usage: Usage = field(default_factory=Usage)
    failed: str | None = None
    """Why the engine gave nothing, if it didn't."""


def listed(options: Sequence[str]) -> str:
    """Return the options, at most 26, under their letters, and what to answer with."""
    lines = [f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([*lines, "Answer with the letter alone."])


async def choose(
    engine: Engine,
    messages: Sequence[Message],
    options: Sequence[str],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    id: str = "1.voice",
    debate: str = "",
) -> Asked:
    """Ask for one of the options, which the messages list under their letters.

    Args:
        engine: answers.
        messages: the prompt.
        options: in the order of their letters.
        temperature: of the text; the probabilities are those at temperature 1.
        seed: of the draw.
        id: names the call.
        debate: names what it belongs to.
    """
    drawn = seed if temperature > 0 else None
    sampling = Sampling(max_tokens=TOKENS, temperature=temperature, seed=drawn)
    request = Request(tuple(messages), sampling, id, debate, openings=OPENINGS)
    try:
        said = await engine.generate(request, lambda _: None)
    except EngineError as error:
        return Asked("", None, None, failed=str(error))
    named = grade.extract(said.text, "choice", tuple(options))
    letters = LETTERS[: len(options)]
    option = letters.index(named) if named and named in letters else None
    return Asked(said.text, option, shares(said.openings, len(options)), said.usage)


def shares(openings: Sequence[TokenLogprob], options: int) -> tuple[float, ...] | None:
    """Return the probability of each option among the likeliest first tokens, together 1; None if they say too little."""
    mass = [0.0] * options
    letters = LETTERS[:options]
    for one in openings:
        found = _LETTER.fullmatch(one.token)
        if found and found.group(1) in letters:
            mass[letters.index(found.group(1))] += math.exp(one.logprob)
    total = math.fsum(mass)
    return tuple(part / total for part in mass) if total >= MASS else None
