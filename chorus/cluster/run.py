"""`chorus debate --ray`: a file of questions in, a folder of shards out, the debates held by workers anywhere.

The workers may die, and be handed the same question twice; whoever hands them out may deliver an answer twice. What is
written is exactly one record a question, since one process writes, and it writes an id once (`record.shards`). When that
process dies too, what came in since it last wrote is held again by the next start: at most `SHARD_S` seconds of answers.

A question that an engine had no word for, nor for any after it, may have met an engine that was gone. Such questions go
to new workers, again and again as long as these get anything done; if they don't, and it isn't a last one or two, the run
ends early and leaves them to the next start. Questions that were lost with their workers' processes are held again one by
one: those that are lost then too have failed, unless that befalls all of them. A fault of ours that ends a debate is that
question's failure, as on one machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from chorus.batch import GIVE_UP_AFTER, Advance, Summary, another_question, only_writer
from chorus.chorus import as_question
from chorus.cluster.worker import Reply
from chorus.errors import ChorusError, ConfigError
from chorus.question_file import Line, read_lines
from chorus.record.shards import SHARD_RECORDS, Row, Shards, hash_of, hash_of_text
from chorus.route import understood

SHARD_S = 5.0
"""Seconds that answers wait for others to be written with them."""

LOST = 4
"""So many times as many questions as may be under way are lost in a row only where no worker lives long."""


Replies = dict[str, Reply]
"""By the question's id."""


class Fleet(Protocol):
    """Holds debates somewhere. Every question is answered at least once, in any order."""

    at_once: int
    """Questions that may be under way."""

    def hold(self, lines: Sequence[str], *, alone: bool = False) -> Iterator[list[Reply]]:
        """Yield what becomes of the questions, given as lines of a question file; `alone`, no worker has two at once."""
        ...


