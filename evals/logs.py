"""From Inspect's logs to outcomes: what a folder of them says came of each question.

A log is one cell (system, task, seed), or the part of one that a start of the run did; which, its metadata says. Where
a question comes twice, one that did not fail goes before one that did, and the newer before the older.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalLog,
    EvalSample,
    read_eval_log,
    read_eval_log_sample_summaries,
    read_eval_log_samples_by_id,
)

from chorus.errors import RecordError
from chorus.types import Answer
from evals import samples
from evals.outcomes import Outcome, outcome

CELL = ("system", "task", "split", "seed", "engine")
"""What a log's metadata names of its cell."""

UNREAD = {"events", "messages", "events_data", "attachments", "timelines"}
"""Fields of a sample that say nothing here, and make up most of it."""


def read(folder: Path) -> Iterator[Outcome]:
    """Yield the outcome of every sample in the logs of a folder, oldest log first; logs of other runs are passed over.

    A log whose run was killed, or is still writing it, is read as far as it was written.

    Raises:
        RecordError: a log is damaged.
    """
    for path in sorted(folder.glob("*.eval")):
        state = path.stat()
        yield from _as_it_stands(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4096)
def _as_it_stands(path: Path, changed_ns: int, size: int) -> tuple[Outcome, ...]:
    """Return what a log says; one that has not changed is not read again, as often as a run looks at what it has."""
    # A log is replaced as a whole with each sample: what is read bit by bit must be one state of it.
    with tempfile.TemporaryDirectory() as place:
        snapshot = shutil.copyfile(path, Path(place) / path.name)
        try:
            return tuple(_of_log(snapshot))
        except (ValueError, LookupError, zipfile.BadZipFile) as error:
            raise RecordError(f"can't read the log {path}: {error}; remove it to ask its questions again") from error


def _of_log(path: Path) -> list[Outcome]:
    log = read_eval_log(path, header_only=True)
    if not set(CELL) <= set(log.eval.metadata or {}):
        return []
    names = [(summary.id, summary.epoch) for summary in read_eval_log_sample_summaries(path)]
    return [of_sample(sample, log) for sample in read_eval_log_samples_by_id(path, names, exclude_fields=UNREAD)]


def of_sample(sample: EvalSample, log: EvalLog) -> Outcome:
    """Return what came of a sample. One whose solver crashed has no record, and failed with its error as the reason."""
    cell: dict[str, Any] = log.eval.metadata or {}
    record = samples.kept(sample.store)
    if record is not None and sample.error is None:
        return outcome(_with_answer(record, sample), cell["system"], cell["task"], cell["split"])
    return Outcome(
        system=cell["system"],
        task=cell["task"],
        split=cell["split"],
        question=str(sample.id),
        seed=cell["seed"],
        engine=cell["engine"],
        status="failed",
        reason=sample.error.message if sample.error else "there is no record",
        gold=str(sample.target),
        calls=0,
        prompt_tokens=0,
        cached_tokens=0,
        completion_tokens=0,
        wall_s=sample.total_time or 0.0,
    )


def together(*found: Iterable[Outcome]) -> list[Outcome]:
    """Return one outcome of each key, in the order of the keys; later ones go before earlier, failures behind all."""
    best: dict[tuple[str, str, int, str], Outcome] = {}
    for one in (one for several in found for one in several):
        before = best.get(one.key)
        if before is None or before.status == "failed" or one.status != "failed":
            best[one.key] = one
    return [best[key] for key in sorted(best, key=_natural)]


def _with_answer(record: Answer, sample: EvalSample) -> Answer:
    return record.model_copy(update={"question": record.question.model_copy(update={"answer": str(sample.target)})})


def _natural(key: tuple[str, str, int, str]) -> tuple[str, str, int, tuple[tuple[int, str], ...]]:
    """Order numbers in a question's id by their size."""
    *before, question = key
    parts = tuple((int(part), "") if part.isdecimal() else (-1, part) for part in question.split("/"))
    return (*before, parts)  # type: ignore[return-value]
