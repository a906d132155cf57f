"""Which questions may be trained on: those of a train split that no test file asks too.

A question file says its split by its ids, `TASK/SPLIT/NUMBER`. A file of the user's own, whose ids say nothing, is
taken for what the user says it is, in so many words.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from chorus.errors import QuestionError
from chorus.question_file import read_questions
from chorus.types import Question

_SPLIT = re.compile(r"(?P<task>.+)/(?P<split>train|dev|test)/\d+")


def to_train_on(path: Path, *, split: str | None = None, held_out: Sequence[Path] = ()) -> list[Question]:
    """Return the questions of a file that may be trained on.

    Args:
        path: the question file.
        split: what the user says of a file whose ids don't say it.
        held_out: question files that must share no question with it.

    Raises:
        QuestionError: it is not a train split, doesn't say so, or shares a question with a held-out file.
    """
    questions = list(read_questions(path))
    for question in questions:
        said = _SPLIT.fullmatch(question.id)
        if said is None and split is None:
            raise QuestionError(
                f"{path}: the id {question.id!r} doesn't say its split (TASK/SPLIT/NUMBER, such as products/train/17): "
                "if it may be trained on, say so with --split train"
            )
        if (found := said["split"] if said else split) != "train":
            raise QuestionError(f"{path}: {question.id!r} belongs to the {found} split, which is not trained on")
    for file in held_out:
        refuse_shared(questions, list(read_questions(file)), file)
    return questions


def to_measure_on(path: Path, trained_on: Sequence[Question]) -> list[Question]:
    """Return the questions of a file that training may look at to see how it does.

    Raises:
        QuestionError: a question has no answer, belongs to the test split, or is trained on.
    """
    questions = list(read_questions(path))
    for question in questions:
        if question.answer is None:
            raise QuestionError(f"{path}: {question.id!r} has no answer to be measured by")
        if (said := _SPLIT.fullmatch(question.id)) and said["split"] == "test":
            raise QuestionError(f"{path}: {question.id!r} belongs to the test split: measure on dev while training")
    refuse_shared(trained_on, questions, path)
    return questions


def with_hidden_truth(questions: Sequence[Question], share: float, seed: int) -> list[Question]:
    """Return the questions, about such a share of them, drawn from the seed and the id, without their answers."""
    return [
        question.model_copy(update={"answer": None})
        if random.Random(f"{seed}/{question.id}").random() < share
        else question
        for question in questions
    ]


def tasks_of(questions: Iterable[Question]) -> list[str]:
    """Return the tasks that questions belong to, as far as their ids say, in order of first appearance."""
    said = (_SPLIT.fullmatch(question.id) for question in questions)
    return list(dict.fromkeys(found["task"] for found in said if found))


def refuse_shared(trained_on: Sequence[Question], others: Sequence[Question], file: Path) -> None:
    """Raise QuestionError when some of the questions that are trained on are asked in another file too."""
    asked = {_key(question): question.id for question in trained_on}
    shared = [(asked[_key(other)], other.id) for other in others if _key(other) in asked]
    if shared:
        ours, theirs = shared[0]
        raise QuestionError(f"{len(shared)} of the questions to train on are in {file} too: {ours!r} is its {theirs!r}")


def _key(question: Question) -> str:
    """Return what makes two questions one: text and choices, but for case, width and white space."""
    whole = "\n".join([question.text, *question.choices])
    return " ".join(unicodedata.normalize("NFKC", whole).casefold().split())
