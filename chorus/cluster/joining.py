"""A Ray cluster: joined, or started for one run. The one place where Ray is imported."""

from __future__ import annotations

import logging
import os
import socket
from types import TracebackType
from typing import Any, Self

from chorus.errors import ConfigError, MissingExtra

LOCAL_STORE_BYTES = 256 << 20
"""Object store of a cluster that is started for one run: questions and answers are text, and few are under way."""

SHARE_OF_CPU = 0.1
"""What a worker books of a CPU. Its engine computes on a GPU or elsewhere, and where a node has died the others must
have room for its workers."""

CONNECT_S = 5.0
"""How long a cluster's head may take to accept a connection."""


class Cluster:
    """A cluster, for as long as the `with` block lasts.

    Args:
        address: `HOST:PORT` of its head, `auto` for the one of this machine, `local` to start one.
        workers: how many are wanted; `None` is one for each node.
        gpus: that each of them books.

    Raises:
        MissingExtra: Ray is not installed. ConfigError: no cluster answers there.
    """

    def __init__(self, address: str, workers: int | None = None, gpus: float = 0.0) -> None:
        self._address = address
        self._gpus = gpus
        self.workers = workers or 0
        """How many there are to be; known once inside."""
        self.ray: Any = None
        """Ray itself, once inside."""
        self._ours = False

    def __enter__(self) -> Self:
        self.ray = _ray()
        self._ours = not self.ray.is_initialized()
        if self._ours:
            self._join()
        self.workers = self.workers or sum(bool(node["Alive"]) for node in self.ray.nodes())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._ours:
            self.ray.shutdown()

    def _check_room(self, booked: int = 0) -> None:
        """Raise ConfigError where no worker would ever have its GPUs: Ray waits for them without a word.

        Args:
            booked: workers that have theirs for as long as this run lasts.
        """
        if not self._gpus:
            return
        there = [node["Resources"].get("GPU", 0.0) for node in self.ray.nodes() if node["Alive"]]
        if sum(int(gpus / self._gpus + 1e-4) for gpus in there) <= booked:
            beside = f" beside the {booked} workers of this run's other engines" if booked else ""
            raise ConfigError(
                f"no worker with {self._gpus:g} GPUs fits into this cluster{beside}: "
                f"its nodes have {', '.join(f'{gpus:g}' for gpus in there)}; set --gpus and --workers to what there is"
            )

    def _join(self) -> None:
        local = self._address == "local"
        if not local and self._address != "auto":
            _knock(self._address)
        started = {"object_store_memory": LOCAL_STORE_BYTES, "include_dashboard": False} if local else {}
        try:
            self.ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR, **started)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"there is no Ray cluster at {self._address!r}: {error}") from error
        context = self.ray.data.DataContext.get_current()
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
