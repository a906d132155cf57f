"""When a run has collapsed: rules over what was logged, each with a name, so that a stopped run says which one stopped it.

| rule | for `patience` logged steps in a row |
|---|---|
| flat rewards | in every group all rewards are equal, so nothing pulls the weights anywhere |
| entropy gone | the policy draws what it would have said anyway |
| voices merged | the voices of its dialogues say the same, or there is one voice left |

Where all rewards are equal because everything is right, the run is not collapsed but over (`saturated`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from chorus.distill.recipe import Limits
from chorus.errors import ChorusError

SATURATED = 0.99
"""Share of right completions from which equal rewards mean that there is nothing left to learn."""


class Collapsed(ChorusError):
    """A run was stopped by a rule. Its last good checkpoint stays."""

    exit_code = 3

    def __init__(self, rule: str, step: int, why: str) -> None:
        super().__init__(f"stopped at step {step} by the rule {rule!r}: {why}")
        self.rule = rule


def check(history: Sequence[Mapping[str, float]], limits: Limits) -> None:
    """Raise Collapsed when the newest steps show it."""
    last = _last(history, limits)
    if not last:
        return
    step = int(last[-1].get("step", 0))
    if _all(last, "frac_reward_zero_std", lambda value: value >= 1.0) and not saturated(history, limits):
        raise Collapsed("flat rewards", step, f"every group's rewards were equal for {len(last)} steps")
    if _all(last, "entropy", lambda value: value < limits.entropy):
        raise Collapsed("entropy gone", step, f"below {limits.entropy} nats a token for {len(last)} steps")
    merged = _all(last, "distinctness", lambda value: value < limits.distinctness)
    if merged or _all(last, "voices", lambda value: value <= 1.0):
        raise Collapsed("voices merged", step, f"distinctness below {limits.distinctness} for {len(last)} steps")


def saturated(history: Sequence[Mapping[str, float]], limits: Limits) -> bool:
    """Say whether the newest steps leave nothing to learn: all completions right, all rewards equal."""
    last = _last(history, limits)
    flat = _all(last, "frac_reward_zero_std", lambda value: value >= 1.0)
    return flat and _all(last, "pass@1", lambda value: value >= SATURATED)


def _last(history: Sequence[Mapping[str, float]], limits: Limits) -> list[Mapping[str, float]]:
    """Return the newest logged steps of training, none before there are enough of them."""
    steps = [entry for entry in history if "frac_reward_zero_std" in entry]
    return steps[-limits.patience :] if len(steps) >= limits.patience else []


def _all(entries: Sequence[Mapping[str, float]], name: str, holds: Callable[[float], bool]) -> bool:
    return bool(entries) and all(name in entry and holds(entry[name]) for entry in entries)
