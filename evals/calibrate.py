"""Fitting `calibration.json`: what a voice's and a decision's confidence is worth, and when a few voices are enough.

The features are those of `chorus.debate.calibration`, and so is the file. Questions are parted into those that are
fitted on and those that are held out, by question, so that no answer to a held-out question has been seen; nothing of
a `test` split is fitted on unless asked for. Every section has to earn its place: where there is nothing to learn, or
no gate threshold under which the few are as good as all, it is left out, and the notes say so.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit

from chorus import whole_file
from chorus.debate import decide
from chorus.debate.calibration import Fitted, Gate, Logistic, answer_features, voice_features
from chorus.errors import RecordError
from chorus.types import Signals
from evals import knowing, recount
from evals.gating import Seats, agreed, fit_gate, gate_seats
from evals.outcomes import Outcome
from personas import Library

HELD_OUT = 0.3
"""Share of the questions that nothing is fitted on."""
MARGIN = 0.02
"""Accuracy that a gate may cost, at the lower end of the interval."""

Row = tuple[str, dict[str, float], bool, float]
"""Question, features, whether it was right, confidence without a calibration."""


@dataclass(frozen=True, slots=True)
class Check:
    """How far a section's probabilities are off on the held-out questions, before and after."""

    section: str
    questions: int
    brier: tuple[float, float]
    ece: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was fitted, and what it is worth."""

    fitted: Fitted
    voice: Logistic | None
    answer: Logistic | None
    gate: Gate | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    """What was left out and why; how the gate does on the held-out questions."""

    def write(self, path: str | Path) -> None:
        """Write the file that `chorus.debate.calibration.load` reads. Raises RecordError."""
        sections = {name: getattr(self, name) for name in ("fitted", "voice", "answer", "gate")}
        whole = {"schema": 1} | {name: one.model_dump(mode="json") for name, one in sections.items() if one}
        try:
            whole_file.put(Path(path), json.dumps(whole, indent=1) + "\n")
        except OSError as error:
            raise RecordError(f"can't write the calibration to {path}: {error.strerror or error}") from error


def fit(
    outcomes: Sequence[Outcome],
    command: str,
    *,
    seed: int = 0,
    margin: float = MARGIN,
    test_too: bool = False,
    library: Library | None = None,
) -> Calibrated:
    """Fit a calibration on the outcomes of one system.

    Args:
        outcomes: of one system on one engine; the `test` split is refused.
        command: what to run to get the file again.
        seed: of the parting of the questions and of the bootstrap.
        margin: accuracy that the gate may cost at the lower end of its interval.
        test_too: fit on the `test` split all the same.
        library: where the cards are found whose methods tell which voices stand at the gate.

    Raises:
        RecordError: no outcomes, several systems or engines, or questions that are not to be fitted on.
    """
    _check(outcomes, test_too)
    fitting, held_out = _parted(outcomes, seed)
    voices = [_voice_rows(fitting), _voice_rows(held_out)]
    seats = {one.key: gate_seats(one, library or Library.builtin()) for one in outcomes}
    answers = [_answer_rows(part, seats) for part in (fitting, held_out)]
    notes: list[str] = []
    sections: dict[str, Logistic | None] = {}
    checks: list[Check] = []
    for name, (seen, unseen) in (("voice", voices), ("answer", answers)):
        sections[name] = fitted = _logistic(seen)
        if fitted is None:
            notes.append(f"no section {name}: its answers are too few, or all right, or all wrong")
        else:
            checks.append(_check_of(name, fitted, unseen))
    gate = None
    if answer := sections["answer"]:
        gate, told = fit_gate(answer, fitting, held_out, seats, margin, seed)
        notes.append(told)
    return Calibrated(_origin(fitting, command, seed), sections["voice"], answer, gate, tuple(checks), tuple(notes))


def _check(outcomes: Sequence[Outcome], test_too: bool) -> None:
    if len(systems := {one.system for one in outcomes}) > 1:
        raise RecordError(
            f"a calibration is of one system, and these are of {len(systems)}: pick one with --system "
            f"({', '.join(sorted(systems))})"
        )
    if (engines := len({(one.engine, one.checkpoint_sha256) for one in outcomes})) > 1:
        raise RecordError(f"a calibration is of one engine, and these are of {engines}: give results of one")
    if gated := [one.question for one in outcomes if one.gated]:
        raise RecordError(f"{gated[0]} was answered at a gate: fit on debates that all voices took part in")
    if len({one.question for one in outcomes}) < 10:
        raise RecordError("a calibration wants at least ten questions, better some hundreds")
    if (tested := [one.question for one in outcomes if one.split == "test"]) and not test_too:
        raise RecordError(
            f"{tested[0]} and {len(tested) - 1} more are of the test split, which is for measuring and not for "
            "fitting; --fit-on-test overrules that"
        )


def _parted(outcomes: Sequence[Outcome], seed: int) -> tuple[list[Outcome], list[Outcome]]:
    parting = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=seed)
    fitting, held_out = next(parting.split(outcomes, groups=[one.question for one in outcomes]))
    return [outcomes[at] for at in fitting], [outcomes[at] for at in held_out]


def _voice_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    return [
        (one.question, voice_features(draft.signals or Signals()), draft.side == one.right, draft.confidence or 0.0)
        for one in outcomes
        for draft in recount.spoken(one)
    ]


def _answer_rows(outcomes: Sequence[Outcome], seats: Seats) -> list[Row]:
    """Return each question twice: as all decided it in the end, and as the gate's voices would have, where they agree."""
    rows: list[Row] = []
    for one in outcomes:
        for among, last in ((None, None), (seats[one.key], 1)):
            standing = recount.standing(one, among, last)
            if not standing.sides or (among is not None and not agreed(one, among)):
                continue
            decision = decide.rule("plurality" if among else recount.counted_by(one)).count(standing)
            right = one.right is not None and decision.answer == one.answers[one.right]
            rows.append((one.question, answer_features(decision, standing), right, decision.confidence))
    return rows


