"""Files that a step leaves: each whole, old or new, whenever it is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from chorus import whole_file
from chorus.errors import RecordError


class NotWritten(RecordError):
    """A step's file could not be written: a full disk, a missing right. What stood there stands there still."""

    exit_code = 3


def put(path: Path, text: str) -> None:
    """Replace a file as a whole. Raises NotWritten."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.put(path, text, sync=True)
    except OSError as error:
        raise NotWritten(f"can't write {path}: {error.strerror or error}") from error


def put_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a JSONL file as a whole. Raises NotWritten."""
    put(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def text_of(path: Path) -> str:
    """Return a file's text. Raises RecordError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from error


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file. Raises RecordError, naming the line."""
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                raise RecordError(f"{path}, line {number}: not JSON") from None
            if not isinstance(row, dict):
                raise RecordError(f"{path}, line {number}: not a JSON object")
            yield row
