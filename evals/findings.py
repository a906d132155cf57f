"""What the figures say, in plain words: every sentence follows from a test by a rule that stands here.

"Above" and "below" are said only where the adjusted test and the paired interval both say so (`Contrast.clear`).
Otherwise the sentence names the gain that so many questions could have shown, so that "no difference" is never read as
"the same".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from evals import compare, inside, recount, resample, stats
from evals.compare import Comparison, Contrast
from evals.outcomes import Outcome
from evals.resample import Point

MATCHED = 0.1
"""Costs that differ by no more than this share are called equal."""


def compared(one: Comparison, points: Mapping[str, Point]) -> Iterator[str]:
    """Yield what a comparison says: over all tasks, at which cost, and by task."""
    overall, number = one.overall, len(one.tasks)
    over = f"in the paired mean over {number} tasks" if number > 1 else "in the paired mean"
    cost = _cost(points[one.system], points[one.reference])
    if overall.clear:
        side = "above" if overall.difference.value > 0 else "below"
        yield (
            f"**{one.system} is {side} {one.reference}** {over}, by {_points(overall)} ({_tested(overall)}), {cost}."
        )
    else:
        yield (
            f"**{one.system} and {one.reference}: no difference that {overall.questions} questions could show** {over}: "
            f"{_points(overall)} ({_tested(overall)}), {cost}. {_could(overall)}"
        )
    if number > 1:
        level = sum(task.difference.value >= 0 for task in one.tasks.values())
        told = f"{one.system} is at or above {one.reference} on {level} of {number} tasks by the bare figures"
        clear = [
            f"{'above' if task.difference.value > 0 else 'below'} on {name} by {_points(task)}"
            for name, task in one.tasks.items()
            if task.clear
        ]
        yield f"{told}; beyond chance (Holm over the tasks) {', '.join(clear) if clear else 'on none, either way'}."


def talked(system: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield what talking did to the voices' answers; nothing where nobody heard anybody."""
    found = inside.flips(outcomes)
    if not found:
        return
    gained, lost = sum(one.to_right for one in found), sum(one.to_wrong for one in found)
    net: dict[tuple[str, str], int] = {}
    for one in outcomes:
        rounds = inside.flips([one])
        key = one.task, one.question
        net[key] = net.get(key, 0) + sum(flips.to_right - flips.to_wrong for flips in rounds)
    p = stats.flip_test([Fraction(value) for value in net.values()])
    side = "right more often than wrong" if gained > lost else "wrong more often than right"
    what = f"turned answers {side}" if p < stats.ALPHA else "did not change how many answers are right, beyond chance"
    yield f"Talk {what} in {system}: {gained} to right, {lost} to wrong (p = {p:.2g}, by question)."


def undecided(system: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield what a vote of the first drafts would have come to, beside what was decided; nothing where that is the same."""
    firsts = [recount.first_drafts(one) for one in outcomes]
    blind = all(firsts) and not any(draft.heard for first in firsts for draft in first)
    talk = any(
        len(first) > 1 and max(draft.round for draft in one.drafts) > 1
        for one, first in zip(outcomes, firsts, strict=True)
    )
    if not (blind and talk) or any(one.resampled or one.gated for one in outcomes):
        return
    alone = resample.first(outcomes)
    found = compare.compare(outcomes, alone).overall
    side = "above" if found.difference.value > 0 else "below"
    what = f"{side} it" if found.clear else "not apart from it beyond chance"
    yield (
        f"A vote of {system}'s first drafts, before anybody heard anybody, is right in {sum(one.correct for one in alone)} "
        f"of {len(alone)}; what was decided in {sum(one.correct for one in outcomes)}, {what}: {_points(found)} "
        f"({_tested(found)})."
    )


def kept(system: str, outcomes: Sequence[Outcome]) -> str:
    """Say how often the right answer was there and lost."""
    found = inside.pool(outcomes)
    return (
        f"In {system} the right answer was said by some voice in {found.pooled} of {found.outcomes} answers and decided "
        f"for in {found.decided}; {found.lost} times it was said and lost."
    )


def guessed(systems: Mapping[str, Sequence[Outcome]]) -> str:
    """Say on which tasks a system isn't beyond always giving the commonest right answer."""
    idle: list[str] = []
    for name, outcomes in systems.items():
        found = compare.compare(outcomes, compare.majority(outcomes))
        tasks = [task for task, one in found.tasks.items() if not (one.clear and one.difference.value > 0)]
        if tasks:
            idle.append(f"{name} on {', '.join(tasks)}")
    if not idle:
        return "Every system is beyond the majority answer on every task."
    return f"Not shown to be beyond always giving the commonest right answer: {'; '.join(idle)}."


def unfinished(systems: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """Yield of each system how many answers are missing or were cut short; they count as they stand."""
    for name, outcomes in systems.items():
        failed = [one for one in outcomes if one.status == "failed"]
        cut = sum(one.status == "cut" for one in outcomes)
        if failed or cut:
            why = f" (first reason: {failed[0].reason})" if failed and failed[0].reason else ""
            yield f"{name}: {len(failed)} of {len(outcomes)} gave no answer and count as wrong{why}; {cut} were cut short."


def _cost(ours: Point, theirs: Point) -> str:
    if not theirs.computed:
        return f"at {ours.computed:.0f} computed tokens a question"
    ratio = ours.computed / theirs.computed
    how = "at equal cost" if abs(ratio - 1) <= MATCHED else f"at {ratio:.2g} times its computed tokens"
    return f"{how} ({ours.computed:.0f} and {theirs.computed:.0f} computed tokens a question)"


def _points(one: Contrast) -> str:
    found = one.difference
    return f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _tested(one: Contrast) -> str:
    return f"better on {one.gained}, worse on {one.lost} of {one.questions} questions, p = {one.holm:.2g}"


def _could(one: Contrast) -> str:
    if one.detectable is None:
        return "So few questions could not have shown any."
    return f"They would have shown a gain of {100 * one.detectable:.1f} points four times in five."
