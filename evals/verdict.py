"""From outcomes to a report: is the chorus worth its tokens, on which tasks, and what happened inside.

`report.md` begins with the verdict in words (`findings`), then the tables (`tables`) and plots (`plots`) that it follows
from. All of it is made from `results.jsonl` alone, so that it can be made again, compared with another reference or held
to another budget, without an engine.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chorus import whole_file
from chorus.errors import RecordError
from evals import compare, findings, plots, resample, stats, tables
from evals import knowing as knows
from evals.compare import Comparison
from evals.knowing import Knowing
from evals.outcomes import Outcome
from evals.resample import Point
from evals.stats import Floats

TITLE = "Is the chorus worth its tokens?"
DRAWS = 10
"""Votes drawn of each question for a point of a resampled curve."""
NOTES = """
How to read this. Accuracies have Wilson intervals, clustered by question where there are several seeds; a mean over
tasks counts every task alike and has a bootstrap interval over questions. Comparisons are paired by question: p is
McNemar's exact test (its generalization to several seeds), Holm's adjustment is over the tasks of a comparison, and in
the rows `all tasks` over the systems; a star needs the adjusted p below .05 and an interval without 0. "Could have
shown" is the gain that so many questions would have shown four times in five. Costs are tokens that the engine had to
compute: read and not cached, plus written. Systems on other questions than the reference's stand in the table only.
Where fewer than ten questions differ, the interval around a difference is rough and the exact p is what counts.
"Resampled" votes were taken again from stored first drafts and not run: their tokens are those of the drafts, and they
have no time. Credit leaves a persona's vote out; what the others heard of it stays; its p is exact over questions,
adjusted (Holm) over the personas of a system.
""".strip()


def write(
    outcomes: Sequence[Outcome],
    folder: str | Path,
    *,
    against: str | None = None,
    budget: int | None = None,
    title: str | None = None,
    about: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Path:
    """Write `report.md` and its plots into a folder, and return the report's path.

    Args:
        outcomes: of two systems or more.
        folder: made if it isn't there.
        against: the system that all are compared with; None: the first whose name begins with `self-consistency`,
            else the first.
        budget: computed tokens a question that the reference's votes are cut down to, in the order of their drawing.
        title: of the report; None: the question that it is there to answer.
        about: name -> what a reader should know of the run: date, hardware, versions, command.
        seed: of all that is drawn here.

    Raises:
        RecordError: no outcomes, an outcome twice, no such reference, or the folder can't be written to.
    """
    if not outcomes:
        raise RecordError("there are no outcomes to report on")
    systems: dict[str, Sequence[Outcome]] = dict(compare.by_system(outcomes))
    reference = against or next((name for name in systems if name.startswith("self-consistency")), next(iter(systems)))
    if reference not in systems:
        raise RecordError(f"there is no system {reference!r} to compare with; there are {', '.join(systems)}")
    if budget is not None:
        cut = resample.within(systems[reference], budget)
        reference = cut[0].system
        systems[reference] = cut
    found, refused = compare.against(systems, reference, seed)
    points = {name: resample.point(of, seed) for name, of in systems.items()}
    known = _known(systems, reference, seed)
    idle = dict(compare.by_system(compare.majority(outcomes)))
    target = Path(folder)
    text = "\n\n".join(
        [
            f"# {title or TITLE}",
            _about(outcomes, about or {}, seed),
            "## Verdict",
            _verdict(systems, found, refused, points),
            "## Accuracy and cost",
            tables.accuracies(systems | idle, points | {name: resample.point(of, seed) for name, of in idle.items()}),
            "![Accuracy by task](accuracy.svg)",
            "![Accuracy against cost](cost.svg)",
            f"## Compared with {reference}",
            tables.comparisons(found) if found else "Nothing could be compared.",
            "## What happened inside",
            *filter(None, (tables.insides(systems), tables.flips(systems), tables.credits(systems, seed))),
            "## The same positions, weighed otherwise",
            tables.weighings(systems, seed) or "Nobody voted.",
            "## Knowing when it doesn't know",
            tables.knowing(known),
            "![Error rate against coverage](risk.svg)",
            NOTES,
        ]
    )
    try:
        target.mkdir(parents=True, exist_ok=True)
        _draw(target, {name: of for name, of in systems.items() if name not in refused}, points, seed)
        whole_file.put(target / "report.md", text + "\n")
    except OSError as error:
        raise RecordError(f"can't write the report to {target}: {error.strerror or error}") from error
    return target / "report.md"


def _about(outcomes: Sequence[Outcome], about: Mapping[str, str], seed: int) -> str:
    """Return where the figures come from."""
    seeds = sorted({one.seed for one in outcomes})
    origin = dict(about) | {
        "engine": ", ".join(sorted({one.engine for one in outcomes if one.engine})) or "not named",
        "split": ", ".join(sorted({one.split for one in outcomes if one.split})) or "none",
        "seeds": ", ".join(map(str, seeds)) if len(seeds) <= 10 else f"{len(seeds)} from {seeds[0]} to {seeds[-1]}",
        "rows": str(len(outcomes)),
        "report made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, bootstrap seed {seed}",
    }
    return "\n".join(f"- {name}: {what}" for name, what in origin.items())


def _verdict(
    systems: Mapping[str, Sequence[Outcome]],
    found: Sequence[Comparison],
    refused: Mapping[str, str],
    points: Mapping[str, Point],
) -> str:
    said = [line for one in found for line in findings.compared(one, points)]
    said += [f"{name} is not compared: {why}." for name, why in refused.items()]
    said.append(findings.guessed(systems))
    for name, outcomes in systems.items():
        said += findings.talked(name, outcomes)
        said += findings.undecided(name, outcomes)
        if resample.most(outcomes) > 1:
            said.append(findings.kept(name, outcomes))
    said += findings.unfinished(systems)
    return "\n".join(f"- {line}" for line in said)


def _known(systems: Mapping[str, Sequence[Outcome]], reference: str, seed: int) -> list[Knowing]:
    """Return how well each system knows, and the reference's votes of as many drafts as each other has calls.

    A confidence that is the support is told once.
    """
    found: list[Knowing] = []
    drafts, shown = resample.most(systems[reference]), {len(systems[reference][0].drafts)}
    for name, outcomes in systems.items():
        same = all(one.share == one.confidence for one in outcomes)
        predictors = [one for one in knows.PREDICTORS if not (same and one == "confidence")]
        found += [knows.knowing(outcomes, predictor, seed) for predictor in predictors]
        calls = round(sum(one.calls for one in outcomes) / len(outcomes))
        if name != reference and 1 < calls <= drafts and calls not in shown:
            shown.add(calls)
            equal = resample.votes(systems[reference], calls, draws=DRAWS, seed=seed)
            found.append(knows.knowing(equal, "support", seed))
    return found


def _draw(folder: Path, systems: Mapping[str, Sequence[Outcome]], points: Mapping[str, Point], seed: int) -> None:
    """Draw the systems that answered the reference's questions: others have no place on one axis with it."""
    tasks = tables.tasks(systems)
    groups = {name: compare.by_task(of) for name, of in systems.items()}
    whole = {name: [stats.accuracy(compare.scores(of[task])) for task in tasks] for name, of in groups.items()}
    plots.accuracies(folder / "accuracy.svg", "Accuracy by task", tasks, whole)
    curves = {name: curve for name, of in systems.items() if len(curve := _curve(of, seed)) > 1}
    plots.costs(folder / "cost.svg", "Accuracy against cost", [points[name] for name in systems], curves)
    plots.risks(folder / "risk.svg", "Error rate against coverage, by confidence", _risks(systems))


def _curve(outcomes: Sequence[Outcome], seed: int) -> list[Point]:
    """Return the votes of 1 to all of a system's first drafts, taken again by its own rule."""
    if any(one.resampled or one.gated for one in outcomes):
        return []
    sizes = range(1, resample.most(outcomes) + 1)
    return [resample.point(resample.votes(outcomes, size, draws=DRAWS, seed=seed), seed) for size in sizes]


def _risks(systems: Mapping[str, Sequence[Outcome]]) -> dict[str, tuple[Floats, Floats]]:
    return {
        name: knows.risk_coverage(
            np.array([one.confidence for one in of]), np.array([one.correct for one in of], dtype=np.float64)
        )
        for name, of in systems.items()
    }
