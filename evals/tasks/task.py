"""A task: questions of one sort, with answers that the one grader can compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chorus.types import AnswerKind

if TYPE_CHECKING:
    from evals.tasks.splits import Split


@dataclass(frozen=True, slots=True)
class Item:
    """One question, not yet numbered."""

    text: str
    answer: str
    """The right one, as the grader compares it; a letter where there are choices."""
    choices: tuple[str, ...] = ()
    kind: AnswerKind | None = None
    """What sort of answer it wants, where the questions of a task differ."""
    split: Split | None = None
    """Which split it is of, where its source has splits of its own; None: its text decides."""


@dataclass(frozen=True, slots=True)
class Task:
    """Where questions of one sort come from, and what is known of them."""

    name: str
    kind: AnswerKind | None
    """What sort of answer they want; None: it differs."""
    source: str
    """Who made them."""
    licence: str
    items: Callable[[Split], Iterator[Item | None]]
    """Draws candidates for a split, in an order that never changes; None where one can't be asked."""
    seen: str = ""
    """Why a model may have been trained on them; empty for questions that are made up on the spot."""
    extra: str = ""
    """The package that it needs beside the extra `evals`, or what else it needs; empty for none."""
