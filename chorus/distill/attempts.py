"""One completion that a reward looks at: what was asked, in which style, what was said, and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, groupby

from chorus.debate import grade
from chorus.debate.inner import Voice
from chorus.distill import marks
from chorus.distill.cast import Cast
from chorus.distill.styles import Style
from chorus.types import Question


@dataclass(frozen=True)
class Attempt:
    """A completion. What is read out of it is read once, whoever asks."""

    question: Question
    style: Style
    text: str
    tokens: int
    """Its length."""
    cast: Cast

    @cached_property
    def answer(self) -> str | None:
        """The answer that it gives."""
        return grade.extract(self.text, grade.infer_kind(self.question), grade.infer_choices(self.question))

    @cached_property
    def right(self) -> bool | None:
        """Whether that is the right one; `None` where the truth is not known."""
        return marks.right(self.answer, self.question)

    @cached_property
    def voices(self) -> list[Voice]:
        """Who said what in it, in order; nobody in the style of one voice."""
        return self.cast.voices(self.text) if self.style == "chorus" else []

    @cached_property
    def changes(self) -> tuple[int, int]:
        """How often a voice went from wrong to right, and from right to wrong."""
        kind, choices = grade.infer_kind(self.question), grade.infer_choices(self.question)
        answers: dict[str, list[str | None]] = {}
        for voice in self.voices:
            answers.setdefault(voice.seat.seat, []).append(grade.extract(voice.text, kind, choices))
        return marks.changes(answers.values(), self.question)

    @cached_property
    def distinctness(self) -> float | None:
        """How far apart its voices are, in [0, 1]; `None` with fewer than two."""
        words: dict[str, set[str]] = {}
        for voice in self.voices:
            words.setdefault(voice.seat.seat, set()).update(voice.text.casefold().split())
        return mean(1.0 - len(a & b) / len(a | b) for a, b in combinations(words.values(), 2))


def groups(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Return the attempts at one question in one style together; they follow each other already."""
    return [list(same) for _, same in groupby(attempts, key=lambda one: (one.question.id, one.style))]


def sides(group: Sequence[Attempt]) -> list[int | None]:
    """Number the answers of a group, the same answer with the same number; `None` where none was given."""
    given = [(at, attempt.answer) for at, attempt in enumerate(group) if attempt.answer is not None]
    numbers: list[int | None] = [None] * len(group)
    if given:
        question = group[0].question
        kind, choices = grade.infer_kind(question), grade.infer_choices(question)
        for number, members in enumerate(grade.classes([answer for _, answer in given], kind, choices)):
            for member in members:
                numbers[given[member][0]] = number
    return numbers


def majority(group: Sequence[Attempt]) -> tuple[int | None, float]:
    """Return which answer most of a group gave, the first of equals, and its share of the whole group."""
    numbers = [number for number in sides(group) if number is not None]
    if not numbers:
        return None, 0.0
    winner = max(dict.fromkeys(numbers), key=numbers.count)
    return winner, numbers.count(winner) / len(group)


def mean(values: Iterable[float]) -> float | None:
    """Return the mean; `None` of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None