class Refused(ChorusError):
    """No question can be held as it was asked for. The code is that of the worker's error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.reason)
        self.exit_code = reply.exit_code


def debate_shards(
    fleet: Fleet,
    questions: Path,
    records: Path,
    *,
    retry_failed: bool = False,
    advance: Advance = lambda done, total, newest: None,
    clock: Callable[[], float] = time.monotonic,
) -> Summary:
    """Hold a debate over every question that has no record yet.

    Args:
        fleet: holds the debates.
        questions: JSONL, see `Question`.
        records: a folder of shards, made if it isn't there; Parquet if its name ends in `.parquet`.
        retry_failed: drop the records of failed debates first, and hold these again.
        advance: is told of progress.
        clock: tells seconds.

    Raises:
        QuestionError: a faulty input.
        RecordError: an output that is no folder of shards, belongs to other questions, or can't be written.
        ConfigError: another process writes this output, or the settings don't fit.
    """
    if records.is_file():
        raise ConfigError(f"{records} is a file, and on Ray records go into a folder of shards: name another place")
    with only_writer(records):
        run = _Run(Shards(records), advance, clock)
        run.hold(fleet, run.missing(read_lines(questions), records, retry_failed=retry_failed))
        return run.summary


class _Run:
    """One start of a run: what is known, and what is waiting to be written."""

    def __init__(self, shards: Shards, advance: Advance, clock: Callable[[], float]) -> None:
        self.summary = Summary()
        self._shards = shards
        self._advance = advance
        self._clock = clock
        self._waiting: list[Row] = []
        self._since = clock()
        """When the oldest of them came in."""
        self._unbegun: set[str] = set()
        """Questions that failed and left nothing to write."""

    def missing(self, questions: Iterable[Line], records: Path, *, retry_failed: bool) -> dict[str, str]:
        """Return the questions without a record, as lines by id. Raises RecordError where a record is of another."""
        known, lines, again = self._shards.known, {}, set()
        for question in questions:
            self.summary.total += 1
            asked = known.asked.get(question.id)
            failed = question.id in known.failed
            if asked is not None and not _is(question, asked):
                raise another_question(records, question.id)
            if asked is None or (failed and retry_failed):
                whole = as_question(question.question())
                lines[question.id] = whole.model_dump_json(by_alias=True, exclude_defaults=True)
            elif failed:
                self.summary.failed.append(question.id)
            else:
                self.summary.found += 1
            if failed and retry_failed:
                again.add(question.id)
        self._shards.drop(again)
        return lines

    def hold(self, fleet: Fleet, lines: dict[str, str]) -> None:
        """Hold the questions, as often as that gets anything done."""
        self._tell("")
        left = lines
        try:
            while left:
                unheard, lost = self._pass(fleet, left)
                self._write()
                if lost:
                    unheard, lost = self._one_by_one(fleet, {name: left[name] for name in lost}, unheard)
                before, left = left, self._still(left)
                if len(left) == len(before):
                    self._settle(left, unheard, lost)
                    return
        finally:
            self._write()
            self.summary.failed += sorted(self._unbegun.difference(self._shards.known.asked))

    def _one_by_one(self, fleet: Fleet, lines: dict[str, str], unheard: Replies) -> tuple[Replies, Replies]:
        """Hold questions again that were lost, and take in which of them it was. Return what `_pass` does."""
        known = len(self._shards.known.asked)
        more, lost = self._pass(fleet, lines, alone=True)
        self._write()
        if len(self._shards.known.asked) > known or len(lost) < GIVE_UP_AFTER:
            for reply in lost.values():
                self._fail(reply)
            self._write()
        return unheard | more, lost

    def _still(self, lines: dict[str, str]) -> dict[str, str]:
        """Return the questions of which nothing has come."""
        known, unbegun = self._shards.known.asked, self._unbegun
        return {name: line for name, line in lines.items() if name not in known and name not in unbegun}

    def _pass(self, fleet: Fleet, lines: dict[str, str], alone: bool = False) -> tuple[Replies, Replies]:
        """Hand the questions out, and take in what comes. Return what engines had no word for at the end, and the lost."""
        unheard: Replies = {}
        lost: Replies = {}
        in_a_row, bearable = 0, GIVE_UP_AFTER if alone else max(GIVE_UP_AFTER, LOST * fleet.at_once)
        for replies in fleet.hold(list(lines.values()), alone=alone):
            for reply in replies:
                if reply.exit_code:
                    raise Refused(reply)
                if reply.lost:
                    lost[reply.id] = reply
                    in_a_row += 1
                    continue
                in_a_row = 0
                if reply.fault:
                    self._fault(reply)
                elif reply.unheard:
                    unheard[reply.id] = reply
                else:
                    unheard.clear()
                    self._take(reply)
            if len(unheard) > max(GIVE_UP_AFTER, fleet.at_once) or in_a_row > bearable:
                break
        return unheard, lost

    def _settle(self, left: dict[str, str], unheard: Replies, lost: Replies) -> None:
        """Decide over questions that nothing came of: they failed, or the engine is gone."""
        if len(left) < GIVE_UP_AFTER and all(name in unheard and unheard[name].record for name in left):
            for name in left:
                self._take(unheard[name])
            return
        reasons = [reply.reason for reply in unheard.values()]
        self.summary.gave_up = (
            f"the engine has failed {len(reasons)} debates in a row: {reasons[-1]}"
            if reasons
            else f"the workers' processes die: {len(lost)} questions were held one by one, and none outlived it"
            if lost
            else "no worker answered"
        )

    def _fault(self, reply: Reply) -> None:
        """Take in what a fault of ours left. It says nothing of the engine."""
        self.summary.faults[reply.id] = reply.fault
        self._fail(reply)

    def _fail(self, reply: Reply) -> None:
        if reply.record:
            self._take(reply)
        else:
            self._unbegun.add(reply.id)

    def _take(self, reply: Reply) -> None:
        if not self._waiting:
            self._since = self._clock()
        self._waiting.append(Row(*reply[:4]))
        if len(self._waiting) >= SHARD_RECORDS or self._clock() - self._since >= SHARD_S:
            self._write()

    def _write(self) -> None:
        """Write what is waiting, and count it: only what is on disk is done."""
        waiting, self._waiting = self._waiting, []
        written = self._shards.add(waiting)
        for row in written:
            if row.failed:
                self.summary.failed.append(row.id)
        self.summary.done += sum(not row.failed for row in written)
        if written:
            self._tell(written[-1].id)

    def _tell(self, newest: str) -> None:
        settled = self.summary.found + self.summary.done + len(self.summary.failed)
        self._advance(settled, self.summary.total, newest)


def _is(line: Line, known: int) -> bool:
    """Tell whether a question is the known one. Where records had to be read, that was hashed as it was understood."""
    asked = hash_of_text(line.text) if line.whole is None else hash_of(line.whole)
    return known == asked or known == hash_of(understood(as_question(line.question())))
