"""What an audit is going to do, all of it chosen before it looks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from interp import verdicts
from interp.wiring import Wiring

METHODS = 4
"""Raised when a figure comes to be computed otherwise: what was begun before is not gone on with."""


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
