"""Our tasks as tasks of Inspect's.

inspect eval evals/questions -T task=products -T split=dev --solver evals/debate -S rounds=2 --model chorus/hf:smollm2-135m
"""

from __future__ import annotations

from inspect_ai import Task, task

from evals import samples, tasks
from evals.naming import named
from evals.scorers import graded
from evals.solvers import debate
from evals.tasks.splits import Split


@task(name=named("questions"))
def questions(task: str, split: Split = "dev", count: int = 100) -> Task:
    """Return questions of one task, put to a chorus unless another solver is named.

    Args:
        task: a name that `chorus eval tasks` lists, or the path of a JSONL or CSV file.
        split: `train`, `dev` or `test`.
        count: how many, at most.
    """
    found = tasks.load(task, split, count)
    return Task(samples.dataset(found, f"{task}/{split}"), solver=debate(), scorer=graded(), name=task)
