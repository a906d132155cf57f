"""Every task that has a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache

from chorus.errors import QuestionError
from evals.tasks import hub, packaged, simple
from evals.tasks.gym_tasks import GYM_TASKS
from evals.tasks.task import Task


def find(name: str) -> Task:
    """Return the task of a name. Raises QuestionError that tells the closest names.

    A level may be named where the bare name would do: the level that a bare name means may change, that of `NAME@LEVEL`
    may not.
    """
    if name in catalogue():
        return catalogue()[name]
    bare, _, level = name.partition("@")
    if level and any(gym.name == bare and level in gym.levels for gym in GYM_TASKS):
        return catalogue()[bare]
    close = difflib.get_close_matches(name[:80], catalogue())
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise QuestionError(
        f"there is no task {name[:80]!r}; {hint}`chorus eval tasks` lists them, or name a .jsonl or .csv file"
    )


@cache
def catalogue() -> Mapping[str, Task]:
    """Return the tasks by name."""
    return {task.name: task for task in _all()}


def _all() -> Iterator[Task]:
    yield from simple.tasks()
    for gym in GYM_TASKS:
        yield from gym.tasks()
    yield from packaged.tasks()
    yield from hub.tasks()
