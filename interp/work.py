"""The folder of what was found so far, step by step: each step is kept as a whole or not at all.

So what was interrupted goes on from there; with another plan, or on other weights, it is refused the folder. Any number of
processes may work in one folder: each takes the steps that no other is at, and all of them find the same.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from chorus import whole_file
from chorus.checkpoints import Report
from chorus.checkpoints.beside import digest
from interp.errors import LensError
from interp.plan import Config

PLAN = "plan.json"
Step = tuple[str, Callable[[], dict[str, Any]]]
"""What is being done, in words; and what does it and returns what to keep."""
BAR = 20
"""Characters of the progress bar."""
PAUSE = 0.2
"""Seconds until it is looked again whether another process has done its step."""


class Work:
    """One folder."""

    def __init__(self, folder: Path, report: Report) -> None:
        """Take a folder, there or not."""
        self.folder, self.report = folder, report

    def fix(self, config: Config, **about: Any) -> str:
        """Write the plan down before anything is looked at, and return when. Raises LensError for another's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"config_sha256": digest(config.hashed()), **about}
        path = self.folder / PLAN
        with self._lock(PLAN):
            if not path.exists():
                _write(path, {**about, "config": config.hashed(), "at": now()})
        plan = _read(path)
        if any(plan.get(name) != value for name, value in about.items()):
            raise LensError(
                f"{self.folder} holds an audit with another plan or of other weights: name another --work, or remove it"
            )
        return str(plan["at"])

    def do(self, steps: Mapping[str, Step]) -> dict[str, dict[str, Any]]:
        """Go through steps by name, and return what each of them found: now, in an earlier run, or in another process.

        A step may build on what stands before it in the order, and must not build on another of the same call.
        """
        began, waits = time.monotonic(), False
        before = len(steps) - len(self._left(steps))
        while left := self._left(steps):
            for name in left:
                with self._claimed(name) as mine:
                    if mine:
                        self._tell(steps, name, before, time.monotonic() - began)
                        _write(self._path(name), steps[name][1]())
                        break
            else:
                if not waits:
                    self.report(f"waiting for other processes, which are at {', '.join(left)}")
                waits = True
                time.sleep(PAUSE)
        return {name: _read(self._path(name)) for name in steps}

    def found(self, step: str) -> dict[str, Any]:
        """Return what a step found that was done."""
        return _read(self._path(step))

    def _tell(self, steps: Mapping[str, Step], name: str, before: int, spent: float) -> None:
        """Report which step is begun, and when all will be done if they go on as they did."""
        done = len(steps) - len(self._left(steps))
        fresh = done - before
        left = f", about {spent / fresh * (len(steps) - done) / 60:.1f} min to go" if fresh else ""
        full = round(BAR * done / len(steps))
        self.report(f"[{'#' * full}{'.' * (BAR - full)}] {done + 1} of {len(steps)}: {steps[name][0]}{left}")

    def _left(self, steps: Mapping[str, Step]) -> list[str]:
        return [name for name in steps if not self._path(name).exists()]

    @contextmanager
    def _claimed(self, step: str) -> Iterator[bool]:
        """Hold a step against other processes, and say whether it is held and still to be done."""
        lock = self._lock(step)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        try:
            yield not self._path(step).exists()
        finally:
            lock.release()

    def _lock(self, name: str) -> filelock.BaseFileLock:
        """Return a lock that goes with its process, however that ends."""
        return filelock.FileLock(self.folder / f".{name}.lock")

    def _path(self, step: str) -> Path:
        return self.folder / f"{step}.json"


def now() -> str:
    """Return the time, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _write(path: Path, data: dict[str, Any]) -> None:
    whole_file.put(path, json.dumps(data, indent=1) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise LensError(f"{path} is damaged: remove it, and its step is done again") from error
    if not isinstance(data, dict):
        raise LensError(f"{path} is damaged: remove it, and its step is done again")
    return data
