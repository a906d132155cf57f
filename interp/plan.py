"""What an audit is going to do, fixed before it looks; and the folder of what it has found so far, step by step.

A step is kept as a whole or not at all, so an audit that was interrupted goes on from there; one with another plan, or
on other weights, is refused the folder.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chorus import whole_file
from chorus.checkpoints import Report
from chorus.checkpoints.beside import digest
from interp import verdicts
from interp.errors import LensError
from interp.wiring import Wiring

PLAN = "plan.json"
Step = tuple[str, Callable[[], dict[str, Any]]]
"""What is being done, in words; and what does it and returns what to keep."""
METHODS = 4
"""Raised when a figure comes to be computed otherwise: what was begun before is not gone on with."""
BAR = 20
"""Characters of the progress bar."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that could be chosen otherwise."""

    personas: tuple[str, ...]
    discover: int
    """Questions of the split."""
    select: int
    test: int
    layers: int
    """How many layers the sweep looks at, spread evenly."""
    steps: int
    """Of integrated gradients."""
    share: float
    """The circuit's size, as a share of all edges."""
    randoms: int
    """Placebo prompts and random directions, each."""
    probes: int
    """Questions of the test split that probes read."""
    voices: int
    """Questions of the test split on which each persona's vector is tried on all others."""
    rivals: int = 0
    """Random circuits, each of which costs far more than a direction; 0 takes as many as of those."""
    apart: int = 0
    """Questions of the test split on which the circuit is looked at at every size and taken apart: completeness and
    minimality. Takes long; 0 leaves it out."""
    elsewhere: int = 0
    """Random directions beside each persona's own at the other layers of the sweep, on `voices` questions; 0 looks at
    the chosen layer alone."""
    seed: int = 0
    batch: int = 8

    @property
    def circuits(self) -> int:
        """How many random circuits there are."""
        return self.rivals or self.randoms

    def hashed(self) -> dict[str, Any]:
        """Return it as it is hashed, with the bars that decide."""
        return json.loads(json.dumps({**asdict(self), "bars": verdicts.table(), "methods": METHODS}))  # type: ignore[no-any-return]

    def swept(self, wiring: Wiring) -> list[str]:
        """Return the hooks of the layers that the sweep looks at."""
        count = min(self.layers, wiring.layers)
        layers = sorted({round(place) for place in np.linspace(0, wiring.layers - 1, count + 2)[1:-1]})
        return [f"blocks.{layer}.hook_resid_post" for layer in layers]


DEPTHS: dict[str, dict[str, Any]] = {
    "quick": {
        "discover": 6,
        "select": 6,
        "test": 6,
        "layers": 4,
        "steps": 3,
        "share": 0.05,
        "randoms": 19,
        "probes": 15,
        "voices": 2,
    },
    "full": {
        "discover": 60,
        "select": 30,
        "test": 30,
        "layers": 12,
        "steps": 5,
        "share": 0.05,
        "randoms": 100,
        "probes": 30,
        "voices": 10,
        "rivals": 39,
        "apart": 10,
        "elsewhere": 20,
    },
}


class Work:
    """The folder of one audit."""

    def __init__(self, folder: Path, report: Report) -> None:
        """Take a folder, there or not."""
        self.folder, self.report = folder, report

    def fix(self, config: Config, **about: Any) -> str:
        """Write the plan down before anything is looked at, and return when. Raises LensError for another's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"config_sha256": digest(config.hashed()), **about}
        path = self.folder / PLAN
        if not path.exists():
            _write(path, {**about, "config": config.hashed(), "at": now()})
        plan = _read(path)
        if any(plan.get(name) != value for name, value in about.items()):
            raise LensError(
                f"{self.folder} holds an audit with another plan or of other weights: name another --work, or remove it"
            )
        return str(plan["at"])

    def do(self, steps: Mapping[str, Step]) -> dict[str, dict[str, Any]]:
        """Go through steps by name, and return what each of them found, now or in an earlier run."""
        found: dict[str, dict[str, Any]] = {}
        began, fresh = time.monotonic(), 0
        for done, (name, (words, make)) in enumerate(steps.items()):
            path = self.folder / f"{name}.json"
            if not path.exists():
                spent = time.monotonic() - began
                left = f", about {spent / fresh * (len(steps) - done) / 60:.1f} min to go" if fresh else ""
                full = round(BAR * done / len(steps))
                self.report(f"[{'#' * full}{'.' * (BAR - full)}] {done + 1} of {len(steps)}: {words}{left}")
                _write(path, make())
                fresh += 1
            found[name] = _read(path)
        return found

    def found(self, step: str) -> dict[str, Any]:
        """Return what a step found that was done."""
        return _read(self.folder / f"{step}.json")


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
