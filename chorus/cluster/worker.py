"""A worker: one engine, opened again when it dies, and as many debates at once as it was told.

It knows nothing of Ray. Questions come in by the block, from several threads; all debates share one event loop, and with
it one engine, so that a block that waits for its last debates leaves the engine to the others. What becomes of a block's
questions is told in their order, a few at a time: a caller who has lost a worker and asks another again, passing over as
many replies as it has had, has one of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chorus.batch import every_call_failed
from chorus.chorus import Chorus, LoopThread
from chorus.config import Settings
from chorus.debate.scheduler import Debate
from chorus.engines import registry
from chorus.engines.reopened import Reopened
from chorus.errors import ChorusError, EngineError
from chorus.outcome import Fault, outcome, told
from chorus.record import shards
from chorus.types import Question
from personas import Persona, PersonaError


class Reply(NamedTuple):
    """What became of one question."""

    id: str
    asked: int
    """What it hashes to."""
    failed: bool
    """Whether the debate came to nothing."""
    record: str
    """The record as JSON; empty where there is none."""
    unheard: bool = False
    """Whether the engine gave no word to this debate, nor to any since: that may be the engine, not the question."""
    reason: str = ""
    """Why it failed, or why no question can be held."""
    exit_code: int = 0
    """Above 0 where no question can be held: a setting that doesn't fit, a persona that isn't there."""
    fault: str = ""
    """The fault of ours that ended this debate, if one did. Without a record it came before there was a debate."""
    lost: bool = False
    """Whether its workers' processes died while they had it, as often as they may. It, or one beside it, may kill them."""


Held = asyncio.Task[tuple[Reply, int]]
"""Comes to a reply, and to how many debates the engine had had a word for by then."""


class Unopened(ChorusError):
    """The engine can't be opened, by a fault of ours."""

    exit_code = 1


class Worker:
    """Holds debates.

    Args:
        settings: how.
        personas: the cast, where it was named; `None` leaves it to the settings.
        concurrency: debates at once.
        folder: which relative paths in the settings start from, where this machine has it.
    """

    def __init__(self, settings: Settings, personas: Sequence[Persona] | None, concurrency: int, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._engine = Reopened(settings.engine, settings.engine_options)
        self._chorus = Chorus(self._engine, personas, settings=settings)
        self._loop = LoopThread(registry.event_loop(settings.engine))
        self._room = asyncio.Semaphore(concurrency)
        self._together = max(1, concurrency // 4)
        """Questions whose replies are told at once."""
        self._patience_s = settings.patience_s
        self._heard = 0
        """Debates that the engine had a word for."""

    def hold(self, lines: Sequence[str]) -> Iterator[list[Reply]]:
        """Hold a debate over each question, given as a line of a question file. Called from any thread."""
        debates = self._loop.run(self._begin(lines))
        for at in range(0, len(debates), self._together):
            end = at + self._together
            yield self._loop.run(self._replies(debates[at:end], debates[end:]))

    def give_up(self, line: str, reason: str) -> Reply:
        """Return the failure of a debate that is planned and not held, as one may be that would end the process."""
        return self._loop.run(self._planned(Question.model_validate_json(line), reason))

    def close(self) -> None:
        """Close the engine."""
        self._loop.run(self._engine.aclose())
        self._loop.stop()

    async def _begin(self, lines: Sequence[str]) -> list[Held]:
        return [asyncio.create_task(self._one(Question.model_validate_json(line))) for line in lines]

    async def _replies(self, debates: Sequence[Held], later: Sequence[Held]) -> list[Reply]:
        """Return what becomes of some debates; of one without a word only when there was one for a later one, or none is."""
        held = await asyncio.gather(*debates)
        while later and any(reply.unheard and reply.record and self._heard == heard for reply, heard in held):
            _, others = await asyncio.wait(later, return_when=asyncio.FIRST_COMPLETED)
            later = list(others)
        # One without a record was never held: whatever came afterwards, it is to be held again.
        return [
            reply._replace(unheard=False) if reply.record and self._heard > heard else reply for reply, heard in held
        ]

    async def _one(self, question: Question) -> tuple[Reply, int]:
        """Return what becomes of a question, and how many debates had been heard by then."""
        asked = shards.hash_of(question)
        async with self._room:
            try:
                answer = await outcome(self._convened, question)
            except EngineError as error:  # it can't be opened, here and now
                return Reply(question.id, asked, True, "", unheard=True, reason=str(error)), self._heard
            except (ChorusError, PersonaError) as error:
                return Reply(question.id, asked, True, "", reason=str(error), exit_code=error.exit_code), self._heard
        if isinstance(answer, Fault):
            record = shards.row(answer.record).record if answer.record else ""
            return Reply(question.id, asked, True, record, reason=answer.what, fault=answer.what), self._heard
        unheard = every_call_failed(answer)
        self._heard += not unheard
        row = shards.row(answer)._replace(asked=asked)
        return Reply(*row, unheard=unheard, reason=answer.reason or ""), self._heard

    async def _planned(self, question: Question, reason: str) -> Reply:
        record = ""
        with contextlib.suppress(Exception):  # where it can't even be planned there is nothing to record
            record = shards.row((await self._convened(question)).failed(reason)).record
        return Reply(question.id, shards.hash_of(question), True, record, reason=reason, lost=True)

    async def _convened(self, question: Question) -> Debate:
        """Wait for the engine: a worker without one would draw questions away from those that have theirs."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience_s
        while True:
            try:
                await self._open()
                return await self._chorus.convene(question)
            except EngineError:
                if clock() >= until:
                    raise
                await asyncio.sleep(1.0)

    async def _open(self) -> None:
        """Open the engine. Raises ChorusError, whatever keeps it from opening: that is no single question's fault."""
        try:
            await self._engine.open()
        except ChorusError:
            raise
        except Exception as error:
            raise Unopened(f"the engine can't be opened, by a fault of ours: {told(error)}") from error
