"""A run at a glance: how each system did on each task, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable

from evals import stats
from evals.outcomes import Outcome

COLUMNS = ("system", "task", "right", "accuracy [95%]", "tokens", "calls", "failed")


def table(found: Iterable[Outcome]) -> str:
    """Return a table for a terminal: a line a system and task, with Wilson's interval; costs are means a question."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in found:
        groups.setdefault((one.system, one.task), []).append(one)
    lines = [COLUMNS, *(_line(system, task, group) for (system, task), group in groups.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _line(system: str, task: str, group: list[Outcome]) -> tuple[str, ...]:
    right, asked = sum(one.correct for one in group), len(group)
    share = stats.wilson(right, asked)
    return (
        system,
        task,
        f"{right}/{asked}",
        f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]",
        f"{sum(one.computed_tokens for one in group) / asked:.0f}",
        f"{sum(one.calls for one in group) / asked:.1f}",
        str(sum(one.status == "failed" for one in group)),
    )
