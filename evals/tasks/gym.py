"""Questions out of reasoning-gym's generators, worded shortly and graded by our grader.

A question keeps the generator's own sense, and loses its instructions for the form of the answer, which our prompts give.
Its generators score answers themselves, some of them kindly: those that reward junk are left out (`LEFT_OUT`), and a
test holds our grader against a strict score (1.0 or wrong) of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chorus.errors import MissingExtra
from chorus.types import AnswerKind
from evals.tasks.splits import SEEDS, Split
from evals.tasks.task import Item, Task

Entry = Mapping[str, Any]
"""What a generator makes: `question`, `answer`, `metadata`."""

LEFT_OUT: Mapping[str, str] = {
    "game_of_life_halting": "scores any text 1.0",
    "propositional_logic": "its scorer rewards junk, and many conclusions are right",
    "prime_factorization": "its scorer raises on junk",
    "rectangle_count": "its scorer rewards junk",
    "mini_sudoku": "its scorer rewards junk",
    "time_intervals": "its scorer rewards junk",
    "spell_backward": "its scorer rewards junk",
    "syllogism": "holds invalid conclusions for valid (all A are B, some B are not C: some A are not C)",
    "ransom_note": "draws by the order of a set, so that a seed makes other questions in another process",
    "fraction_simplification": "our grader takes 2/4 for 1/2, which is the whole task",
    "sentence_reordering": "its sentences end anywhere (`Just now, Mrs.`), so that an answer can't be told from its mark",
    "decimal_arithmetic": "our grader takes 6.3/5.7 for its value, so that repeating the question is right",
    "polynomial_multiplication": "repeating the question is right: an unexpanded product equals the expanded one",
    "family_relationships": "calls a wife a father-in-law where a name is given to both sexes",
}
"""Generators that no task is made of, with the reason, in version 0.1.25. Others are left out for their length, or because
many answers are right."""


@dataclass(frozen=True, slots=True)
class Gym:
    """A generator, and how its questions are put."""

    name: str
    """Of the task."""
    dataset: str
    """Of the generator."""
    kind: AnswerKind
    ask: Callable[[Entry], str]
    """Words the question."""
    levels: Mapping[str, Mapping[str, Any]]
    """Configurations by difficulty; the first is meant where none is named."""
    answer: Callable[[str], str] = str
    """Turns an answer in the generator's form into one in ours; empty where there is none to be asked for."""

    def tasks(self) -> Iterator[Task]:
        """Yield the task at each difficulty: `NAME`, then `NAME@LEVEL` of the others."""
        for number, level in enumerate(self.levels):
            yield Task(
                self.name if number == 0 else f"{self.name}@{level}",
                self.kind,
                f"reasoning-gym {self.dataset} ({level})",
                "Apache-2.0",
                lambda split, level=level: self._items(split, level),  # type: ignore[misc]
            )

    def entries(self, split: Split, level: str) -> Iterator[tuple[Any, Entry]]:
        """Yield the generator with each of the things it makes, in the order of the split's seeds."""
        seeds = SEEDS[split]
        made = generator(self.dataset, seed=seeds.start, size=len(seeds), **self.levels[level])
        for number in range(len(seeds)):
            yield made, made[number]

    def item(self, entry: Entry) -> Item | None:
        """Return what a generator made as a question of ours."""
        answer = self.answer(entry["answer"]).strip()
        return Item(self.ask(entry).strip(), answer) if answer else None

    def _items(self, split: Split, level: str) -> Iterator[Item | None]:
        for _, entry in self.entries(split, level):
            yield self.item(entry)


def generator(dataset: str, **config: Any) -> Any:
    """Return one of reasoning-gym's generators. Raises MissingExtra."""
    try:
        import reasoning_gym
    except ImportError:
        raise MissingExtra("a task of reasoning-gym", "evals") from None
    defaults = reasoning_gym.factory.DATASETS[dataset][1]()
    return reasoning_gym.create_dataset(
        dataset, **{name: _as_declared(value, getattr(defaults, name)) for name, value in config.items()}
    )


def _as_declared(value: Any, default: Any) -> Any:
    """Turn plain words into the members of an enumeration, where a configuration has some."""
    if isinstance(default, Enum):
        return type(default)(value)
    if isinstance(default, list) and default and isinstance(default[0], Enum):
        return [type(default[0])(one) for one in value]
    return value
