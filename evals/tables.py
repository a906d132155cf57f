"""The tables of a report, as Markdown. A star stands only where a test does: see `Contrast.clear`, `Credit.clear`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals import compare, inside, resample, stats
from evals.compare import Comparison, Contrast
from evals.knowing import Knowing
from evals.outcomes import Outcome
from evals.resample import Point
from evals.stats import Interval

WEIGHINGS = {"plain vote": 0, "by confidence": 1, "by its square": 2, "by its 4th power": 4, "the surest voices": 64}
"""Powers of the confidence that a vote may weigh. The largest leaves the word to the surest."""


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table. What stands in a cell can't break out of it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def tasks(systems: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """Return every task that some system was put to, in order of first appearance."""
    return list(dict.fromkeys(one.task for outcomes in systems.values() for one in outcomes))


def accuracies(systems: Mapping[str, Sequence[Outcome]], points: Mapping[str, Point]) -> str:
    """Return systems x tasks with intervals, and what each costs a question."""
    names = tasks(systems)
    columns = ["system", *names, "mean over tasks", "computed tokens", "calls", "wall s", "gated", "n"]
    rows: list[list[Any]] = []
    for name, outcomes in systems.items():
        groups, point = compare.by_task(outcomes), points[name]
        cells = [stats.accuracy(compare.scores(groups[task])) if task in groups else "–" for task in names]
        whole = point.accuracy if len(groups) == len(names) else "–"
        wall = "–" if point.wall_s is None else f"{point.wall_s:.2f}"
        gated = f"{sum(one.gated for one in outcomes) / len(outcomes):.0%}" if any(o.gated for o in outcomes) else "–"
        rows.append([name, *cells, whole, f"{point.computed:.0f}", f"{point.calls:.1f}", wall, gated, len(outcomes)])
    return table(columns, rows)


def comparisons(found: Sequence[Comparison]) -> str:
    """Return every comparison by task and over all of them."""
    columns = [
        "system",
        "task",
        "questions",
        "better / worse",
        "difference",
        "p exact",
        "p Holm",
        "could have shown",
    ]
    rows: list[list[Any]] = []
    for one in found:
        rows += [[one.system, task, *_contrast(contrast)] for task, contrast in one.tasks.items()]
        rows.append([f"**{one.system}**", "**all tasks**", *_contrast(one.overall)])
    return table(columns, rows)


def insides(systems: Mapping[str, Sequence[Outcome]]) -> str:
    """Return how unlike the first drafts are and where right answers went."""
    columns = [
        "system",
        "first drafts",
        "distinct answers",
        "entropy, bits",
        "without answer",
        "right one drafted",
        "right one said",
        "decided right",
        "said and lost",
    ]
    rows = []
    for name, outcomes in systems.items():
        kinds, pool = inside.diversity(outcomes), inside.pool(outcomes)
        shares = [f"{count / pool.outcomes:.0%}" for count in (pool.drafted, pool.pooled, pool.decided, pool.lost)]
        figures = [f"{kinds.drafts:.1f}", f"{kinds.distinct:.2f}", f"{kinds.entropy:.2f}", f"{kinds.silent:.0%}"]
        rows.append([name, *figures, *shares])
    return table(columns, rows)


def flips(systems: Mapping[str, Sequence[Outcome]]) -> str:
    """Return what changed in every round, and how seats answered to being outvoted; empty where nobody heard anybody."""
    columns = [
        "system",
        "round",
        "wrong → right",
        "right → wrong",
        "wrong → other wrong",
        "kept right",
        "kept wrong",
        "outvoted",
        "yielded",
        "of these to the right answer",
        "left the majority",
    ]
    rows = []
    for name, outcomes in systems.items():
        for moved, heard in zip(inside.flips(outcomes), inside.conformity(outcomes), strict=True):
            matrix = [moved.to_right, moved.to_wrong, moved.among_wrong, moved.kept_right, moved.kept_wrong]
            yielded = f"{heard.yielded} ({heard.yielded / heard.outvoted:.0%})" if heard.outvoted else "0"
            rows.append([name, moved.round, *matrix, heard.outvoted, yielded, heard.yielded_right, heard.away])
    return table(columns, rows) if rows else ""


def credits(systems: Mapping[str, Sequence[Outcome]], seed: int) -> str:
    """Return each persona's leave-one-out credit; empty where no system has two voices of different personas."""
    rows = []
    for name, outcomes in systems.items():
        if len({draft.persona for one in outcomes for draft in one.drafts if draft.kind == "speech"}) > 1:
            for one in inside.credits(outcomes, seed):
                holm = f"{one.holm:.2g}{'*' if one.clear else ''}"
                rows.append([name, one.persona, f"{one.right:.0%}", _signed(one.gain), f"{one.p:.2g}", holm])
    columns = ["system", "persona", "its last positions right", "credit: with it less without", "p exact", "p Holm"]
    return table(columns, rows) if rows else ""


def weighings(systems: Mapping[str, Sequence[Outcome]], seed: int) -> str:
    """Return what the same last positions would have decided with other weights; empty where nobody votes."""
    rows: list[list[Any]] = []
    for name, outcomes in systems.items():
        if resample.most(outcomes) > 1:
            again = [resample.weighed(outcomes, power) for power in WEIGHINGS.values()]
            rows.append([name, *(resample.point(one, seed).accuracy for one in again)])
    return table(["system", *WEIGHINGS], rows) if rows else ""


def knowing(found: Sequence[Knowing]) -> str:
    """Return how well predictors tell right from wrong."""
    columns = ["system", "predictor", "calls", "accuracy", "Brier ↓", "ECE ↓", "AURC ↓", "AUGRC ↓", "AUROC ↑"]
    return table(
        columns,
        [
            [of.system, of.predictor, f"{of.calls:.1f}", f"{of.accuracy:.2f}"]
            + [
                f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
                for one in (of.brier, of.ece, of.aurc, of.augrc, of.auroc)
            ]
            for of in found
        ],
    )


def _contrast(one: Contrast) -> list[str]:
    could = "nothing" if one.detectable is None else f"{100 * one.detectable:.1f} points"
    p_values = f"{one.p:.2g}", f"{one.holm:.2g}{'*' if one.clear else ''}"
    return [str(one.questions), f"{one.gained} / {one.lost}", _signed(one.difference), *p_values, could]


def _signed(one: Interval) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _cell(value: Any) -> str:
    if isinstance(value, Interval):
        return f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"
    return " ".join(str(value).replace("|", "\\|").split())
