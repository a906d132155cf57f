"""The workers on a Ray cluster that hold debates, as an actor pool of Ray Data.

Questions go out in blocks, answers come back one by one. A worker has two blocks in hand, so that it is never idle while
the next is on the way: Ray Data hands one out when a worker has room and the answers that nobody has read yet have room
in the object store. A block is a share of what is left, within bounds: large ones first, for a million questions are not
to be a million objects, and small ones at the end, so that all workers end together. A worker whose process or node dies
is started elsewhere, and its blocks are handed out again. Ray would do so for ever, so an actor beside the run counts how
often each was begun, and a worker refuses one that has ended `TRIES` processes: its questions are lost, but for those that
were answered already. Progress bars, dashboards and reports of usage are off.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from chorus.cluster.joining import SHARE_OF_CPU, Cluster
from chorus.cluster.worker import Reply, Worker
from chorus.config import Settings
from chorus.errors import ChorusError
from chorus.outcome import told
from chorus.record.shards import hash_of
from chorus.types import Question
from personas import Library, PersonaError

IN_HAND = 2
"""Blocks that a worker has at once."""

LENGTHS = 4
"""A block takes a worker so many debates' time, at most: what it had in hand is held again when it dies."""

SHARES = 4
"""A block is no more than the part of what is left that it would be if each worker took so many more."""


TRIES = 2
"""How often a block may end the process of its worker: once may be the machine's fault."""


class RayFailed(ChorusError):
    """The cluster ended the run. What there is, is kept."""

    exit_code = 3


class RayFleet(Cluster):
    """Workers on a cluster, for as long as the `with` block lasts.

    Args:
        address: `HOST:PORT` of a cluster's head, `auto` for the one of this machine, `local` to start one.
        settings: how debates are held. Personas that they name travel along; other files that they name must be in the
            same place on every machine.
        concurrency: debates at once in each worker.
        workers: how many; `None` is one for each node.
        gpus: that each of them books.

    Raises:
        MissingExtra: Ray is not installed. ConfigError: no cluster answers there. PersonaError: one isn't there.
    """

    def __init__(
        self, address: str, settings: Settings, *, concurrency: int = 8, workers: int | None = None, gpus: float = 0.0
    ) -> None:
        super().__init__(address, workers, gpus)
        chosen = settings.personas in ("auto", "written")
        cast = None if chosen else list(Library.builtin().select(settings.personas))
        self._arguments = (settings, cast, concurrency, str(Path.cwd()))
        self._concurrency = concurrency
        self.at_once = 0

    def __enter__(self) -> Self:
        super().__enter__()
        self.at_once = IN_HAND * self.workers * self._concurrency
        return self

    def hold(self, lines: Sequence[str], *, alone: bool = False) -> Iterator[list[Reply]]:
        """Yield what becomes of the questions. Raises ConfigError where no worker can have its GPUs, RayFailed."""
        import pyarrow

        self._check_room()
        at, in_hand = 0, 1 if alone else IN_HAND
        blocks: list[pyarrow.Table] = []
        for size in [1] * len(lines) if alone else block_sizes(len(lines), self.workers, self._concurrency):
            there = {"number": [len(blocks)], "lines": [list(lines[at : at + size])]}
            blocks.append(pyarrow.table(there))  # one row, which goes to one worker
            at += size
        pool = self.ray.data.ActorPoolStrategy(
            size=min(self.workers, len(blocks)),
            max_tasks_in_flight_per_actor=in_hand,
            max_concurrent_calls_per_actor=in_hand,
            enable_true_multi_threading=True,
        )
        asked = self.ray.data.from_arrow(blocks)
        asked.context.target_max_block_size = 1  # byte: an answer waits for no other
        held = asked.flat_map(
            _Holder,
            fn_constructor_args=(self._tries(), alone, *self._arguments),
            compute=pool,
            num_cpus=SHARE_OF_CPU,
            num_gpus=self._gpus,
        )
        try:
            for batch in held.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield [Reply(**row) for row in batch.to_pylist()]
        except self.ray.exceptions.RayError as error:
            raise RayFailed(f"Ray ended the run: {error}") from error

    def _tries(self) -> Any:
        """Return a new count of tries, on this machine: it lives as long as the process that asks."""
        here = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self.ray.get_runtime_context().get_node_id(), soft=True
        )
        counting = self.ray.remote(_Tries).options(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
        )
        return counting.remote()


class _Tries:
    """Counts how often each block was begun, where the death of a worker doesn't reach."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, block: int) -> int:
        """Return how often it has been begun, this time included."""
        self._begun[block] += 1
        return self._begun[block]


class _Holder:
    """A worker as Ray Data calls it, from several threads.

    Args:
        tries: the actor that counts them.
        alone: whether each question is the only one that its worker has in hand: then it is known what killed it.
        *arguments: the worker's, which is made when it is first called, for what that raises is to be told as it is.
    """

    def __init__(self, tries: Any, alone: bool, *arguments: Any) -> None:
        self._tries = tries
        self._alone = alone
        self._arguments = arguments
        self._making = threading.Lock()
        self._worker: Worker | None = None

    def __call__(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for replies in self._hold(block["lines"], self._tries.begin.remote(block["number"]).future().result()):
            yield from (reply._asdict() for reply in replies)

    def __del__(self) -> None:
        """Close the engine: Ray lets go of its actors when the run is over, and ends their processes."""
        if self._worker:
            self._worker.close()

    def _make(self) -> Worker:
        return Worker(*self._arguments)

    def _hold(self, lines: Sequence[str], time: int) -> Iterator[list[Reply]]:
        """Hold a block's questions, which are begun for the first, second … time."""
        reason = f"the process of its worker died {TRIES} times while it held this question"
        if time > TRIES + self._alone:
            for line in lines:
                question = Question.model_validate_json(line)
                yield [Reply(question.id, hash_of(question), True, "", reason=reason, lost=True)]
            return
        try:
            with self._making:
                self._worker = self._worker or self._make()
        except (ChorusError, PersonaError) as error:
            yield [Reply("", 0, True, "", reason=str(error), exit_code=error.exit_code)]
            return
        except Exception as error:  # noqa: BLE001 - Ray would start it anew, and tell it in its own words
            why = f"a worker can't be made, by a fault of ours: {told(error)}"
            yield [Reply("", 0, True, "", reason=why, exit_code=1)]
            return
        if time > TRIES:
            yield [self._worker.give_up(line, reason) for line in lines]
        else:
            yield from self._worker.hold(lines)


def block_sizes(questions: int, workers: int, concurrency: int) -> Iterator[int]:
    """Yield how many questions each block has, the first first (guided self-scheduling, Polychronopoulos and Kuck 1987).

    Args:
        questions: how many there are.
        workers: that share them.
        concurrency: debates at once in each worker.
    """
    least, most = max(1, concurrency // IN_HAND), LENGTHS * concurrency
    while questions > 0:
        size = min(max(least, questions // (SHARES * workers)), most, questions)
        yield size
        questions -= size
