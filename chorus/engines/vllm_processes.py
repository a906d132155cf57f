"""The processes that vLLM computes in: started apart from the caller, and ended with the engine.

vLLM starts them with `multiprocessing`. Left alone they would write on the caller's screen, take the terminal's Ctrl-C
for themselves, run a script again that has no `__main__` guard, and live on when the caller is killed. So

- what they print goes to a log, which outlives them only when they failed, for its last words say why;
- they don't hear Ctrl-C: whoever opened the engine decides when it ends;
- they don't import the caller's script;
- they are killed when they said that they failed to start and don't end: then the one who waits for them is told;
- they are told to end when the thread that started them does, which waits until the engine is closed. So they end with
  this process however it ends (on Linux, where util-linux's `setpriv` is installed).

All this is set for as long as they take to start, and for all of this process, since `multiprocessing` knows no smaller
scope: whatever else is started meanwhile by `spawn` shares it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker, spawn
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

DEFAULT_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # vLLM's default is standard output, where our answers go
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # forking a process that has threads can deadlock
    "VLLM_NO_USAGE_STATS": "1",  # nothing here reports home
}
"""Variables of vLLM that are set for this process and its children, unless they are set already."""

QUIET = "VLLM_LOGGING_LEVEL"
"""Whoever sets this variable wants to see what vLLM says: its processes then write on the screen."""

NAMES = ("EngineCore", "VLLM_")
"""How the names of vLLM's processes begin, as `multiprocessing` knows them."""

GRACE_S = 10.0
"""How long processes may take to end before they are killed."""

LOOK_S = 1.0
"""How often the log is looked at while processes start."""

FAILED = "EngineCore failed to start"
"""The engine's last words in the log when it fails. On its way out it frees its sockets, and may wait for them for ever."""

_STARTING = threading.Lock()
"""One engine starts at a time, as what is set meanwhile belongs to the whole process."""

_PREFIX = re.compile(r"^(\(\w+ pid=\d+\) ?)?(ERROR [\d-]+ [\d:]+ \[[^\]]*\] ?)?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*(?P<kind>[A-Za-z_]\w*(?:Error|Exception))(?:: (?P<what>.*\S))?$")
_DEATH = re.compile(r"(?P<what>\w+ proc \S+ died unexpectedly.*?)(?:, shutting down.*)?$")
_HEARSAY = re.compile(
    r"initialization failed|WorkerProc|Worker failed|EngineCore encountered|cancelled|See .* root cause"
)
"""Exceptions that only tell of another one."""


class Abandoned(Exception):
    """Nobody waits for the engine any more: it must not be started."""


