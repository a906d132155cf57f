"""What training cost, by its run cards, and after how many questions it has paid for itself.

Both sides are seconds of the machine that ran them: the training's, debates included, against what a question saves. There
is no such number where training and questions ran on different hardware, or where nothing is saved.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chorus import report
from evals.baked.arms import Arm
from evals.outcomes import Outcome


@dataclass(frozen=True)
class Spent:
    """What it took to make an arm."""

    seconds: float
    """Of all its steps, those of the debates included."""
    debating: float
    """Those of the debates."""
    debated_tokens: int
    """Tokens computed in debates: read and not cached, plus written."""
    rollout_tokens: int
    """Tokens written while reinforcing."""
    hardware: tuple[str, ...]
    """What it was made on."""

    @property
    def here(self) -> bool:
        """Whether all of it was made on a machine like this one."""
        here = report.hardware()
        return all(made_on.rpartition(", Python ")[0] == here for made_on in self.hardware)


def spent(arm: Arm) -> Spent:
    """Return what an arm cost. Plain GRPO needs no debates, so none are charged to it."""
    made = arm.card["made_by"]
    steps = [step for step in made if step != "collect" or arm.role != "plain GRPO"]
    debates: dict[str, Any] = made["collect"] if "collect" in steps else {"seconds": 0.0, "metrics": {}}
    figures = debates["metrics"]
    read = figures.get("prompt_tokens", 0) - figures.get("cached_tokens", 0)
    return Spent(
        seconds=sum(made[step]["seconds"] for step in steps),
        debating=debates["seconds"],
        debated_tokens=read + figures.get("completion_tokens", 0),
        rollout_tokens=arm.rollout_tokens or 0,
        hardware=tuple(dict.fromkeys(made[step]["hardware"] for step in steps)),
    )


def latency(outcomes: Sequence[Outcome]) -> float | None:
    """Return the median seconds of questions asked one at a time; None where none were."""
    return statistics.median(one.wall_s for one in outcomes) if outcomes else None


def pays_after(seconds: float, chorus: float | None, arm: float | None) -> int | None:
    """Return after how many questions training has paid for itself.

    Args:
        seconds: what training took.
        chorus: seconds of one question under the chorus.
        arm: seconds of one under the arm.

    Returns:
        A number of questions; None where it never does, or it can't be told.
    """
    if chorus is None or arm is None or arm >= chorus:
        return None
    return math.ceil(seconds / (chorus - arm))
