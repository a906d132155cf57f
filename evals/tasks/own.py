"""Questions of one's own, in a file: JSONL as `chorus debate` takes it, or CSV with the same fields as columns.

Each row needs `id`, `question` and `answer`; `kind` and `choices` are optional (in CSV, choices are parted by ` | `). A
row belongs to the split that its id names (`anything/dev/7`), else to the one that its text is dealt to.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chorus.errors import QuestionError
from chorus.types import Question
from evals.tasks.splits import SPLITS, Split, deal

SUFFIXES = (".jsonl", ".csv")
_COLUMNS = ("id", "question", "answer")


def is_file(name: str) -> bool:
    """Say whether a name means a file rather than a task."""
    return name.lower().endswith(SUFFIXES) or "/" in name


def read(path: str | Path, split: Split | None = None) -> list[Question]:
    """Return the questions of a file that belong to a split, in its order; without one, all of them.

    Raises:
        QuestionError: it can't be read, is no UTF-8, or a row is faulty: names the file, the line and the field.
    """
    path = Path(path).expanduser()
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _jsonl_rows(path)
    lines: dict[str, int] = {}
    questions = []
    for line, row in rows:
        question = _question(row, f"{path}, line {line}")
        if question.id in lines:
            raise QuestionError(f"{path}, line {line}: id: {question.id!r} is that of line {lines[question.id]} too")
        lines[question.id] = line
        questions.append(question)
    if not questions:
        raise QuestionError(f"{path} holds no question")
    return [question for question in questions if split is None or split_of(question) == split]


def split_of(question: Question) -> Split:
    """Return the split that a question's id names, else the one that its text is dealt to."""
    named = question.id.split("/")[-2:-1]
    for split in SPLITS:
        if named == [split]:
            return split
    return deal(question.text)


def _question(row: dict[str, Any], where: str) -> Question:
    for name in _COLUMNS:
        if not str(row.get(name) if row.get(name) is not None else "").strip():
            raise QuestionError(f"{where}: {name}: is missing or empty")
    row = {name: value for name, value in row.items() if value not in (None, "")}
    for name in _COLUMNS:
        # A number is what it looks like; JSON may hold it bare.
        row[name] = str(row[name]) if isinstance(row[name], int | float) else row[name]
    try:
        return Question.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        raise QuestionError(f"{where}: {'.'.join(map(str, first['loc'])) or 'the row'}: {first['msg']}") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise QuestionError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise QuestionError(
            f"{path}, line {line}: (encoding): is not UTF-8: {error.reason}; save it as UTF-8"
        ) from None


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            raise QuestionError(f"{path}, line {line}: (row): is not JSON") from None
        if not isinstance(row, dict):
            raise QuestionError(f"{path}, line {line}: (row): is not a JSON object")
        yield line, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row with the number of its last line."""
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in rows.fieldnames or ()]
        for name in _COLUMNS:
            if columns.count(name) != 1:
                raise QuestionError(
                    f"{path}, line 1: {name}: one column of this name is needed, of {', '.join(columns)}"
                )
        rows.fieldnames = columns
        for row in rows:
            if None in row or None in row.values():
                raise QuestionError(f"{path}, line {rows.line_num}: (row): has not one cell for each column")
            if row.get("choices"):
                row["choices"] = [choice.strip() for choice in row["choices"].split(" | ")]
            yield rows.line_num, row
    except csv.Error as error:
        raise QuestionError(f"{path}, line {rows.line_num}: (row): is not CSV: {error}") from None
