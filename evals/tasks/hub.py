"""Data sets on the Hugging Face hub: GSM8K, MMLU-Pro, GPQA and BIG-Bench Hard, where a hub can be reached.

They are read by the package `datasets`, which isn't a dependency. Where a data set has a test split of its own, ours is
that one, and its train split is dealt to our train and dev; else its rows are dealt to all three by their text.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chorus.errors import QuestionError
from chorus.types import LETTERS, AnswerKind
from evals.tasks.splits import Split, deal
from evals.tasks.task import Item, Task

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hub:
    """One data set, and how its rows become questions."""

    name: str
    path: str
    """On the hub."""
    config: str | None
    parts: Mapping[Split, str]
    """Which of the data set's own splits each of ours is taken from."""
    kind: AnswerKind | None
    licence: str
    read: Callable[[Row], Item | None]

    def task(self) -> Task:
        """Return it as a task."""
        seen = "public, and much used: models are likely to have been trained on its like"
        source = f"hub {self.path}" + (f" ({self.config})" if self.config else "")
        return Task(self.name, self.kind, source, self.licence, self.items, seen=seen, extra="datasets and a hub")

    def items(self, split: Split) -> Iterator[Item | None]:
        """Yield the rows as questions. Raises QuestionError."""
        for number, row in enumerate(rows(self.path, self.config, self.parts[split])):
            try:
                item = self.read(row)
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise QuestionError(f"{self.path}, row {number}: not as expected: {error!r}") from error
            yield self._dealt(item, split) if item else None

    def _dealt(self, item: Item, split: Split) -> Item:
        """Mark a row with our split, where the data set has a test split of its own."""
        if len(set(self.parts.values())) == 1:
            return item
        if split != "test":
            split = "train" if deal(item.text) == "train" else "dev"
        return replace(item, split=split)


def rows(path: str, config: str | None, part: str) -> Iterator[Row]:
    """Yield the rows of a data set's split. Raises QuestionError where there is no `datasets`, or no hub."""
    try:
        import datasets
    except ImportError:
        raise QuestionError(f"the data set {path} is read by the package datasets: pip install datasets") from None
    try:
        yield from datasets.load_dataset(path, config, split=part)
    except QuestionError:
        raise
    except Exception as error:  # whatever the hub's client raises: network, gate, cache, format
        first = str(error).strip().partition("\n")[0]
        raise QuestionError(
            f"the data set {path} can't be had from the hub: {first or type(error).__name__}"
        ) from error


def _gsm8k(row: Row) -> Item:
    return Item(row["question"], row["answer"].rpartition("####")[2].strip().replace(",", ""))


def _mmlu_pro(row: Row) -> Item:
    return Item(row["question"], LETTERS[row["answer_index"]], tuple(row["options"]))


def _gpqa(row: Row) -> Item:
    """Put the right answer among the wrong ones at a place that depends on the question alone."""
    text, right = row["Question"].strip(), row["Correct Answer"].strip()
    choices = [right, *(row[f"Incorrect Answer {number}"].strip() for number in (1, 2, 3))]
    random.Random(hashlib.sha256(text.encode()).digest()).shuffle(choices)
    return Item(text, LETTERS[choices.index(right)], tuple(choices))


def _boolean(row: Row) -> Item:
    return Item(f"Is this true or false: {row['input'].removesuffix(' is')}", _truth(row["target"]))


def _lettered(row: Row) -> Item | None:
    text, _, listed = row["input"].partition("Options:")
    options = re.findall(r"\(([A-Z])\) (.*)", listed)
    if not options:
        return None
    return Item(text.strip(), row["target"].strip("()"), tuple(option for _, option in options))


def _number(row: Row) -> Item:
    return Item(row["input"], row["target"])


def _truth(word: str) -> str:
    return {"true": "yes", "false": "no"}.get(word.lower(), word.lower())


_DEALT: Mapping[Split, str] = {"train": "test", "dev": "test", "test": "test"}
_OWN_TEST: Mapping[Split, str] = {"train": "train", "dev": "train", "test": "test"}
_BBH: tuple[tuple[str, AnswerKind, Callable[[Row], Item | None]], ...] = (
    ("boolean_expressions", "yesno", _boolean),
    ("date_understanding", "choice", _lettered),
    ("logical_deduction_three_objects", "choice", _lettered),
    ("multistep_arithmetic_two", "number", _number),
    ("object_counting", "number", _number),
)


def tasks() -> Iterator[Task]:
    """Yield them. That there is no hub is told when a question is asked for."""
    yield Hub("gsm8k", "openai/gsm8k", "main", _OWN_TEST, "number", "MIT", _gsm8k).task()
    yield Hub("mmlu-pro", "TIGER-Lab/MMLU-Pro", None, _DEALT, "choice", "MIT", _mmlu_pro).task()
    gpqa: Mapping[Split, str] = {"train": "train", "dev": "train", "test": "train"}
    yield Hub("gpqa", "Idavidrein/gpqa", "gpqa_diamond", gpqa, "choice", "CC-BY-4.0", _gpqa).task()
    for config, kind, read in _BBH:
        name = f"bbh-{config.replace('_', '-')}"
        yield Hub(name, "lukaemon/bbh", config, _DEALT, kind, "MIT", read).task()
