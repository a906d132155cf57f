"""A file of questions: one JSON object a line, with the fields of `Question`.

Every line is judged before anything is asked, whether or not its question is answered already. A run that goes on reads
mostly lines of the latter sort, so those that hold an id and a question and nothing else, as most do, are judged without
a model; all others go through `Question`, and either way the same lines are refused in the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json

from chorus.debate.prompts import plain
from chorus.errors import QuestionError
from chorus.types import MAX_QUESTION_CHARS, MAX_QUESTION_ID_CHARS, Question


class Line(NamedTuple):
    """One question of a file."""

    id: str
    text: str
    whole: Question | None
    """None where the line says no more than the two."""

    def question(self) -> Question:
        """Return all that the line says."""
        return self.whole or Question(id=self.id, text=self.text)


def read_questions(path: Path) -> Iterator[Question]:
    """Yield the questions of a file, as `read_lines`."""
    return (line.question() for line in read_lines(path))


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the questions of a file. A line that says again what an earlier one says counts once.

    Raises:
        QuestionError: the file can't be read, a line is faulty (its number and field are named), or two questions have
            one id.
    """
    seen: dict[str, tuple[int, int]] = {}
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = _short(raw)
                if line is None:
                    if raw.isspace():
                        continue
                    line = _long(raw, f"{path}, line {number}")
                said = hash(line.text) if line.whole is None else hash(line.whole)
                earlier, before = seen.setdefault(line.id, (number, said))
                if before != said:
                    raise QuestionError(f"{path}, line {number}: the id {line.id!r} is that of line {earlier}")
                if earlier == number:
                    yield line
    except OSError as error:
        raise QuestionError(f"can't read {path}: {error.strerror or error}") from error
    if not seen:
        raise QuestionError(f"{path} holds no question")


def _short(raw: bytes) -> Line | None:
    """Return what a line says that holds two fine strings; None leaves it to `_long`."""
    try:
        data = from_json(raw, cache_strings="keys")
    except ValueError:
        return None
    if type(data) is not dict or len(data) != 2:
        return None
    name, text = data.get("id"), data.get("question")
    if (
        type(name) is str
        and type(text) is str
        and len(name) <= MAX_QUESTION_ID_CHARS
        and len(text) <= MAX_QUESTION_CHARS
        # What begins with a letter or a digit isn't empty.
        and name[:1].isalnum()
        and text[:1].isalnum()
    ):
        return Line(name, text, None)
    return None


def _long(raw: bytes, where: str) -> Line:
    try:
        data: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise QuestionError(f"{where}: not JSON") from None
    if not isinstance(data, dict):
        raise QuestionError(f"{where}: not a JSON object")
    for name in ("id", "question"):
        if not plain(str(data.get(name) or "")).strip():
            raise QuestionError(f"{where}: {name} is missing or empty")
    try:
        question = Question.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise QuestionError(f"{where}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    short = Line(question.id, question.text, None)
    return short if short.question() == question else Line(question.id, question.text, question)
