"""The two ways in which a baked model answers, each chosen by its prompt.

The prompts go into the run card beside the weights (`checkpoints.baked`), so that whoever loads them asks as they were
trained: `--mode solo` and the style `answer` send the same words, and so do `--mode inner` and the style `chorus`.
"""

from __future__ import annotations

from chorus.checkpoints.baked import Style
from chorus.debate.prompts import trained
from chorus.types import Message, Question

__all__ = ["PROMPTS", "Style", "messages"]

PROMPTS: dict[Style, str] = {
    "answer": 'Answer in one voice, short and exact. Write "Answer:" and the answer.',
    "chorus": 'Answer as a chorus: voices talk it over as "Name: ...", then write "Answer:" and the answer.',
}
"""The system message of each style. Neither says who the voices are or how they reason: that is what gets baked in."""


def messages(question: Question, style: Style) -> tuple[Message, ...]:
    """Return the prompt that asks a baked model for an answer in a style."""
    return trained(PROMPTS[style], question)
