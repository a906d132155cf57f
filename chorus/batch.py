"""Many questions: a file of them in, one record each out, and no work done twice.

The records are appended to the output as they come, each whole and on disk before the next; a run that was killed goes
on where it ended, after dropping the half line that it may have left. One process writes an output at a time. A
question whose debate failed has its record too, with the reason, also where it was by a fault of ours; only when the
engine itself is gone (several debates in a row whose every call failed) does the run end early, leaving these and the
rest for the next start.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import filelock

from chorus import whole_file
from chorus.chorus import Chorus, as_question
from chorus.errors import ConfigError, RecordError
from chorus.outcome import Fault, outcome
from chorus.question_file import read_questions
from chorus.record import jsonl, transcript
from chorus.route import understood
from chorus.types import SCHEMA, Answer, Question

Advance = Callable[[int, int, str], None]
"""Is told how many questions have their record, of how many, and the newest id."""

GIVE_UP_AFTER = 3
"""Debates in a row in which every call failed, after which the engine is taken to be gone."""

HEAD = f'{{"schema":{SCHEMA},"id":"'.encode()
"""How every record begins."""


@dataclass
class Summary:
    """How a run ended."""

    total: int = 0
    """Questions in the input."""
    found: int = 0
    """Of these, already answered by an earlier run."""
    done: int = 0
    """Answered by this one."""
    failed: list[str] = field(default_factory=list)
    """Ids of the questions whose debate came to nothing, in this run or an earlier one."""
    faults: dict[str, str] = field(default_factory=dict)
    """Ids of those that a fault of ours ended in this run, and what it was. One that came before there was a debate to
    record leaves no record: the next start asks again."""
    gave_up: str | None = None
    """Why the run ended before its end."""

    @property
    def complete(self) -> bool:
        """Whether every question now has a record with an answer."""
        return not self.failed and self.gave_up is None

    def in_words(self) -> str:
        """Return one line for people."""
        words = f"{self.total} questions: {self.done} answered now, {self.found} before"
        if self.failed:
            names = ", ".join(self.failed[:3]) + (" …" if len(self.failed) > 3 else "")
            words += f", {len(self.failed)} failed ({names}; --retry-failed holds them again)"
        if ours := [name for name in self.failed if name in self.faults]:
            words += f", {len(ours)} of them by a fault of ours ({ours[0]}: {self.faults[ours[0]]})"
        return words + (f". Ended early: {self.gave_up}" if self.gave_up else "")


async def debate_file(
    chorus: Chorus,
    questions: Path,
    records: Path,
    *,
    concurrency: int = 8,
    retry_failed: bool = False,
    advance: Advance = lambda done, total, newest: None,
) -> Summary:
    """Hold a debate over every question that has no record yet.

    Args:
        chorus: holds the debates. It is closed at the end.
        questions: JSONL, see `Question`; each line needs an id of its own.
        records: JSONL, appended to; made if it isn't there.
        concurrency: debates at once.
        retry_failed: drop the records of failed debates first, and hold these again.
        advance: is told of progress.

    Raises:
        QuestionError: a faulty input.
        RecordError: an output that is no file of records, belongs to other questions, or can't be written.
        ConfigError: another process writes this output.
    """
    if concurrency < 1:
        raise ConfigError("--concurrency must be at least 1")
    asked = list(read_questions(questions))
    if records.exists() and questions.samefile(records):
        raise ConfigError("the records can't be written over the questions: name another file")
    if records.exists() and not records.is_file():
        raise RecordError(f"can't write {records}: not a plain file, which a run could go on with")
    with only_writer(records):
        known = _recover(records, asked, retry_failed=retry_failed)
        failed = [name for name, came_to_nothing in known.items() if came_to_nothing]
        summary = Summary(total=len(asked), found=len(known) - len(failed), failed=failed)
        run = _Run(chorus, records, summary, advance)
        async with chorus:
            await run.hold([question for question in asked if question.id not in known], concurrency)
        return summary


class _Run:
    """The workers of one run and what they share."""

    def __init__(self, chorus: Chorus, records: Path, summary: Summary, advance: Advance) -> None:
        self.summary = summary
        self._chorus = chorus
        self._records = records
        self._advance = advance
        self._unheard: list[Answer] = []
        """The newest debates if every call of theirs failed: not on record until the engine is known to be there."""

    async def hold(self, questions: list[Question], concurrency: int) -> None:
        waiting = iter(questions)
        self._advance(self._settled(), self.summary.total, "")

        async def work() -> None:
            # Workers share one iterator: each takes the next question as it comes free.
            for question in waiting:
                await self._one(question)
                if self.summary.gave_up:
                    return

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, len(questions))):
                    workers.create_task(work())
        except BaseExceptionGroup as group:
            # What stops one worker (a full disk, a persona that isn't there) would stop them all.
            raise group.exceptions[0] from None
        if not self.summary.gave_up:
            self._record(self._unheard)

    async def _one(self, question: Question) -> None:
        await self._chorus.open()  # whatever keeps the engine from opening is no single question's fault
        answer = await outcome(self._chorus.convene, question)
        if isinstance(answer, Fault):
            self._fault(question, answer)
            return
        if not every_call_failed(answer):
            self._record([*self._unheard, answer])
            self._unheard = []
            return
        self._unheard.append(answer)
        if len(self._unheard) >= GIVE_UP_AFTER:
            failures = f"the engine has failed {len(self._unheard)} debates in a row: {answer.reason}"
            self.summary.gave_up = self.summary.gave_up or failures

    def _fault(self, question: Question, fault: Fault) -> None:
        self.summary.faults[question.id] = fault.what
        if fault.record:
            self._record([fault.record])
        else:
            self.summary.failed.append(question.id)
            self._advance(self._settled(), self.summary.total, question.id)

    def _record(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            transcript.append(answer, self._records)
            if answer.status == "failed":
                self.summary.failed.append(answer.question.id)
            else:
                self.summary.done += 1
            self._advance(self._settled(), self.summary.total, answer.question.id)

    def _settled(self) -> int:
        return self.summary.found + self.summary.done + len(self.summary.failed)


def every_call_failed(answer: Answer) -> bool:
    """Tell a debate that an engine which is gone would leave, from one that failed by its question or its budget."""
    statuses = {turn.status for turn in answer.turns}
    asked = any(turn.usage.calls for turn in answer.turns)
    return answer.status == "failed" and asked and "failed" in statuses and "done" not in statuses


@contextmanager
def only_writer(records: Path) -> Iterator[None]:
    """Hold the right to write an output, a file or a folder of shards, or say that another process does."""
    if not records.absolute().parent.is_dir():
        raise RecordError(f"can't write {records}: there is no folder {records.parent}")
    place = Path(os.path.realpath(records))  # one lock, whatever name the output goes by
    lock = filelock.FileLock(place.parent / f".{place.name}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ConfigError(f"another process is writing {records}") from None
    except OSError as error:
        raise RecordError(f"can't write {records}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _recover(records: Path, asked: list[Question], *, retry_failed: bool) -> dict[str, bool]:
    """Return which of the ids have their record, and whether it says failed, after mending what a killed run left."""
    if not records.exists():
        return {}
    _drop_half_line(records)
    by_id = {question.id: question for question in asked}
    known: dict[str, bool] = {}
    kept: list[Answer] = []
    again = False
    for answer in transcript.read(records):
        name = answer.question.id
        if name in by_id and _asked(by_id[name]) != _asked(answer.question):
            raise another_question(records, name)
        if name in known:
            raise RecordError(f"{records} holds two records of {name!r}")
        if retry_failed and answer.status == "failed" and name in by_id:
            again = True
            continue
        known[name] = answer.status == "failed"
        if retry_failed:
            kept.append(answer)
    if again:
        _rewrite(records, kept)
    return {name: failed for name, failed in known.items() if name in by_id}


def _asked(question: Question) -> Question:
    """Return all of a question that its answer may depend on, as a record holds it."""
    return understood(as_question(question)).model_copy(update={"answer": None})


def another_question(records: Path, name: str) -> RecordError:
    """Return the refusal of an output that belongs to another input."""
    return RecordError(
        f"{records} answers another question under the id {name!r}, by its text, kind, choices or history: "
        "it belongs to another input"
    )


def _drop_half_line(records: Path) -> None:
    """Cut off what stands behind the last line break: a record that was being written when the run died."""
    try:
        with records.open("rb+") as stream:
            start = _last_line(stream)
            stream.seek(start)
            begins = stream.read(len(HEAD))
            if not HEAD.startswith(begins):
                raise RecordError(f"{records} ends with something else than a record: name another file")
            if begins:
                stream.truncate(start)
    except OSError as error:
        raise RecordError(f"can't write {records}: {error.strerror or error}") from error


def _last_line(stream: BinaryIO) -> int:
    """Return where the bytes behind the last line break begin: the end of the file, if there are none."""
    position = stream.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 65_536)
        stream.seek(start)
        at = stream.read(position - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        position = start
    return 0


def _rewrite(records: Path, kept: list[Answer]) -> None:
    """Replace the file, so that a crash leaves the old one or the new one."""
    lines = b"".join(jsonl.dumps(answer).encode() + b"\n" for answer in kept)
    try:
        whole_file.put(records, lines, sync=True)
    except OSError as error:
        raise RecordError(f"can't write {records}: {error.strerror or error}") from error
