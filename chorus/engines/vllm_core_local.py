"""vLLM's engine as one thing that is started, watched and ended."""

from __future__ import annotations

import gc
import logging
import os
import threading
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus import checkpoints
from chorus.engines.vllm_processes import DEFAULT_ENVIRONMENT, GRACE_S, QUIET, Processes
from chorus.engines.vllm_setup_local import Adapter, configure, environment, start_failure
from chorus.engines.weights import check_weights
from chorus.errors import EngineError

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.engine.async_llm import AsyncLLM


@dataclass(slots=True)
class Load:
    """What vLLM's schedulers did when they last spoke. There is one for each data-parallel rank."""

    by_rank: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Requests running and waiting, by rank."""

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return sum(running for running, _ in self.by_rank.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for room in it."""
        return sum(waiting for _, waiting in self.by_rank.values())


class Core:
    """vLLM's engine with its processes. Made by `start`."""

    def __init__(self, llm: AsyncLLM, load: Load, processes: Processes, folder: Path) -> None:
        self._llm: AsyncLLM | None = llm
        self._zmq: Any = getattr(getattr(llm.engine_core, "resources", None), "ctx", None)
        self._processes = processes
        self.load = load
        self.folder = folder
        """The checkpoint's."""
        self.config: VllmConfig = llm.vllm_config
        """As it became on starting: vLLM may have shortened the context window."""

    @property
    def llm(self) -> AsyncLLM:
        """The engine as vLLM knows it. Raises EngineError once it is closed."""
        if self._llm is None:
            raise EngineError("the engine is closed")
        return self._llm

    def obituary(self) -> str:
        """Say what the processes died of, and where more can be read."""
        words = self._processes.last_words() or "it was killed, or ended without a word"
        log = f" (vLLM's log: {self._processes.log})" if self._processes.log.exists() else ""
        return f"{words}{log}"

    def close(self) -> None:
        """End the processes. Blocks for some seconds."""
        llm, self._llm = self._llm, None
        if llm is not None:
            died = llm.errored
            llm.shutdown(timeout=GRACE_S)
            self._processes.end(keep_log=died)

    def let_go(self) -> None:
        """Free what vLLM would leave to the garbage collector. Call it in the event loop, after `close`."""
        context, self._zmq = self._zmq, None
        if context is not None:
            # It waits for its sockets, which vLLM closes by way of the event loop: not a wait to hold anything up.
            threading.Thread(target=context.term, name="vllm-zmq", daemon=True).start()


def start(
    name: str, options: Mapping[str, Any], adapter: Adapter | None, processes: Processes, report: checkpoints.Report
) -> Core:
    """Start vLLM on a checkpoint. Blocks for as long as that takes; raises as `open_vllm` does."""
    _quiet(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vllm  # noqa: F401 - imported here for its warnings, and before anything is fetched

        folder = checkpoints.resolve(name, report)
        checkpoints.check(folder)
        check_weights(folder)
        report(f"starting vLLM on {name}: this takes half a minute or more")
        config = configure(folder, options, adapter)
    load = Load()
    try:
        with processes.starting(environment(config)), checkpoints.quiet_transformers():
            # Held by no name here: a frame that something keeps would keep vLLM's engine beyond its end.
            return Core(_launch(config, load, stats=options.get("disable_log_stats") is False), load, processes, folder)
    except Exception as error:
        _forget(error)
        reason = processes.last_words() or f"{type(error).__name__}: {error}"
        raise start_failure(folder, reason, processes.log if processes.log.exists() else None) from error
    finally:
        _quiet(logging.CRITICAL)  # from here on its errors are raised, and said once


def _forget(error: Exception) -> None:
    """Drop the half-made engine that an error's traceback holds on to, with its sockets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        traceback.clear_frames(error.__traceback__)
        gc.collect()


def _quiet(level: int) -> None:
    """Keep what vLLM has to say in this process off the screen, unless the user asked for it."""
    if os.environ.get(QUIET) == DEFAULT_ENVIRONMENT[QUIET]:
        logging.getLogger("vllm").setLevel(level)


def _launch(config: VllmConfig, load: Load, *, stats: bool) -> AsyncLLM:
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Watch(StatLoggerBase):  # type: ignore[misc]
        """Notes what the scheduler reports."""

        def __init__(self, vllm_config: VllmConfig, engine_index: int = 0) -> None:
            self._rank = engine_index

        def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                load.by_rank[self._rank] = (scheduler_stats.num_running_reqs, scheduler_stats.num_waiting_reqs)

        def log_engine_initialized(self) -> None:
            pass

    return AsyncLLM.from_vllm_config(config, disable_log_stats=not stats, stat_loggers=[Watch])
