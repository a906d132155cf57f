"""What the comparison came to: the table, what is missing from it, and the aims, in words that follow by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from evals import compare, findings, plots, report
from evals.baked import cost
from evals.baked.arms import MEANING, Arm, missing
from evals.baked.systems import BASE, CHORUS
from evals.baked.table import COLUMNS, Measured, rows
from evals.compare import Comparison
from evals.resample import Point

NAME = "baked"
TENTH = 0.1
"""Of the chorus's tokens, that a baked model is to get by with."""
FORGOTTEN = 0.02
"""Accuracy that it may lose on other tasks."""
EQUAL = 0.1
"""Numbers of rollout tokens that differ by no more than this share are called equal."""

NOTES = (
    "Accuracy is the mean over the tasks trained on, with a bootstrap interval over questions; comparisons are paired by "
    "question, exact, and adjusted by Holm. Computed tokens are those read and not cached, plus those written.",
    "Seconds are the median of questions asked one at a time. Training seconds are those of the run cards, debates "
    "included; the number of questions after which it pays is theirs over the seconds that a question saves against the "
    "chorus. It is left out where training and questions ran on different machines, and means something only if the one "
    "machine did nothing else.",
    "pass@k: the share of questions that one of k drawn answers is right on; of the base, one of the samples that vote. "
    "The chorus and the inner dialogue of the base are not drawn from. Voices: different seats that speak in an answer; "
    "whether they can be told apart by more than their names is a question for the laboratory.",
    "Perplexity is that of a page which ships with this package and is trained on nowhere, beside the factor to the "
    "base's, paired by paragraph: twelve of them, so small changes can't be told.",
)


def write(found: Measured, folder: Path, *, command: str, checkpoint: Arm, notes: Sequence[str] = ()) -> Path:
    """Write `baked.md`, `baked.json` and the plots, and return the table's path."""
    others = list({way.arm.folder: way.arm for way in found.ways if way.arm is not checkpoint}.values())
    plots.costs(folder / "cost.svg", "Accuracy against cost", list(found.trained.points.values()), {})
    shown = ["cost.svg"]
    if learnt := {arm.name: curve for arm in [checkpoint, *others] if (curve := arm.learning())}:
        plots.learning(folder / "learning.svg", "What training brought, and when", learnt)
        shown.append("learning.svg")
    compared, refused = comparisons(found)
    return report.write(
        NAME,
        f"The chorus baked into one model: {checkpoint.name}",
        command,
        COLUMNS,
        rows(found),
        seed=found.seed,
        notes=[
            *absent(checkpoint, others),
            *aims(found, checkpoint),
            *(line for one in compared for line in findings.compared(one, _known(one, found))),
            *(f"{name} is not compared: {why}." for name, why in refused.items()),
            *rollouts(checkpoint, others),
            *machines([checkpoint, *others]),
            *notes,
            *NOTES,
        ],
        plots=shown,
        data={
            "comparisons": [
                {"reference": one.reference, **asdict(one.overall), "system": one.system} for one in compared
            ],
            "training": {arm.name: {"role": arm.role, **asdict(cost.spent(arm))} for arm in [checkpoint, *others]},
        },
        folder=folder,
    )


def absent(checkpoint: Arm, others: Sequence[Arm]) -> Iterator[str]:
    """Name the controls that there is no checkpoint of."""
    for role in missing([checkpoint, *others]):
        yield f"**Missing: {role}** ({MEANING[role]}). No such checkpoint was found, so the comparison is not whole."


def comparisons(found: Measured) -> tuple[list[Comparison], dict[str, str]]:
    """Return every arm against chorus, base and vote, against each control, and on other tasks against the base.

    Returns:
        The comparisons, and of each arm that can't be compared the reason.
    """
    trained, elsewhere = found.trained.outcomes, found.elsewhere.outcomes
    arms = [way.name for way in found.ways]
    controls = [way.name for way in found.ways if way.arm.role != "baked"]
    baked = [name for name in arms if name not in controls]
    asked = [(trained, reference, arms) for reference in (CHORUS, BASE, found.majority) if reference]
    asked += [(trained, control, baked) for control in controls]
    asked += [(elsewhere, BASE, arms)]
    made: list[Comparison] = []
    refused: dict[str, str] = {}
    for systems, reference, names in asked:
        kept = {name: of for name, of in systems.items() if name in names or name == reference}
        if reference in kept and len(kept) > 1:
            some, why = compare.against(kept, reference, found.seed)
            made += some
            refused |= why
    return made, refused


def aims(found: Measured, checkpoint: Arm) -> Iterator[str]:
    """Say of each thing aimed at whether the bare figures reach it."""
    trained, elsewhere = found.trained.points, found.elsewhere.points
    answer = next(way.name for way in found.ways if way.arm is checkpoint and way.style == "answer")
    ours, chorus = trained.get(answer), trained.get(CHORUS)
    if ours is None or chorus is None:
        yield "The chorus or the checkpoint has no answers yet, so nothing can be said of the aims."
        return
    gap = ours.accuracy.value - chorus.accuracy.value
    yield _aim("reaches the chorus's accuracy", gap >= 0, f"{100 * gap:+.1f} points")
    share = ours.computed / chorus.computed if chorus.computed else float("nan")
    yield _aim("a tenth of its computed tokens", share <= TENTH, f"{share:.2g} of them")
    for way in found.ways:
        if way.arm.role == "plain GRPO" and way.name in trained:
            lead = ours.accuracy.value - trained[way.name].accuracy.value
            yield _aim(f"beats {way.name}", lead > 0, f"{100 * lead:+.1f} points")
    if BASE in elsewhere and answer in elsewhere:
        change = elsewhere[answer].accuracy.value - elsewhere[BASE].accuracy.value
        yield _aim("loses no more than 2 points elsewhere", change >= -FORGOTTEN, f"{100 * change:+.1f} points")


def rollouts(checkpoint: Arm, others: Sequence[Arm]) -> Iterator[str]:
    """Say where plain GRPO had more or fewer rollout tokens than the checkpoint: it is no equal control then."""
    own = checkpoint.rollout_tokens
    for arm in others:
        if arm.role == "plain GRPO" and own and arm.rollout_tokens:
            ratio = arm.rollout_tokens / own
            if abs(ratio - 1) > EQUAL:
                yield f"Not at equal rollout tokens: {arm.name} wrote {ratio:.2g} times as many as {checkpoint.name}."


def machines(arms: Sequence[Arm]) -> Iterator[str]:
    """Say on which machines the arms were made, where that was not here: their seconds are not this machine's."""
    made: dict[str, list[str]] = {}
    for arm in arms:
        spent = cost.spent(arm)
        if not spent.here:
            made.setdefault("; ".join(spent.hardware), []).append(arm.name)
    for hardware, names in made.items():
        yield f"Made elsewhere: {', '.join(names)}, on {hardware}."


def _known(one: Comparison, found: Measured) -> Mapping[str, Point]:
    """Return the points that a comparison speaks of: those of the tasks that it is over."""
    part = found.trained if set(one.tasks) <= set(found.tasks) else found.elsewhere
    return part.points


def _aim(what: str, reached: bool, by: str) -> str:
    return f"Aim, {what}: {'reached' if reached else '**not reached**'} by the bare figures ({by})."
