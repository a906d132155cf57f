"""The two ways in which a baked model answers, each chosen by its prompt.

`answer` is one voice, short. `chorus` is an inner dialogue, voices with names as plain text, then the answer. The
prompts stand in `run.json` beside the weights, so that whoever loads them can ask as they were trained.
"""

from __future__ import annotations

from typing import Literal

from chorus.debate.prompts import letter, plain
from chorus.types import Message, Question

Style = Literal["answer", "chorus"]

PROMPTS: dict[Style, str] = {
    "answer": 'Answer in one voice, short and exact. Write "Answer:" and the answer.',
    "chorus": 'Answer as a chorus: voices talk it over as "Name: ...", then write "Answer:" and the answer.',
}
"""The system message of each style. Neither says who the voices are or how they reason: that is what gets baked in."""


def messages(question: Question, style: Style) -> tuple[Message, ...]:
    """Return the prompt that asks a baked model for an answer in a style."""
    system = Message(role="system", content=PROMPTS[style])
    return system, *question.history, Message(role="user", content=asked(question))


def asked(question: Question) -> str:
    """Return a question as a baked model reads it: its text, and its choices where the text doesn't list them."""
    text = plain(question.text).strip()
    if question.choices and not all(choice in text for choice in question.choices):
        listed = [f"{letter(index)}) {plain(choice)}" for index, choice in enumerate(question.choices)]
        return "\n".join([text, *listed])
    return text
