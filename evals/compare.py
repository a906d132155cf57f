"""Two systems on the same questions: by how much they differ, and whether that is more than chance.

A comparison is paired, question by question, and refuses systems that answered different questions: a mean over other
questions is another mean. Several seeds of a question are averaged before it is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from chorus.errors import RecordError
from evals import stats
from evals.outcomes import Outcome
from evals.stats import Interval

Groups = Mapping[str, Mapping[str, Sequence[Outcome]]]
"""task -> question -> its outcomes, one a seed."""


class DifferentQuestions(RecordError):
    """Two systems can't be compared: they did not answer the same questions."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """What one task, or all of them, says about two systems."""

    questions: int
    gained: int
    """Questions on which the system did better than the reference."""
    lost: int
    """Questions on which it did worse."""
    difference: Interval
    """Of the accuracies; over all tasks, the mean of theirs."""
    p: float
    """Of no difference on any question: exact, two-sided, not adjusted."""
    holm: float
    """The same, adjusted for the tasks, or over all of them for the systems, that were looked at beside it."""
    detectable: float | None
    """The smallest gain that so many questions would have shown four times in five; None: none."""

    @property
    def clear(self) -> bool:
        """Whether there is a difference beyond chance: both the adjusted test and the interval say so."""
        return self.holm < stats.ALPHA and 0.0 not in self.difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system beside a reference."""

    system: str
    reference: str
    tasks: dict[str, Contrast]
    """By task, adjusted over the tasks."""
    overall: Contrast
    """Over all tasks; adjusted by `against` over the systems."""


def by_task(outcomes: Sequence[Outcome]) -> Groups:
    """Sort the outcomes of one system by task and question.

    Raises:
        RecordError: an outcome is there twice.
    """
    twice = [key for key, count in Counter(one.key for one in outcomes).items() if count > 1]
    if twice:
        system, _, seed, question = twice[0]
        raise RecordError(
            f"{question} under {system!r}, seed {seed}, is there twice ({len(twice)} such): a row counts once"
        )
    groups: dict[str, dict[str, list[Outcome]]] = {}
    for one in outcomes:
        groups.setdefault(one.task, {}).setdefault(one.question, []).append(one)
    return groups


def by_system(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Sort outcomes by system, in order of first appearance."""
    systems: dict[str, list[Outcome]] = {}
    for one in outcomes:
        systems.setdefault(one.system, []).append(one)
    return systems


def shared(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes on questions that every system answered: what smaller systems can be compared on.

    Raises:
        RecordError: there is no such question.
    """
    asked = [{(one.task, one.question) for one in rows} for rows in by_system(outcomes).values()]
    common = set.intersection(*asked) if asked else set()
    if not common:
        raise RecordError("there is no question that every system answered")
    return [one for one in outcomes if (one.task, one.question) in common]


def scores(questions: Mapping[str, Sequence[Outcome]]) -> list[list[float]]:
    """Return of each question 1 or 0 for each seed: what `stats.accuracy` takes."""
    return [[float(one.correct) for one in seeds] for seeds in questions.values()]


def compare(outcomes: Sequence[Outcome], reference: Sequence[Outcome], seed: int = 0) -> Comparison:
    """Compare a system with a reference on the questions that both answered.

    Args:
        outcomes: of one system.
        reference: of another, on the same questions.
        seed: of the bootstrap.

    Raises:
        DifferentQuestions: one of them lacks questions of the other; names them.
        RecordError: an outcome is there twice, or there is none.
    """
    if not outcomes or not reference:
        raise RecordError("a comparison needs outcomes of two systems")
    names = outcomes[0].system, reference[0].system
    ours, theirs = by_task(outcomes), by_task(reference)
    _same_questions(ours, theirs, names)
    differences = {
        task: [_mean(seeds) - _mean(theirs[task][question]) for question, seeds in questions.items()]
        for task, questions in ours.items()
    }
    raw = {task: stats.flip_test(values) for task, values in differences.items()}
    adjusted = dict(zip(raw, stats.holm(list(raw.values())), strict=True))
    everywhere = [one for values in differences.values() for one in values]
    p = stats.flip_test(everywhere)
    return Comparison(
        system=names[0],
        reference=names[1],
        tasks={
            task: _contrast(values, [values], raw[task], adjusted[task], seed) for task, values in differences.items()
        },
        overall=_contrast(everywhere, list(differences.values()), p, p, seed),
    )


def against(
    systems: Mapping[str, Sequence[Outcome]], reference: str, seed: int = 0
) -> tuple[list[Comparison], dict[str, str]]:
    """Compare every system with one of them; the tests over all tasks are adjusted for there being several systems.

    Returns:
        The comparisons, and of each system that can't be compared the reason.

    Raises:
        RecordError: there is no such reference, or an outcome is there twice.
    """
    if reference not in systems:
        raise RecordError(f"there is no system {reference!r} to compare with; there are {', '.join(systems)}")
    made: list[Comparison] = []
    refused: dict[str, str] = {}
    for name, outcomes in systems.items():
        if name != reference:
            try:
                made.append(compare(outcomes, systems[reference], seed))
            except DifferentQuestions as error:
                refused[name] = str(error)
    adjusted = stats.holm([one.overall.p for one in made])
    return [_adjusted(one, p) for one, p in zip(made, adjusted, strict=True)], refused


def majority(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return what always giving each task's commonest right answer would have scored on these questions, at no cost.

    The commonest is that of these very questions, which is a little more than one could know beforehand.
    """
    asked = {(one.task, one.question): one for one in outcomes}
    golds: dict[str, Counter[str]] = {}
    for one in asked.values():
        golds.setdefault(one.task, Counter())[_plain(one.gold)] += 1
    guesses = {task: min(counts, key=lambda gold: (-counts[gold], gold)) for task, counts in golds.items()}
    return [
        Outcome(
            system="majority answer",
            task=one.task,
            split=one.split,
            question=one.question,
            seed=0,
            status="done",
            answers=(guesses[one.task],),
            gold=one.gold,
            right=0 if _plain(one.gold) == guesses[one.task] else None,
            side=0,
            calls=0,
            prompt_tokens=0,
            cached_tokens=0,
            completion_tokens=0,
            wall_s=0.0,
        )
        for one in asked.values()
    ]


def _contrast(
    differences: Sequence[Fraction], strata: Sequence[Sequence[Fraction]], p: float, holm: float, seed: int
) -> Contrast:
    return Contrast(
        questions=len(differences),
        gained=sum(one > 0 for one in differences),
        lost=sum(one < 0 for one in differences),
        difference=stats.mean([[float(one) for one in stratum] for stratum in strata], seed),
        p=p,
        holm=holm,
        detectable=stats.detectable(differences),
    )


def _adjusted(one: Comparison, p: float) -> Comparison:
    return replace(one, overall=replace(one.overall, holm=p))


def _mean(seeds: Sequence[Outcome]) -> Fraction:
    return Fraction(sum(one.correct for one in seeds), len(seeds))


def _same_questions(ours: Groups, theirs: Groups, names: tuple[str, str]) -> None:
    missing: list[str] = []
    for have, lack, name in ((theirs, ours, names[0]), (ours, theirs, names[1])):
        for task, questions in have.items():
            lacking = [one for one in questions if one not in lack.get(task, {})]
            if lacking:
                more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
                missing.append(f"{name!r} lacks {', '.join(lacking[:3])}{more} of {task}")
    if missing:
        raise DifferentQuestions(f"{names[0]!r} and {names[1]!r} answered different questions: {'; '.join(missing)}")


def _plain(gold: str) -> str:
    return " ".join(gold.split())
