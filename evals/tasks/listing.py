"""What there is to be asked: the tasks in a table, with what is known of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from chorus.errors import ChorusError
from evals import report, tasks
from evals.tasks.catalogue import catalogue

COLUMNS = ("task", "kind", "source", "licence", "majority", "model", "note")
_ENOUGH = 100
"""Questions of dev that the majority answer's share is taken of."""


def rows() -> Iterator[tuple[str, ...]]:
    """Yield a row a task, in the columns above.

    `majority` is the share of dev's commonest right answer, `model` what the embedded model scored there, where that was
    measured.
    """
    measured = scores()
    for task in catalogue().values():
        score = f"{measured[task.name]:.2f}" if task.name in measured else ""
        note = task.seen and f"possibly contaminated: {task.seen}"
        yield task.name, task.kind or "various", task.source, task.licence, _majority(task.name), score, note


def scores() -> Mapping[str, float]:
    """Return what one plain voice of the embedded model scored on dev, by task: from the results of `headroom`."""
    try:
        measured: dict[str, Any] = json.loads((report.RESULTS / "headroom.json").read_text("utf-8"))
    except OSError:
        return {}
    return {row["task"]: row["accuracy"] for row in measured["rows"]}


def _majority(name: str) -> str:
    """Return the share, or nothing where the questions can't be had here."""
    if catalogue()[name].extra.endswith("hub"):
        return ""
    try:
        return f"{tasks.majority(tasks.load(name, 'dev', _ENOUGH))[1]:.2f}"
    except ChorusError:
        return ""
