"""The workers on a Ray cluster, as an actor pool of Ray Data. The one place where Ray is imported.

Questions go out in blocks, answers come back one by one. A worker has two blocks in hand, so that it is never idle while
the next is on the way: Ray Data hands one out when a worker has room and the answers that nobody has read yet have room
in the object store. A block is a share of what is left, within bounds: large ones first, for a million questions are not
to be a million objects, and small ones at the end, so that all workers end together. A worker whose process or node dies
is started elsewhere, and its blocks are handed out again. Progress bars, dashboards and reports of usage are off.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from chorus.cluster.worker import Reply, Worker
from chorus.config import Settings
from chorus.errors import ChorusError, ConfigError, MissingExtra
from personas import Library

LOCAL_STORE_BYTES = 256 << 20
"""Object store of a cluster that is started for one run: questions and answers are text, and few are under way."""

SHARE_OF_CPU = 0.1
"""What a worker books of a CPU. Its engine computes on a GPU or elsewhere, and where a node has died the others must
have room for its workers."""

CONNECT_S = 5.0
"""How long a cluster's head may take to accept a connection."""

IN_HAND = 2
"""Blocks that a worker has at once."""

LENGTHS = 4
"""A block takes a worker so many debates' time, at most: what it had in hand is held again when it dies."""

SHARES = 4
"""A block is no more than the part of what is left that it would be if each worker took so many more."""


class RayFailed(ChorusError):
    """The cluster ended the run. What there is, is kept."""

    exit_code = 3


class RayFleet:
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
        self._address = address
        chosen = settings.personas in ("auto", "written")
        cast = None if chosen else list(Library.builtin().select(settings.personas))
        self._arguments = (settings, cast, concurrency, str(Path.cwd()))
        self._concurrency = concurrency
        self._workers = workers
        self._gpus = gpus
        self.at_once = 0
        self._ours = False

    def __enter__(self) -> RayFleet:
        ray = _ray()
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(self._address)
        self._workers = self._workers or sum(bool(node["Alive"]) for node in ray.nodes())
        self.at_once = IN_HAND * self._workers * self._concurrency
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._ours:
            _ray().shutdown()

    def hold(self, lines: Sequence[str]) -> Iterator[list[Reply]]:
        """Yield what becomes of the questions. Raises RayFailed."""
        import pyarrow

        ray, at = _ray(), 0
        blocks = []
        for size in block_sizes(len(lines), self._workers or 1, self._concurrency):
            blocks.append(pyarrow.table({"line": list(lines[at : at + size])}))
            at += size
        pool = ray.data.ActorPoolStrategy(
            size=self._workers, max_tasks_in_flight_per_actor=IN_HAND, enable_true_multi_threading=True
        )
        asked = ray.data.from_arrow(blocks)
        asked.context.target_max_block_size = 1  # byte: an answer waits for no other
        held = asked.map_batches(
            _Holder,
            fn_constructor_args=self._arguments,
            batch_size=None,
            batch_format="pyarrow",
            compute=pool,
            num_cpus=SHARE_OF_CPU,
            num_gpus=self._gpus,
            max_concurrency=IN_HAND,
            scheduling_strategy="SPREAD",
        )
        try:
            for batch in held.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield [Reply(**row) for row in batch.to_pylist()]
        except ray.exceptions.RayError as error:
            raise RayFailed(f"Ray ended the run: {error}") from error


class _Holder:
    """A worker as Ray Data calls it."""

    def __init__(self, *arguments: Any) -> None:
        self._worker = Worker(*arguments)

    def __call__(self, batch: Any) -> Iterator[Any]:
        import pyarrow

        for replies in self._worker.hold(batch["line"].to_pylist()):
            yield pyarrow.Table.from_pylist([reply._asdict() for reply in replies])


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


def _connect(address: str) -> None:
    """Join a cluster, or start one. Raises ConfigError."""
    ray = _ray()
    if address not in ("auto", "local"):
        _knock(address)
    started = {"object_store_memory": LOCAL_STORE_BYTES, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **started)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"there is no Ray cluster at {address!r}: {error}") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _knock(address: str) -> None:
    """Raise ConfigError where nobody listens: Ray itself would try for long."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{address!r} is no address of a Ray cluster: write HOST:PORT, auto or local")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"there is no Ray cluster at {address!r}: {error}") from error


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("a run on Ray", "ray") from error
    return ray
