"""What a debate came to: right or wrong, contested, and who was corrected or misled on the way. Graded by `debate.grade`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from chorus.debate import grade
from chorus.types import Answer, Frozen, Question, Turn


class Mark(Frozen):
    """The marks of one debate."""

    question: str
    """Its question's id."""
    right: bool | None
    """Whether its answer is right; `None` where the truth is not known."""
    contested: bool
    """Whether the voices ended with more than one answer."""
    flips: int
    """Turns in which a voice gave another answer than before."""
    corrected: int
    """Of these, from a wrong answer to the right one."""
    misled: int
    """Of these, from the right answer to a wrong one."""


def mark(record: Answer) -> Mark:
    """Return the marks of a debate."""
    question = record.question
    spoken = [turn for turn in record.turns if turn.kind == "speech" and turn.position]
    corrected, misled = changes(by_seat(spoken), question)
    return Mark(
        question=question.id,
        right=right(record.answer, question),
        contested=len(record.decision.support) > 1,
        flips=sum(turn.flipped_from is not None for turn in spoken),
        corrected=corrected,
        misled=misled,
    )


def right(answer: str | None, question: Question) -> bool | None:
    """Say whether an answer is the right one; `None` where the truth is not known. No answer is a wrong one."""
    if question.answer is None:
        return None
    kind = grade.infer_kind(question)
    return answer is not None and grade.same(answer, question.answer, kind, grade.infer_choices(question))


def changes(answers: Iterable[Sequence[str | None]], question: Question) -> tuple[int, int]:
    """Count the steps from wrong to right and from right to wrong.

    Args:
        answers: of each voice, what it answered turn by turn; turns without an answer are passed over.
        question: knows the truth; where it doesn't, nothing is counted.
    """
    corrected = misled = 0
    for own in answers:
        sides = [right(answer, question) for answer in own if answer is not None]
        corrected += sum(after is True and before is False for before, after in pairwise(sides))
        misled += sum(after is False and before is True for before, after in pairwise(sides))
    return corrected, misled


def by_seat(turns: Iterable[Turn]) -> list[list[str | None]]:
    """Return what each seat answered, turn by turn."""
    answers: dict[str, list[str | None]] = {}
    for turn in turns:
        answers.setdefault(turn.seat, []).append(turn.position.answer if turn.position else None)
    return list(answers.values())
