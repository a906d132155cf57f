"""A task: questions of one sort, with answers that the one grader can compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from chorus.types import AnswerKind
from evals.tasks.splits import Split, deal, key

PATIENCE = 3000
"""So many items in a row without a new question of the split, and the generator is taken to have no more."""


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


def distinct(items: Iterable[Item | None], split: Split) -> Iterator[Item]:
    """Yield the items that belong to a split, each question once, until nothing new has come for a long time.

    Args:
        items: in the order of their seeds, or of their file; None stands for one that can't be asked.
        split: which they are wanted for.
    """
    seen: set[str] = set()
    fruitless = 0
    for item in items:
        fruitless += 1
        if item is not None and key(item.text) not in seen and (item.split or deal(item.text)) == split:
            seen.add(key(item.text))
            fruitless = 0
            yield item
        if fruitless >= PATIENCE:
            return