def _logistic(rows: Sequence[Row]) -> Logistic | None:
    """Fit a logistic regression, lightly held back (L2, C = 1); features that never vary are left to the intercept."""
    right = [row[2] for row in rows]
    if min(sum(right), len(right) - sum(right)) < 5:
        return None
    names = [name for name in rows[0][1] if len({row[1][name] for row in rows}) > 1]
    if not names:
        return None
    model = LogisticRegression(C=1.0, max_iter=1000).fit([[row[1][name] for name in names] for row in rows], right)
    weights = {name: round(float(weight), 4) for name, weight in zip(names, model.coef_[0], strict=True)}
    return Logistic(intercept=round(float(model.intercept_[0]), 4), weights=weights)


def _check_of(section: str, fitted: Logistic, rows: Sequence[Row]) -> Check:
    right = np.array([row[2] for row in rows], dtype=np.float64)
    before = np.array([row[3] for row in rows])
    after = np.array([fitted.probability(row[1]) for row in rows])
    return Check(
        section,
        len({row[0] for row in rows}),
        (knowing.brier(before, right), knowing.brier(after, right)),
        (knowing.ece(before, right), knowing.ece(after, right)),
    )


def _origin(fitting: Sequence[Outcome], command: str, seed: int) -> Fitted:
    return Fitted(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        command=command,
        engine=fitting[0].engine,
        checkpoint_sha256=fitting[0].checkpoint_sha256,
        questions=len({one.question for one in fitting}),
        split=", ".join(sorted({one.split for one in fitting if one.split})) or "none",
        seed=seed,
    )


def lines(of: Calibrated) -> Iterator[str]:
    """Yield what a person should know of a calibration."""
    origin = of.fitted
    yield f"fitted on {origin.questions} questions ({origin.split}) answered by {origin.engine or 'an engine not named'}"
    for one in of.checks:
        yield (
            f"{one.section}: on {one.questions} questions held out, Brier {one.brier[0]:.3f} -> {one.brier[1]:.3f}, "
            f"ECE {one.ece[0]:.3f} -> {one.ece[1]:.3f}"
        )
    yield from of.notes