class Processes:
    """The processes of one engine, and the thread that keeps them."""

    def __init__(self) -> None:
        """Prepare the log; nothing is started yet."""
        self._shown = os.environ.get(QUIET, DEFAULT_ENVIRONMENT[QUIET]) != DEFAULT_ENVIRONMENT[QUIET]
        for name, value in DEFAULT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._folder = Path(tempfile.mkdtemp(prefix="chorus-vllm-"))
        self.log = self._folder / "vllm.log"
        self._known: list[Any] = []
        self._children: list[Any] = []
        self._starting = False
        self._abandoned = False
        self._released = threading.Event()

    async def keep(self, work: Callable[[], T]) -> T:
        """Run `work`, which starts the processes inside `starting()`, in a thread that stays until `end`.

        When the caller is cancelled, what was started is ended before this returns.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                settle(done.set_exception, error)
            else:
                settle(done.set_result, result)
                self._released.wait()

        def settle(how: Callable[[Any], None], what: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(lambda: None if done.done() else how(what))

        threading.Thread(target=run, name="vllm-keeper", daemon=True).start()
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            done.add_done_callback(lambda over: None if over.cancelled() else over.exception())
            await self._abandon()
            raise

    @contextlib.contextmanager
    def starting(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Start processes apart from the caller, with these variables. Raises Abandoned when nobody waits for them."""
        _start_resource_tracker()
        with _STARTING:
            self._known = multiprocessing.active_children()
            self._starting = True
            try:
                if self._abandoned:
                    raise Abandoned
                with (
                    self._by_way_of_script(variables),
                    _deaf_to_ctrl_c(),
                    _script_left_out(),
                    self._failed_ones_ended(),
                ):
                    yield
            finally:
                self._children, self._starting = self._started(), False

    def last_words(self) -> str | None:
        """Return what the processes said of their failure, in a line; None when they said nothing."""
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return None
        for line in reversed(lines):
            found = _EXCEPTION.match(_PREFIX.sub("", line))
            if found and not _HEARSAY.search(line):
                return f"{found['kind']}: {found['what']}" if found["what"] else found["kind"]
        deaths = (_DEATH.search(line) for line in reversed(lines))
        return next((death["what"] for death in deaths if death), None)

    def end(self, *, keep_log: bool = False) -> None:
        """End the processes that still run, and delete the log unless it is to be kept. Blocks for some seconds."""
        for process in self._children:
            process.join(GRACE_S)
            _kill(process)
        self._released.set()
        if not keep_log or not self._has_log():
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _failed_ones_ended(self) -> Iterator[None]:
        """Kill processes that failed to start and don't end by themselves, as far as there is a log to tell it."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_S):
                if self._has_failed():
                    if not over.wait(GRACE_S):
                        for process in self._started():
                            _kill(process)
                    return

        threading.Thread(target=watch, name="vllm-watch", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _has_failed(self) -> bool:
        try:
            return FAILED in self.log.read_text("utf-8", "replace")
        except OSError:  # it is not there yet, or no longer
            return False

    def _has_log(self) -> bool:
        return self.log.is_file() and self.log.stat().st_size > 0

    def _started(self) -> list[Any]:
        new = [child for child in multiprocessing.active_children() if child not in self._known]
        return [child for child in new if child.name.startswith(NAMES)]

    async def _abandon(self) -> None:
        """Stop a start that is under way. One that has not begun stops by itself."""
        self._abandoned = True
        while self._starting:
            for process in self._started():
                _kill(process)
            await asyncio.sleep(0.05)
        for process in self._children:
            _kill(process)
        self.end()

    @contextlib.contextmanager
    def _by_way_of_script(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Have processes start by way of a script that sends their output to the log and ties them to this thread."""
        # It runs no command but the last: a shell that waited for one may have cleared the signal mask.
        lines = ["#!/bin/sh", *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]
        lines += [] if self._shown else [f"exec >>{shlex.quote(str(self.log))} 2>&1"]
        lines += [f'exec {shlex.join([*_tie(), os.fsdecode(spawn.get_executable())])} "$@"', ""]
        script = self._folder / "start.sh"
        script.write_text("\n".join(lines))
        script.chmod(0o700)
        if not os.access(script, os.X_OK):  # a file system that nothing may be run from
            yield
            return
        before = spawn.get_executable()
        spawn.set_executable(str(script))
        try:
            yield
        finally:
            spawn.set_executable(before)


def _start_resource_tracker() -> None:
    """Start what clears up after killed processes, and have it do so without a word.

    Started later, with the first process, it would undo this thread's signal mask.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _tie() -> list[str]:
    """Return the command that has the kernel end a process with the thread that started it, where there is one."""
    command = ["setpriv", "--pdeathsig", "TERM"]
    with contextlib.suppress(OSError):
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return []


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Block SIGINT in this thread, and so in the processes that it starts: they inherit the mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _script_left_out() -> Iterator[None]:
    """Hide the caller's script from `multiprocessing`, which would have every new process run it as a module."""
    main: Any = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def _kill(process: Any) -> None:
    """Kill a process and those that it started."""
    import psutil

    if not process.is_alive():
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.join()
