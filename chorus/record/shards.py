"""Records in shards: a folder of whole files, to which one process adds and which anybody may read.

    OUT/part-000000.jsonl       records, one a line; or, where OUT ends in `.parquet`,
    OUT/part-000000.parquet     one a row: the record as JSON, its id, status, answer and confidence beside it
    OUT/.part-000000.index      what a JSONL shard holds, so that nobody has to read it to know; made again when it is gone

Invariants:

- a shard appears whole or not at all: it is written under another name, is on disk, and is renamed then;
- what comes in little by little makes no heap of small shards, each of which takes time to open: as long as there is room
  in the newest shard of this writer, it is replaced by one that holds more, and a kill leaves the old one or the new one;
- an id is added once, however often it is handed in;
- an id that stands there twice all the same (folders that were thrown together) stays where it comes first, by the
  shards' names and then by line, and is dropped where it comes again; half a last line is dropped too.

Parquet needs pyarrow, which comes with the extra `ray`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from chorus import whole_file
from chorus.errors import MissingExtra, NotSaved, RecordError
from chorus.record import jsonl
from chorus.types import Answer, Question

PARQUET, INDEX = ".parquet", ".index"

VERSION = 2
"""Of an index. The first, which had no such number, knew a question by its text alone, as did Parquet's `asked`: in their
stead the records are read."""

SHARD_RECORDS = 500
"""Records in one shard, at most but for what comes in together."""


class Row(NamedTuple):
    """A record on its way into a shard."""

    id: str
    """The question's."""
    asked: int
    """What it hashes to (`hash_of`)."""
    failed: bool
    record: str
    """The record as one line of JSON."""


@dataclass
class Known:
    """What the shards of a folder hold."""

    asked: dict[str, int] = field(default_factory=dict)
    """By the question's id: what it hashes to, as it was asked or as its record holds it."""
    failed: set[str] = field(default_factory=set)
    """Ids whose record says failed."""


def hash_of(question: Question) -> int:
    """Return 63 bits that tell one question from another, by all that it says but its id and the right answer."""
    more = question.model_dump_json(exclude={"id", "text", "answer"}, exclude_defaults=True)
    return hash_of_text(question.text if more == "{}" else f"{question.text}\0{more}")


def hash_of_text(text: str) -> int:
    """Return what a question hashes to that says no more than this."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def row(answer: Answer) -> Row:
    """Return a record as it goes into a shard."""
    question = answer.question
    return Row(question.id, hash_of(question), answer.status == "failed", jsonl.dumps(answer))


def read(folder: str | Path) -> Iterator[Answer]:
    """Yield the records of a folder of shards, in the order of the shards. Raises RecordError."""
    with _told(f"can't read {folder}", RecordError):
        for shard in _shards(Path(folder)):
            yield from (jsonl.loads(line, where) for where, line in _lines(shard))


class Shards:
    """The folder as its one writer sees it. Opening it mends what a crash, or a person, left.

    Args:
        folder: made if it isn't there. A name that ends in `.parquet` makes Parquet of it.

    Raises:
        RecordError: it can't be written, or holds something else than shards of records.
        MissingExtra: it is Parquet, and pyarrow is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._suffix = PARQUET if folder.suffix == PARQUET else ".jsonl"
        self._folder = folder
        self.known = Known()
        """What is there."""
        if self._suffix == PARQUET:
            _parquet()
        with _told(f"can't write {folder}", RecordError):
            folder.mkdir(exist_ok=True)
            shards = _shards(folder)
            if odd := next((shard for shard in shards if shard.suffix != self._suffix), None):
                raise RecordError(f"{folder} holds {odd.name}, and shards of {self._suffix[1:]} were to go there")
            for shard in shards:
                self._take_in(shard)
            for left in folder.glob(".part-*.partial"):
                if Path(left.stem).suffix in (self._suffix, INDEX):
                    left.unlink()
        numbers = (shard.stem.partition("-")[2] for shard in shards)  # Folders thrown together may hold other names.
        self._next = 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)
        self._newest: list[Row] = []
        """What the shard of that number holds as yet."""

    def add(self, rows: Iterable[Row]) -> list[Row]:
        """Write the rows whose ids are new into one shard, and return them, once it is on disk. Raises RecordError."""
        new: dict[str, Row] = {}
        for row in rows:
            if row.id not in self.known.asked:
                new.setdefault(row.id, row)
        if fresh := list(new.values()):
            if len(self._newest) + len(fresh) > SHARD_RECORDS:
                self._end_newest()
            rows = [*self._newest, *fresh]
            with _told(f"can't save debates to {self._folder}"):
                self._put(self._folder / f"part-{self._next:06}{self._suffix}", rows)
            self._newest = rows
            self._note(_Held.of(fresh))
        return fresh

    def drop(self, ids: set[str]) -> None:
        """Take records out: each shard that holds one is replaced as a whole. Raises RecordError."""
        self._end_newest()
        with _told(f"can't save debates to {self._folder}"):
            for shard in _shards(self._folder) if ids else ():
                held = _held(shard)
                if not ids.isdisjoint(held.ids):
                    self._keep(shard, held, [name not in ids for name in held.ids])
        for name in ids:
            self.known.asked.pop(name, None)
        self.known.failed -= ids

    def _end_newest(self) -> None:
        """Have what comes next written into a shard of its own."""
        self._next += bool(self._newest)
        self._newest = []

    def _take_in(self, shard: Path) -> None:
        held = _held(shard)
        before = len(self.known.asked)
        if self.known.asked.keys().isdisjoint(held.ids) and len(set(held.ids)) == len(held.ids):
            self._note(held)
            return
        keep = []
        for name, asked in zip(held.ids, held.asked, strict=True):
            keep.append(name not in self.known.asked)
            self.known.asked.setdefault(name, asked)
        added = set(list(self.known.asked)[before:])
        self.known.failed |= set(held.failed) & added
        self._keep(shard, held, keep)

    def _note(self, held: _Held) -> None:
        self.known.asked.update(zip(held.ids, held.asked, strict=True))
        self.known.failed.update(held.failed)

    def _keep(self, shard: Path, held: _Held, keep: Sequence[bool]) -> None:
        """Replace a shard by those of its records that are to stay."""
        there = zip(_lines(shard), held.asked, keep, strict=True)
        if rows := [row(jsonl.loads(line))._replace(asked=asked) for (_, line), asked, stays in there if stays]:
            self._put(shard, rows)
        else:
            _index_of(shard).unlink(missing_ok=True)
            shard.unlink()

    def _put(self, shard: Path, rows: Sequence[Row]) -> None:
        """Write a shard so that it is there as a whole or not at all."""
        if shard.suffix == PARQUET:
            whole_file.replace(shard, lambda path: _write_parquet(path, rows), sync=True)
        else:
            text = "".join(f"{row.record}\n" for row in rows).encode()
            whole_file.put(shard, text, sync=True)
            _Held.of(rows).write(shard)


