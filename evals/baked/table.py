"""The comparison as rows: each way of answering with what it scores, what it costs, and what it cost to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evals import compare, inside, resample, stats
from evals.baked import cost, reading
from evals.baked.arms import Arm
from evals.baked.reading import Loss
from evals.baked.systems import BASE, CHORUS, DRAWN, INNER, Way
from evals.outcomes import Outcome
from evals.resample import Point
from evals.stats import Interval

COLUMNS = (
    "way of answering",
    "accuracy [95%]",
    "computed tokens a question",
    "read and written",
    "written",
    "calls",
    "seconds, asked alone",
    "computed tokens a right answer",
    "pass@k [95%]",
    "other tasks [95%]",
    "perplexity (against the base's [95%])",
    "voices",
    "training, s",
    "updates",
    "rollout tokens",
    "pays after … questions",
)


@dataclass(frozen=True)
class Part:
    """Some of the tasks."""

    outcomes: Mapping[str, Sequence[Outcome]]
    """By way of answering."""
    points: Mapping[str, Point]
    """What each gives and costs."""


@dataclass(frozen=True)
class Measured:
    """All that was found out."""

    outcomes: Sequence[Outcome]
    """Of all ways, on all tasks."""
    alone: Sequence[Outcome]
    """Of questions asked one at a time."""
    ways: Sequence[Way]
    """The arms in their styles."""
    tasks: Sequence[str]
    """Those that the checkpoint was trained on; all others are other tasks."""
    majority: str | None
    """Name of the vote of k samples, whose drafts are the base's k samples."""
    losses: Mapping[str, Sequence[Loss]] = field(default_factory=dict)
    """By way of answering, how ordinary text is read."""
    seed: int = 0
    """Of the bootstrap."""

    @cached_property
    def trained(self) -> Part:
        """What was asked of the tasks that the checkpoint was trained on."""
        return self._part([one for one in self.outcomes if one.task in self.tasks])

    @cached_property
    def elsewhere(self) -> Part:
        """What was asked of other tasks."""
        return self._part([one for one in self.outcomes if one.task not in self.tasks])

    def arm(self, name: str) -> Arm | None:
        """Return the arm that a way asks; None where it asks what all came from."""
        return next((way.arm for way in self.ways if way.name == name), None)

    def _part(self, outcomes: Sequence[Outcome]) -> Part:
        """Sort outcomes by way, in the order of the table; drawn answers are left out."""
        found = compare.by_system(outcomes)
        order = (BASE, INNER, self.majority, CHORUS, *(way.name for way in self.ways))
        kept = {name: found[name] for name in order if name in found}
        return Part(kept, {name: resample.point(of, self.seed) for name, of in kept.items()})


def rows(found: Measured) -> list[list[Any]]:
    """Return a row for each way of answering, in the order of the columns."""
    points, elsewhere = found.trained.points, found.elsewhere.points
    alone = {name: cost.latency(of) for name, of in compare.by_system(found.alone).items()}
    return [
        [
            name,
            _interval(points[name].accuracy),
            f"{points[name].computed:.0f}",
            f"{sum(one.prompt_tokens + one.completion_tokens for one in of) / len(of):.0f}",
            f"{sum(one.completion_tokens for one in of) / len(of):.0f}",
            f"{points[name].calls:.1f}",
            _figure(alone.get(name), ".2f"),
            _figure(per_right(of), ".0f"),
            _interval(pass_at_k(name, found)),
            _interval(elsewhere[name].accuracy if name in elsewhere else None),
            _perplexity(name, found),
            _voices(of),
            *_made(found.arm(name), alone.get(CHORUS), alone.get(name)),
        ]
        for name, of in found.trained.outcomes.items()
    ]


def per_right(outcomes: Sequence[Outcome]) -> float | None:
    """Return the tokens computed for one right answer; None where there was none."""
    right = sum(one.correct for one in outcomes)
    return sum(one.computed_tokens for one in outcomes) / right if right else None


def pass_at_k(name: str, found: Measured) -> Interval | None:
    """Return the share of questions that one of k drawn answers is right on; None where none were drawn."""
    if name == BASE:
        votes = [one for one in found.outcomes if one.system == found.majority]
        return stats.wilson(inside.pool(votes).drafted, len(votes)) if votes else None
    drawn = [one for one in found.outcomes if one.system == name + DRAWN]
    questions = [seeds for task in compare.by_task(drawn).values() for seeds in task.values()]
    return (
        stats.wilson(sum(any(one.correct for one in seeds) for seeds in questions), len(questions)) if drawn else None
    )


def _perplexity(name: str, found: Measured) -> str:
    losses, base = found.losses.get(name), found.losses.get(BASE)
    if losses is None:
        return "–"
    value = f"{reading.perplexity(losses):.2f}"
    if base is None or name == BASE:
        return value
    rose = reading.change(losses, base, found.seed)
    return f"{value} (x{rose.value:.3f} [{rose.low:.3f}, {rose.high:.3f}])"


def _voices(outcomes: Sequence[Outcome]) -> str:
    """Return how many different seats speak in an answer, on average."""
    spoke = [len({draft.seat for draft in one.drafts if draft.kind == "speech"}) for one in outcomes]
    return f"{sum(spoke) / len(spoke):.1f}"


def _made(arm: Arm | None, chorus: float | None, own: float | None) -> list[str]:
    if arm is None:
        return ["–", "–", "–", "–"]
    spent = cost.spent(arm)
    pays = cost.pays_after(spent.seconds, chorus, own) if spent.here else None
    return [f"{spent.seconds:.0f}", f"{arm.updates}", f"{spent.rollout_tokens or '–'}", f"{pays:,}" if pays else "–"]


def _interval(found: Interval | None) -> str:
    return "–" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
