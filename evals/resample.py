"""Votes taken again from stored first drafts: what fewer voices, another cast or another weighting would have decided.

First drafts hear nobody, so any part of them is a vote that could have been held. Where compute is short, curves over
the number of voices are made this way instead of by running every system; what comes out says `resampled` in its name,
and is made of outcomes again, so that all statistics apply. Draws of one question are dependent: they carry seeds of
their own, and statistics take them as several seeds of one question, never as new questions.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from chorus.debate.calibration import Calibration
from chorus.errors import RecordError
from chorus.types import Signals, Turn
from evals import compare, gating, recount, stats
from evals.adaptive import SURE, stands
from evals.outcomes import Draft, Outcome
from evals.stats import Interval
from personas import Library

PLURALITY = 0
WEIGHTED = 1
"""Powers of the confidence that a vote weighs."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a system costs and gives: a point of the accuracy-cost curve."""

    system: str
    computed: float
    """Tokens a question that the engine had to work on."""
    calls: float
    """A question."""
    wall_s: float | None
    """A question; None where votes were taken again, so that no time was measured."""
    accuracy: Interval
    """Mean over the tasks."""

    @property
    def resampled(self) -> bool:
        """Whether votes were taken again rather than held."""
        return self.wall_s is None


def votes(
    outcomes: Sequence[Outcome], k: int, *, power: float | None = None, draws: int = 20, seed: int = 0
) -> list[Outcome]:
    """Return votes of k of the first drafts: all there are, or so many drawn at random.

    Args:
        outcomes: of one system.
        k: how many drafts vote.
        power: of the confidence that they weigh; None is that of the system's own rule.
        draws: how many votes to draw of each outcome, without one twice.
        seed: of the drawing; an outcome's draws depend on its question and seed besides, on no other outcome.

    Raises:
        RecordError: an outcome has fewer first drafts.
    """
    power = _own(outcomes) if power is None else power
    name = f"{_named(outcomes)} · {k} of its drafts"
    found: list[Outcome] = []
    for outcome in outcomes:
        said = recount.turns(outcome)
        for number, chosen in enumerate(_subsets(outcome, k, draws, seed)):
            again = _again(outcome, chosen, said, f"{name}{_weighing(power)}, resampled", power)
            found.append(again.model_copy(update={"seed": outcome.seed * draws + number}))
    return found


