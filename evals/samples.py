"""Questions as Inspect's samples, and back; where a sample keeps its debate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.solver import TaskState

from chorus.types import Answer, Question

QUESTION = "question"
"""In a sample's metadata: the question as its file has it."""

DEBATE = "debate"
"""In a sample's store: the debate's record (`schema: 1`)."""


def dataset(questions: Iterable[Question], name: str) -> MemoryDataset:
    """Return questions as a data set of Inspect's."""
    return MemoryDataset([sample(question) for question in questions], name=name)


def sample(question: Question) -> Sample:
    """Return a question as a sample."""
    return Sample(
        input=question.text,
        choices=list(question.choices) or None,
        target=question.answer or "",
        id=question.id,
        metadata={QUESTION: question.model_dump(by_alias=True, exclude_defaults=True)},
    )


def question(state: TaskState) -> Question:
    """Return the question of a sample: ours, or made from what another's task says."""
    if QUESTION in (state.metadata or {}):
        return Question.model_validate(state.metadata[QUESTION])
    return Question(
        id=str(state.sample_id)[:200],
        text=state.input_text,
        choices=tuple(choice.value for choice in state.choices),
        answer=state.target.text or None,
    )


def keep(state: TaskState, record: Answer) -> None:
    """Put a debate's record into its sample, and its answer where Inspect looks for it."""
    state.store.set(DEBATE, record.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    state.output.completion = "" if record.answer is None else record.answer


def kept(store: Any) -> Answer | None:
    """Return the record that a sample's store keeps, if it keeps one."""
    found = store.get(DEBATE)
    return None if found is None else Answer.model_validate({"schema": 1, **found})
