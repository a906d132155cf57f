"""Tasks: questions to measure by, with their right answers, in three splits that never meet.

    load("chain-sums", "dev", 100)      a task of the catalogue
    load("./mine.csv", "test", 50)      questions of one's own

A question's id says what it is one of: `TASK/SPLIT/NUMBER`, counted from 1 in an order that never changes, so that the
first 20 of 100 are the 20.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from chorus.debate import grade
from chorus.types import Question
from evals.tasks import own
from evals.tasks.catalogue import catalogue, find
from evals.tasks.splits import SPLITS, Split, deal
from evals.tasks.task import Item, Task, distinct

__all__ = ["SPLITS", "Item", "Split", "Task", "deal", "find", "load", "majority", "names"]


def names() -> list[str]:
    """Return the names of the catalogue's tasks, in its order."""
    return list(catalogue())


def load(name: str, split: Split, count: int = 100) -> list[Question]:
    """Return the first questions of a split.

    Args:
        name: of a task (`NAME`, or `NAME@LEVEL` at another difficulty), or the path of a JSONL or CSV file.
        split: `train`, `dev` or `test`.
        count: how many, at most: a split may hold fewer distinct questions, and then all of them are returned.

    Raises:
        QuestionError: there is no such task or file, it is faulty, or its questions can't be had here.
        MissingExtra: a package is not installed.
    """
    if own.is_file(name) and name not in catalogue():
        return own.read(name, split)[:count]
    task = find(name)
    items = itertools.islice(distinct(task.items(split), split), count)
    return [_question(item, task, f"{name}/{split}/{number}") for number, item in enumerate(items, 1)]


def majority(questions: Sequence[Question]) -> tuple[str, float]:
    """Return the most frequent right answer and its share: what one scores who never reads the question.

    Answers are compared by the one grader, each by its own question's kind. The first of equally frequent ones counts.
    """
    answers = [question.answer or "" for question in questions]
    kinds = {grade.infer_kind(question) for question in questions}
    kind = kinds.pop() if len(kinds) == 1 else "short"
    largest = max(grade.classes(answers, kind, LETTERED if kind == "choice" else ()), key=len, default=[])
    return (answers[largest[0]], len(largest) / len(answers)) if largest else ("", 0.0)


LETTERED = tuple("abcdefghijklmnopqrstuvwxyz")
"""Stand-ins for options, where only their letters are compared."""


def _question(item: Item, task: Task, name: str) -> Question:
    return Question(id=name, text=item.text, kind=item.kind or task.kind, choices=item.choices, answer=item.answer)