class _Held(NamedTuple):
    """What a shard holds."""

    ids: list[str]
    asked: list[int]
    failed: list[str]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Held:
        return cls([row.id for row in rows], [row.asked for row in rows], [row.id for row in rows if row.failed])

    def write(self, shard: Path) -> None:
        """Write it beside the shard. It holds for a shard of this length only."""
        index = json.dumps({"bytes": shard.stat().st_size, "version": VERSION, **self._asdict()})
        whole_file.put(_index_of(shard), index, sync=True)

    @classmethod
    def read(cls, shard: Path) -> _Held | None:
        """Return what stands beside the shard, if it is about the shard as it is."""
        try:
            index = json.loads(_index_of(shard).read_bytes())
            fits = (index.pop("bytes"), index.pop("version")) == (shard.stat().st_size, VERSION)
            return cls(**index) if fits else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def _held(shard: Path) -> _Held:
    """Return what a shard holds, as cheaply as it can be had."""
    if shard.suffix == PARQUET:
        return _held_in_parquet(shard)
    if held := _Held.read(shard):
        return held
    rows = [row(jsonl.loads(line, where)) for where, line in _lines(shard)]
    held = _Held.of(rows)
    text = sum(len(row.record.encode()) + 1 for row in rows)
    if text < shard.stat().st_size and not shard.read_bytes().endswith(b"\n"):
        whole_file.put(shard, "".join(f"{row.record}\n" for row in rows), sync=True)
    held.write(shard)
    return held


def _shards(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("part-*") if path.suffix in (PARQUET, ".jsonl"))


def _index_of(shard: Path) -> Path:
    return shard.with_name(f".{shard.stem}{INDEX}")


def _lines(shard: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield a shard's records as JSON, and where each stands. Half a last line of JSONL is passed over."""
    if shard.suffix == PARQUET:
        with _opened(shard) as file:
            number = 0
            for batch in file.iter_batches(columns=["record"]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield f"{shard}, row {number}", value
        return
    with shard.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.endswith(b"\n"):
                yield f"{shard}, line {number}", line


def _held_in_parquet(shard: Path) -> _Held:
    columns = ["id", "question_hash", "status"]
    with _opened(shard) as file:
        if "question_hash" not in file.schema_arrow.names:
            return _Held.of([row(jsonl.loads(line, where)) for where, line in _lines(shard)])
        table = file.read(columns=columns, use_threads=False)  # for so little, threads take longer than the work
    ids, asked, statuses = (table[name].to_numpy().tolist() for name in columns)
    return _Held(ids, asked, [name for name, status in zip(ids, statuses, strict=True) if status == "failed"])


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    arrow, parquet = _parquet()
    records = [json.loads(row.record) for row in rows]
    table = arrow.table(
        {
            "id": [row.id for row in rows],
            "question_hash": arrow.array([row.asked for row in rows], arrow.int64()),
            "status": [record["status"] for record in records],
            "answer": arrow.array([record["answer"] for record in records], arrow.string()),
            "confidence": arrow.array([record["confidence"] for record in records], arrow.float64()),
            "record": [row.record for row in rows],
        }
    )
    parquet.write_table(table, path, compression="zstd")


def _opened(shard: Path) -> Any:
    arrow, parquet = _parquet()
    try:
        file = parquet.ParquetFile(shard)
    except arrow.ArrowInvalid as error:
        raise RecordError(f"{shard} is no whole Parquet file: remove it, and its questions are asked again") from error
    if not {"id", "status", "record"} <= set(file.schema_arrow.names):
        file.close()
        raise RecordError(f"{shard} holds no records of debates: name another folder")
    return file


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("a folder of Parquet shards", "ray") from error
    return pyarrow, pyarrow.parquet


@contextmanager
def _told(what: str, error: type[RecordError] = NotSaved) -> Iterator[None]:
    """Tell of faults of the disk as errors of ours."""
    try:
        yield
    except OSError as fault:
        raise error(f"{what}: {fault.strerror or fault}") from fault
