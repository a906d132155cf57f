"""Debates on disk: one record a line (`jsonl`).

A file of one record is what `--save` writes, a file of many what `chorus debate` writes, a folder of such files what it
writes on Ray (`shards`); all are read the same way. A last line that was cut off by a crash is not a record, and is told
apart from a damaged file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from chorus.errors import NotSaved, RecordError
from chorus.record import jsonl, shards
from chorus.types import Answer

MAX_LINE_BYTES = 256 << 20
"""A longer line is not a debate."""


def append(answer: Answer, path: str | Path) -> None:
    """Add a record to a file, and return when it is on disk.

    Raises:
        NotSaved: it could not be written (a full disk, a missing folder, a missing right). Nothing of it was.
    """
    try:
        with FileIO(path, "a") as file:
            _write(file, _line_break_owed(path) + jsonl.dumps(answer).encode() + b"\n")
    except OSError as error:
        raise NotSaved(f"can't save the debate to {path}: {error.strerror or error}") from error


def read(path: str | Path) -> Iterator[Answer]:
    """Yield the records of a file, or of a folder of shards, in order.

    Raises:
        RecordError: the file can't be read, or a line is not a record; names the line and the field.
    """
    if os.path.isdir(path):
        yield from shards.read(path)
        return
    try:
        with open(path, "rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES), b""), 1):
                if line.strip():
                    yield jsonl.loads(line, f"{path}, line {number}")
    except OSError as error:
        raise RecordError(f"can't read {path}: {error.strerror or error}") from error


def _write(file: FileIO, line: bytes) -> None:
    """Write the whole line or none of it: half a line would make the next record unreadable."""
    on_disk = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    start = file.tell() if on_disk else 0
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        if on_disk:
            os.fsync(file.fileno())
    except BaseException:
        if on_disk:
            file.truncate(start)
        raise


def _line_break_owed(path: str | Path) -> bytes:
    """Return the line break that a file's last line lacks, if a crash or a person left it without one."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return b""
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return b"" if file.read() == b"\n" else b"\n"
