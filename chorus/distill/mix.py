"""What a warm start is trained on: rows in the mix that the recipe asks for, and ordinary chat among them."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chorus.distill import files
from chorus.distill.recipe import Sft
from chorus.distill.rows import STYLE_OF, Form, Row, shuffled
from chorus.distill.styles import PROMPTS, Style
from chorus.errors import RecordError
from chorus.types import Message

Example = tuple[tuple[Message, ...], str]
"""A prompt, and what is to be said to it."""


def read_rows(path: Path) -> list[Row]:
    """Return the rows that `collect` wrote. Raises RecordError."""
    try:
        return [Row.model_validate(line) for line in files.lines_of(path)]
    except ValidationError as error:
        raise RecordError(f"{path} holds something else than rows: {error.errors()[0]['msg']}") from None


def mixed(rows: Sequence[Row], sft: Sft, seed: int) -> list[Example]:
    """Return the examples of a mix.

    Raises:
        RecordError: no row is left to train on.
    """
    kept = [row for row in rows if row.form in sft.mix and (sft.keep == "all" or row.right)]
    if not kept:
        raise RecordError(
            f"no row of the forms {', '.join(sft.mix)} comes from a debate that ended right: collect more questions, or "
            "easier ones, or say keep = 'all'"
        )
    if sft.shuffle_names:
        kept = [shuffled(row, seed) for row in kept]
    return [(row.prompt, row.completion[0].content) for row in kept for _ in range(sft.mix[row.form])]


def replayed(count: int, share: float) -> int:
    """Return how many examples of ordinary chat make up a share of all, beside so many others; all, in their place."""
    return round(count * share / (1.0 - share)) if share < 1.0 else count


def everyday() -> list[tuple[Message, ...]]:
    """Return the package's everyday prompts, none of which is like a task."""
    text = (importlib.resources.files("chorus.distill") / "everyday.txt").read_text("utf-8")
    return [(Message(role="user", content=line),) for line in text.splitlines() if line.strip()]


def styles_of(forms: Iterable[Form]) -> list[Style]:
    """Return the styles in which rows of these forms are asked for."""
    return sorted({STYLE_OF[form] for form in forms})


def in_styles(chat: Sequence[Example], forms: Iterable[Form]) -> list[Example]:
    """Return ordinary chat asked in turns as it stands and by the prompt of each style of these forms."""
    systems = [(), *((Message(role="system", content=PROMPTS[style]),) for style in styles_of(forms))]
    return [((*systems[at % len(systems)], *prompt), text) for at, (prompt, text) in enumerate(chat)]


def chats(path: Path) -> Iterator[Example]:
    """Yield the examples of a user's own file of ordinary chat. Raises RecordError, naming the line."""
    for number, line in enumerate(files.lines_of(path), 1):
        try:
            yield _messages(line["prompt"]), _text(line["completion"])
        except (KeyError, TypeError, ValidationError):
            where = f"{path}, line {number}"
            raise RecordError(f"{where}: wants `prompt` and `completion`, each a text or chat messages") from None


def _messages(value: Any) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message(role="user", content=value),)
    return tuple(Message.model_validate(message) for message in value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _messages(value)[0].content
