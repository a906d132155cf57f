"""Runs that have collapsed are stopped by a rule with a name; those that have learnt all there is, end well."""

import pytest

from chorus.distill.collapse import Collapsed, check, saturated
from chorus.distill.recipe import Limits

LIMITS = Limits(patience=3, entropy=0.05, distinctness=0.2)


def logged(steps: int = 3, **changes: float) -> list[dict[str, float]]:
    healthy = {"frac_reward_zero_std": 0.5, "entropy": 1.0, "pass@1": 0.4, "distinctness": 0.6, "voices": 3.0}
    return [healthy | changes | {"step": step} for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("flat rewards", {"frac_reward_zero_std": 1.0}),
        ("entropy gone", {"entropy": 0.01}),
        ("voices merged", {"distinctness": 0.1}),
        ("voices merged", {"voices": 1.0}),
    ],
)
def test_each_rule_stops_under_its_name(rule, changes):
    with pytest.raises(Collapsed, match=rule) as stopped:
        check(logged(**changes), LIMITS)
    assert stopped.value.rule == rule


@pytest.mark.parametrize("changes", [{"frac_reward_zero_std": 1.0}, {"entropy": 0.0}, {"distinctness": 0.0}])
def test_no_rule_stops_before_its_time_or_when_it_was_interrupted(changes):
    check(logged(2, **changes), LIMITS)
    check(logged(2, **changes) + logged(1) + logged(2, **changes), LIMITS)


def test_a_healthy_run_goes_on():
    check(logged(50), LIMITS)
    assert not saturated(logged(50), LIMITS)


def test_equal_rewards_because_all_is_right_are_no_collapse():
    done = logged(**{"frac_reward_zero_std": 1.0, "pass@1": 1.0})
    check(done, LIMITS)
    assert saturated(done, LIMITS)


def test_runs_without_dialogues_are_not_asked_for_voices():
    log = [
        {name: value for name, value in entry.items() if name not in ("distinctness", "voices")} for entry in logged()
    ]
    check(log, LIMITS)