def first(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the votes of all first drafts: what would have been decided before anybody heard anybody."""
    name, power = f"{_named(outcomes)} · its first drafts, resampled", _own(outcomes)
    return [_again(outcome, recount.first_drafts(outcome), recount.turns(outcome), name, power) for outcome in outcomes]


def within(outcomes: Sequence[Outcome], budget: int, *, power: float | None = None) -> list[Outcome]:
    """Return votes of as many first drafts, in the order in which they were drawn, as fit a budget; at least one.

    Args:
        outcomes: of one system.
        budget: computed tokens a question.
        power: of the confidence that votes weigh; None is that of the system's own rule.
    """
    power = _own(outcomes) if power is None else power
    name = f"{_named(outcomes)} · within {budget} tokens{_weighing(power)}, resampled"
    found: list[Outcome] = []
    for outcome in outcomes:
        drafts = _drafts(outcome, 1)
        prefixes = [drafts[:size] for size in range(1, len(drafts) + 1)]
        fits = [one for one in prefixes if sum(draft.computed_tokens for draft in _paid(one, drafts)) <= budget]
        found.append(_again(outcome, (fits or prefixes)[-1 if fits else 0], recount.turns(outcome), name, power))
    return found


def adaptive(outcomes: Sequence[Outcome], *, sure: float = SURE, power: float | None = None) -> list[Outcome]:
    """Return the votes of adaptive self-consistency: drafts in the order in which they were drawn, until one stands.

    Drafts that were drawn with the same seed are the ones that it would have drawn (`evals.adaptive`, one at a time).

    Args:
        outcomes: of self-consistency.
        sure: probability that the majority stands at which it stops.
        power: of the confidence that votes weigh; None is that of the system's own rule.
    """
    power = _own(outcomes) if power is None else power
    name, found = f"{_named(outcomes)} · adaptive, resampled", []
    for outcome in outcomes:
        drawn: list[Draft] = []
        votes: Counter[int] = Counter()
        for one in _drafts(outcome, 1):
            drawn.append(one)
            votes.update([] if one.side is None else [one.side])
            if stands(sorted(votes.values(), reverse=True)) >= sure:
                break
        found.append(_again(outcome, drawn, recount.turns(outcome), name, power))
    return found


def cast(outcomes: Sequence[Outcome], personas: Collection[str], *, power: float | None = None) -> list[Outcome]:
    """Return the votes of some personas' first drafts alone.

    Raises:
        RecordError: an outcome has no first draft of any of them.
    """
    power = _own(outcomes) if power is None else power
    name = f"{_named(outcomes)} · {', '.join(sorted(personas))}{_weighing(power)}, resampled"
    found: list[Outcome] = []
    for outcome in outcomes:
        chosen = [one for one in recount.first_drafts(outcome) if one.persona in personas]
        if not chosen:
            raise RecordError(
                f"{outcome.question} under {outcome.system!r} has no first draft of {', '.join(personas)}"
            )
        found.append(_again(outcome, chosen, recount.turns(outcome), name, power))
    return found


def weighed(outcomes: Sequence[Outcome], power: float) -> list[Outcome]:
    """Return what the last positions of all seats would have decided with other weights."""
    found: list[Outcome] = []
    for outcome in outcomes:
        won = recount.vote(recount.standing(outcome), power)
        side = outcome.answers.index(won[0]) if won else None
        found.append(outcome.model_copy(update={"side": side, "resampled": True}))
    return found


def calibrated(outcomes: Sequence[Outcome], calibration: Calibration) -> list[Outcome]:
    """Return what the last positions of all seats would have decided, each weighing its calibrated confidence.

    Raises:
        RecordError: the calibration has no section on voices.
    """
    if calibration.voice is None:
        raise RecordError("the calibration says nothing of single voices: their votes weigh as they did")
    sure = [
        one.model_copy(
            update={
                "system": f"{one.system} · calibrated, resampled",
                "drafts": tuple(
                    draft.model_copy(update={"confidence": calibration.confidence(draft.signals or Signals())})
                    for draft in one.drafts
                ),
                "wall_s": 0.0,
            }
        )
        for one in outcomes
    ]
    return weighed(sure, WEIGHTED)


def gated(outcomes: Sequence[Outcome], calibration: Calibration, library: Library) -> list[Outcome]:
    """Return what a gate would have made of debates that all took part in.

    Where its voices drafted one answer and are sure enough of it, that is the answer, at their cost; else the debate is
    as it was.

    Args:
        outcomes: of one system.
        calibration: with a gate.
        library: where the cards are found whose methods tell which voices stand at the gate.

    Raises:
        RecordError: there is no gate, or the cast of an outcome has too few different voices for it.
    """
    if not (calibration.gate and calibration.answer):
        raise RecordError("the calibration has no gate: nothing is answered before all have been asked")
    name, found = f"{_named(outcomes)} · gated, resampled", []
    for outcome in outcomes:
        seats = gating.gate_seats(outcome, library)
        if not seats:
            raise RecordError(f"{outcome.question} under {outcome.system!r} has no {gating.VOICES} voices for a gate")
        sure = gating.surety(calibration.answer, outcome, seats)
        if sure and sure[0] >= calibration.gate.threshold:
            chosen = [one for one in recount.first_drafts(outcome) if one.seat in seats]
            again = _again(outcome, chosen, recount.turns(outcome), name, PLURALITY)
            found.append(again.model_copy(update={"gated": True, "confidence": sure[0], "calibrated": True}))
        else:
            found.append(outcome.model_copy(update={"system": name, "resampled": True, "wall_s": 0.0}))
    return found


def most(outcomes: Sequence[Outcome]) -> int:
    """Return how many first drafts every outcome has at least."""
    return min((len(recount.first_drafts(one)) for one in outcomes), default=0)


def point(outcomes: Sequence[Outcome], seed: int = 0) -> Point:
    """Return what a system costs and gives."""
    number = max(len(outcomes), 1)
    again = any(one.resampled for one in outcomes)
    strata = [
        [math.fsum(one) / len(one) for one in compare.scores(questions)]
        for questions in compare.by_task(outcomes).values()
    ]
    return Point(
        system=_named(outcomes),
        computed=sum(one.computed_tokens for one in outcomes) / number,
        calls=sum(one.calls for one in outcomes) / number,
        wall_s=None if again else math.fsum(one.wall_s for one in outcomes) / number,
        accuracy=stats.mean(strata, seed),
    )


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats on both axes, cheapest first: of equal cost and accuracy, the first."""
    kept: list[Point] = []
    for one in sorted(points, key=lambda one: (one.computed, -one.accuracy.value)):
        if not kept or one.accuracy.value > kept[-1].accuracy.value:
            kept.append(one)
    return kept


def _again(outcome: Outcome, chosen: Sequence[Draft], said: Sequence[Turn], system: str, power: float) -> Outcome:
    """Return the outcome that a vote of these drafts would have had."""
    won = recount.vote(recount.standing(outcome, {one.seat for one in chosen}, 1, said), power)
    spoke = sum(one.side is not None for one in chosen) / len(chosen)
    paid = _paid(chosen, recount.first_drafts(outcome))
    return outcome.model_copy(
        update={
            "system": system,
            "status": "done" if won else "failed",
            "reason": None if won else "no voice gave an answer",
            "side": outcome.answers.index(won[0]) if won else None,
            "share": won[1] if won else 0.0,
            "confidence": min(1.0, won[1] * spoke) if won else 0.0,
            "rule": "plurality" if power == PLURALITY else "weighted",
            "calibrated": False,
            "gated": False,
            "resampled": True,
            "calls": len(paid),
            "prompt_tokens": sum(one.prompt_tokens for one in paid),
            "cached_tokens": sum(one.cached_tokens for one in paid),
            "completion_tokens": sum(one.completion_tokens for one in paid),
            "wall_s": 0.0,
            "drafts": tuple(paid),
        }
    )


def _paid(chosen: Sequence[Draft], drafts: Sequence[Draft]) -> list[Draft]:
    """Return the chosen drafts with what they would have cost without the others.

    Somebody has to read the prompt that the rest find in the cache. Where whoever did isn't among them, the first is
    charged as much.
    """
    first, *rest = chosen
    most = max(map(_read, drafts))
    if any(_read(one) == most for one in chosen):
        return [first, *rest]
    return [first.model_copy(update={"cached_tokens": max(0, first.prompt_tokens - most)}), *rest]


def _read(draft: Draft) -> int:
    return draft.prompt_tokens - draft.cached_tokens


def _subsets(outcome: Outcome, k: int, draws: int, seed: int) -> Iterator[list[Draft]]:
    """Yield up to `draws` different subsets of the first drafts, each in the record's order."""
    drafts = _drafts(outcome, k)
    if math.comb(len(drafts), k) <= draws:
        yield from map(list, combinations(drafts, k))
        return
    drawn = random.Random(f"{seed} {outcome.seed} {outcome.question}")
    seen: set[tuple[int, ...]] = set()
    while len(seen) < draws:
        chosen = tuple(sorted(drawn.sample(range(len(drafts)), k)))
        if chosen not in seen:
            seen.add(chosen)
            yield [drafts[at] for at in chosen]


def _drafts(outcome: Outcome, k: int) -> list[Draft]:
    """Return the first drafts, of which there must be k."""
    drafts = recount.first_drafts(outcome)
    if not 1 <= k <= len(drafts):
        raise RecordError(
            f"{outcome.question} under {outcome.system!r} has {len(drafts)} first drafts: no {k} can vote"
        )
    return drafts


def _named(outcomes: Sequence[Outcome]) -> str:
    return outcomes[0].system if outcomes else ""


def _own(outcomes: Sequence[Outcome]) -> float:
    """Return the power of the confidence that votes weigh by a system's own rule."""
    return WEIGHTED if outcomes and outcomes[0].rule == "weighted" else PLURALITY


def _weighing(power: float) -> str:
    if power == PLURALITY:
        return ", plain"
    return "" if power == WEIGHTED else f", confidence^{power:g}"
