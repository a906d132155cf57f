"""What a study has found so far, kept line by line: one that was interrupted goes on where it ended.

    with opened(folder / "beliefs.part", Belief, made_with) as log:
        rows = await log.once("chorus/urn-3/before", ask)      # asks, or returns what was found before

The first line says what the study was begun with; another study is refused. A piece of work is one line, whole and on
disk before the next; half a line, of a run that was killed while it wrote, is dropped. What failed is not kept, so that
the next run tries it again. At its end the study has its results, and the file is deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import filelock
from pydantic import ValidationError

from chorus.batch import Advance
from chorus.errors import ConfigError, RecordError
from chorus.types import Frozen

Row = TypeVar("Row", bound=Frozen)


class Logbook(Generic[Row]):
    """Keeps rows of one kind, in memory; in a file too where `opened` made it."""

    def __init__(
        self,
        file: BinaryIO | None = None,
        found: Mapping[str, Sequence[Row]] | None = None,
        told: Callable[[int, str], None] = lambda done, name: None,
    ) -> None:
        self._file = file
        self._found = dict(found or {})
        self._told = told

    async def once(self, name: str, work: Callable[[], Awaitable[tuple[Sequence[Row], bool]]]) -> Sequence[Row]:
        """Return the rows of this name: those that were found before, else what the work finds, which is kept.

        Args:
            name: of the piece of work, the same in every run.
            work: finds the rows, and tells whether all went well; only then are they kept for the next run.

        Raises:
            RecordError: it can't be written.
        """
        if name not in self._found:
            self._found[name], well = await work()
            if self._file and well:
                rows = [row.model_dump(mode="json") for row in self._found[name]]
                _write(self._file, {"name": name, "rows": rows})
        self._told(len(self._found), name)
        return self._found[name]


@contextmanager
def opened(
    path: Path,
    kind: type[Row],
    made_with: Mapping[str, Any],
    *,
    pieces: int = 0,
    advance: Advance = lambda done, total, newest: None,
) -> Iterator[Logbook[Row]]:
    """Open a study's logbook, which is made if it isn't there, and deleted if what is done with it ends well.

    Args:
        path: of the file; one process at a time has it.
        kind: of the rows.
        made_with: all that the rows depend on, as JSON.
        pieces: of work that the study has.
        advance: is told how many of them are done, of how many, and the newest one's name.

    Raises:
        ConfigError: the file belongs to another study, or another process has it.
        RecordError: it can't be read or written, or is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{path}.lock", timeout=0)
        lock.acquire()
        file = path.open("a+b")
    except filelock.Timeout:
        raise ConfigError(f"another process holds this study: {path}") from None
    except OSError as error:
        raise RecordError(f"can't open {path}: {error.strerror or error}") from error
    with lock, file:
        found = _read(file, path, kind, json.loads(json.dumps(dict(made_with))))
        if not file.tell():
            _write(file, {"study": dict(made_with)})
        yield Logbook(file, found, lambda done, name: advance(done, pieces, name))
        path.unlink()
    Path(f"{path}.lock").unlink(missing_ok=True)


def _write(file: BinaryIO, line: Mapping[str, Any]) -> None:
    try:
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise RecordError(f"can't write {file.name}: {error.strerror or error}") from error


def _read(file: BinaryIO, path: Path, kind: type[Row], made_with: Any) -> dict[str, Sequence[Row]]:
    """Return what was found before, and cut off half a line at the end."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    file.truncate(len(whole))
    file.seek(0, os.SEEK_END)
    found: dict[str, Sequence[Row]] = {}
    for number, line in enumerate(whole.splitlines()):
        try:
            value = json.loads(line)
            if number:
                found[value["name"]] = [kind.model_validate(row) for row in value["rows"]]
                continue
            begun_with = value["study"]
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise RecordError(f"{path}, line {number + 1}, is damaged: {error}. Delete it to begin anew") from error
        if begun_with != made_with:
            raise ConfigError(f"{path} was begun with other settings: choose another folder, or delete it")
    return found
