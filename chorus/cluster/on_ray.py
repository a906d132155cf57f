"""The workers on a Ray cluster that hold debates, as an actor pool of Ray Data.

Questions go out in blocks, answers come back one by one. A worker has two blocks in hand, so that it is never idle while
the next is on the way: Ray Data hands one out when a worker has room and the answers that nobody has read yet have room
in the object store. A block is a share of what is left, within bounds: large ones first, for a million questions are not
to be a million objects, and small ones at the end, so that all workers end together. A worker whose process or node dies
is started elsewhere, and its blocks are handed out again. Progress bars, dashboards and reports of usage are off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from chorus.cluster.joining import SHARE_OF_CPU, Cluster
from chorus.cluster.worker import Reply, Worker
from chorus.config import Settings
from chorus.errors import ChorusError
from personas import Library

IN_HAND = 2
"""Blocks that a worker has at once."""

LENGTHS = 4
"""A block takes a worker so many debates' time, at most: what it had in hand is held again when it dies."""

SHARES = 4
"""A block is no more than the part of what is left that it would be if each worker took so many more."""


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

    def hold(self, lines: Sequence[str]) -> Iterator[list[Reply]]:
        """Yield what becomes of the questions. Raises ConfigError where no worker can have its GPUs, RayFailed."""
        import pyarrow

        self._check_room()
        at, blocks = 0, []
        for size in block_sizes(len(lines), self.workers, self._concurrency):
            blocks.append(pyarrow.table({"lines": [list(lines[at : at + size])]}))  # one row, which goes to one worker
            at += size
        pool = self.ray.data.ActorPoolStrategy(
            size=self.workers,
            max_tasks_in_flight_per_actor=IN_HAND,
            max_concurrent_calls_per_actor=IN_HAND,
            enable_true_multi_threading=True,
        )
        asked = self.ray.data.from_arrow(blocks)
        asked.context.target_max_block_size = 1  # byte: an answer waits for no other
        held = asked.flat_map(
            _Holder, fn_constructor_args=self._arguments, compute=pool, num_cpus=SHARE_OF_CPU, num_gpus=self._gpus
        )
        try:
            for batch in held.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield [Reply(**row) for row in batch.to_pylist()]
        except self.ray.exceptions.RayError as error:
            raise RayFailed(f"Ray ended the run: {error}") from error


class _Holder:
    """A worker as Ray Data calls it."""

    def __init__(self, *arguments: Any) -> None:
        self._worker = Worker(*arguments)

    def __call__(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for replies in self._worker.hold(block["lines"]):
            yield from (reply._asdict() for reply in replies)


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
