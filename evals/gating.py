"""When a few voices are enough: the gate's threshold, chosen by what it would have cost on questions already answered.

A gate asks a few voices first and the rest only where they don't agree surely enough. Both can be counted from a debate
that all took part in, so the threshold is fitted and never picked by hand: the lowest under which the gate is as
accurate as convening everybody. Where there is none, there is no gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chorus.casting import first_seats
from chorus.debate import decide
from chorus.debate.calibration import Gate, Logistic, answer_features
from evals import recount, stats
from evals.outcomes import Outcome
from personas import Library, PersonaError

VOICES = 2
FEWEST_ANSWERED = 0.1
"""A gate that answers a smaller share of the questions isn't worth its wait."""
THRESHOLDS = 24
"""How many thresholds are tried, at equal steps through the confidences that occurred."""

Seats = Mapping[tuple[str, str, int, str], Sequence[str]]
"""Key of an outcome -> the seats at its gate."""


def gate_seats(outcome: Outcome, library: Library) -> list[str]:
    """Return the seats that the router would put at the gate; empty where the cast has too few different voices."""
    try:
        seated = {one.seat: library.get(one.persona) for one in outcome.drafts if one.kind == "speech"}
    except PersonaError:  # a card that was written for this question alone
        return []
    first = first_seats(seated, VOICES)
    return list(first) if len(first) == VOICES else []


def agreed(outcome: Outcome, seats: Sequence[str]) -> bool:
    """Tell whether the seats at the gate drafted one and the same answer."""
    sides = [draft.side for seat, draft in recount.held(outcome, 1).items() if seat in seats]
    return bool(seats) and len(sides) == len(seats) and len(set(sides)) == 1


def fit_gate(
    answer: Logistic,
    fitting: Sequence[Outcome],
    held_out: Sequence[Outcome],
    seats: Seats,
    margin: float,
    seed: int,
) -> tuple[Gate | None, str]:
    """Choose the lowest threshold under which a gate costs no accuracy, and say how it does on the held-out questions.

    It qualifies where, over all fitting questions, answering at the gate is on average at least as accurate as always
    convening everybody, and the lower end of the paired 95% interval is above minus the margin.
    """
    if not all(seats[one.key] for one in fitting):
        return None, f"no gate: it needs {VOICES} voices of different cards that are known here"
    sure = [surety(answer, one, seats[one.key]) for one in fitting]
    levels = sorted({round(one[0], 4) for one in sure if one})
    if not levels:
        return None, "no gate: its voices never agreed"
    tried = sorted({float(level) for level in np.quantile(levels, np.linspace(0, 1, THRESHOLDS), method="lower")})
    for threshold in tried:
        taken = [(one, at[1]) for one, at in zip(fitting, sure, strict=True) if at and at[0] >= threshold]
        answered = len(taken) / len(fitting)
        if answered < FEWEST_ANSWERED:
            break
        gain = stats.mean([_gains(fitting, sure, threshold)], seed)
        if gain.value >= 0 and gain.low > -margin:
            right = stats.wilson(sum(was for _, was in taken), len(taken))
            gate = Gate(
                voices=VOICES,
                threshold=threshold,
                answered=round(answered, 4),
                accuracy=round(right.value, 4),
                interval=(round(right.low, 4), round(right.high, 4)),
            )
            return gate, _gate_told(gate, gain, margin, held_out, answer, seats, seed)
    return None, (
        f"no gate: at none of {len(tried)} thresholds are {VOICES} agreeing voices as accurate as all of them, with "
        f"a margin of {margin:.0%} and at least {FEWEST_ANSWERED:.0%} of the questions answered"
    )


def surety(answer: Logistic, outcome: Outcome, seats: Sequence[str]) -> tuple[float, bool] | None:
    """Return how sure the gate's voices are together and whether they are right; None where they don't agree."""
    if not agreed(outcome, seats):
        return None
    standing = recount.standing(outcome, seats, 1)
    decision = decide.rule("plurality").count(standing)
    right = outcome.right is not None and decision.answer == outcome.answers[outcome.right]
    return answer.probability(answer_features(decision, standing)), right


def _gains(outcomes: Sequence[Outcome], sure: Sequence[tuple[float, bool] | None], threshold: float) -> list[float]:
    """Return of each question the accuracy with the gate less that without, averaged over its seeds."""
    gains: dict[tuple[str, str], list[float]] = {}
    for one, at in zip(outcomes, sure, strict=True):
        gain = float(at[1]) - float(one.correct) if at and at[0] >= threshold else 0.0
        gains.setdefault((one.task, one.question), []).append(gain)
    return [sum(values) / len(values) for values in gains.values()]


def _gate_told(
    gate: Gate,
    gain: stats.Interval,
    margin: float,
    held_out: Sequence[Outcome],
    answer: Logistic,
    seats: Seats,
    seed: int,
) -> str:
    sure = [surety(answer, one, seats[one.key]) for one in held_out]
    taken = [at for at in sure if at and at[0] >= gate.threshold]
    unseen = stats.mean([_gains(held_out, sure, gate.threshold)], seed)
    return (
        f"gate: {gate.voices} voices that agree at {gate.threshold:.3f} answer {gate.answered:.0%} of the fitting "
        f"questions; accuracy {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] against convening all (margin "
        f"{margin:g}). Held out: {len(taken) / max(len(held_out), 1):.0%} answered, "
        f"{unseen.value:+.3f} [{unseen.low:+.3f}, {unseen.high:+.3f}]"
    )
