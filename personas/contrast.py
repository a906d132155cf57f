"""Prompts and texts with a persona and without: the two sides that the laboratory compares.

The design is two by two: the persona's prompt on or off, and the answer's text in the persona's manner or neutral. Its
main cells are the two with the *same neutral text* under either prompt: what differs there can't be the words of the
answer. Each persona's prompt comes in five paraphrases without a content word in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personas.persona import Fault, PersonaError
from personas.plainyaml import PlainYaml

_FILE = Path(__file__).with_name("contrasts.yaml")
_NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Cell:
    """One of the four cells of the design, for one question."""

    prompt_on: bool
    text_on: bool
    prompt: str
    """What the system is told."""
    text: str
    """The answer that is teacher-forced."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A persona against no persona."""

    persona: str
    prompts: tuple[str, ...]
    """Paraphrases with the persona; those at the same place in `neutral_prompts` stand against them."""
    text: str
    """The answer in the persona's manner, with `{answer}` in it."""
    neutral_prompts: tuple[str, ...]
    neutral_text: str

    def cells(self, answer: str, paraphrase: int) -> Iterator[Cell]:
        """Yield the four cells for a question with this answer, in one wording of the prompts."""
        for prompt_on in (True, False):
            prompt = (self.prompts if prompt_on else self.neutral_prompts)[paraphrase]
            for text_on in (True, False):
                text = (self.text if text_on else self.neutral_text).format(answer=answer)
                yield Cell(prompt_on, text_on, prompt, text)


def contrasts() -> dict[str, Contrast]:
    """Return the built-in contrasts by the persona's id."""
    data: Any = PlainYaml(_FILE.read_text("utf-8")).value
    neutral = data.pop(_NEUTRAL)
    return {
        name: Contrast(name, tuple(each["prompts"]), each["text"], tuple(neutral["prompts"]), neutral["text"])
        for name, each in data.items()
    }


def contrast(persona: str) -> Contrast:
    """Return one persona's contrast. Raises PersonaError when there is none for it."""
    known = contrasts()
    if persona not in known:
        reason = f"has no contrast to study it by; there are {', '.join(known)}"
        raise PersonaError([Fault(_FILE.name, persona, reason)])
    return known[persona]
