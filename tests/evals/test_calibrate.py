"""`calibration.json`, fitted: on what is known, and checked on what was held out."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", reason="needs the `evals` extra")

from debates import LIBRARY, SUM, cast, engine, in_virtual_time, plan
from synthetic import outcomes

from chorus.config import Settings
from chorus.debate import calibration
from chorus.debate.scheduler import Debate
from chorus.errors import RecordError
from chorus.route import route
from evals import calibrate, gating, resample
from evals.outcomes import outcome

FIVE = ("skeptic", "estimator", "formalist", "decomposer", "tester")
KNOWN = outcomes(cast=FIVE, right=0.55, questions=200, knows=0.5, split="train", spread=0.3)


@pytest.fixture(scope="module")
def fitted():
    return calibrate.fit(KNOWN, "a test", library=LIBRARY)


def test_the_file_is_read_by_the_debate(fitted, tmp_path):
    fitted.write(tmp_path / "calibration.json")
    read = calibration.load(tmp_path / "calibration.json")
    assert (read.fitted.split, read.fitted.questions, read.fitted.engine) == ("train", 140, "scripted:made-up")
    assert read.voice == fitted.voice
    of = plan(seats=FIVE, rounds=1, decision="weighted")
    answer = in_virtual_time(
        Debate(of, SUM, cast(of), engine(default={"text": "Answer: 56", "confidence": 0.9}), calibration=read).hold()
    )
    assert answer.decision.calibrated


def test_sure_voices_are_believed_more(fitted):
    assert fitted.voice.weights["text"] > 0
    assert "no_stated" not in fitted.voice.weights, "it never varied"


def test_it_is_better_on_questions_that_it_has_not_seen(fitted):
    voice, answer = fitted.checks
    assert (voice.section, voice.questions, answer.questions) == ("voice", 60, 60)
    assert voice.brier[1] < voice.brier[0]
    assert voice.ece[1] < voice.ece[0]


def test_no_question_is_on_both_sides():
    seeds = [one for seed in (0, 1) for one in outcomes(cast=FIVE, questions=40, seeds=(seed,))]
    fitting, held_out = calibrate._parted(seeds, 0)
    assert {one.question for one in fitting}.isdisjoint(one.question for one in held_out)
    assert len(fitting) + len(held_out) == 80


def test_the_test_split_is_not_fitted_on():
    rows = outcomes(cast=FIVE, questions=20, split="test")
    with pytest.raises(RecordError, match="sums/test/0 and 19 more are of the test split"):
        calibrate.fit(rows, "a test")
    assert calibrate.fit(rows, "a test", test_too=True).fitted.split == "test"


def test_systems_are_not_mixed():
    with pytest.raises(
        RecordError, match=r"of one system, and these are of 2: pick one with --system \(chorus, other\)"
    ):
        calibrate.fit(KNOWN + outcomes("other"), "a test")


def test_a_gate_that_is_as_good_as_all_is_found(fitted):
    """Voices that know when they are right: two that agree surely can answer for all."""
    assert fitted.gate is not None
    assert fitted.gate.answered >= gating.FEWEST_ANSWERED
    assert fitted.gate.interval[0] <= fitted.gate.accuracy <= fitted.gate.interval[1]
    assert any("Held out" in note for note in fitted.notes)


def test_a_gate_that_is_not_worth_it_is_left_out():
    """Two voices that agree on nonsense, which three others put right every time."""
    rows = []
    for number, one in enumerate(outcomes(cast=FIVE, right=1.0, questions=80, knows=0.0, rule="plurality")):
        gate = gating.gate_seats(one, LIBRARY)
        drafts = tuple(
            draft.model_copy(update={"side": 1 if draft.seat in gate and number % 2 else draft.side})
            for draft in one.drafts
        )
        rows.append(one.model_copy(update={"drafts": drafts}))
    rows += [
        one.model_copy(update={"question": f"{one.question}-wrong"})
        for one in outcomes(cast=FIVE, right=0.0, questions=20, knows=0.0, rule="plurality")
    ]
    fitted = calibrate.fit(rows, "a test", library=LIBRARY)
    assert fitted.answer is not None
    assert fitted.gate is None
    assert any(note.startswith("no gate: at none of") for note in fitted.notes)


def test_nothing_to_learn_is_left_out():
    fitted = calibrate.fit(outcomes(cast=FIVE, right=1.0, questions=30), "a test", library=LIBRARY)
    assert (fitted.voice, fitted.answer, fitted.gate) == (None, None, None)
    assert "no section voice" in fitted.notes[0]


def test_the_gates_seats_are_those_that_the_router_chooses(fitted, tmp_path):
    fitted.write(tmp_path / "calibration.json")
    settings = Settings(personas=",".join(FIVE), calibration=str(tmp_path / "calibration.json"), gate=True)
    loaded = calibration.load(tmp_path / "calibration.json")
    routed = in_virtual_time(route(SUM, settings, engine(), LIBRARY, calibration=loaded))
    assert tuple(gating.gate_seats(KNOWN[0], LIBRARY)) == routed.plan.gate.seats


def test_the_gate_is_as_sure_as_the_debate_finds_it(fitted, tmp_path):
    """The surety that the threshold was fitted on is the one that a debate holds against it."""
    fitted.write(tmp_path / "calibration.json")
    read = calibration.load(tmp_path / "calibration.json")
    gate = gating.gate_seats(KNOWN[0], LIBRARY)
    of = plan(seats=FIVE, rounds=1, gate={"seats": gate, "threshold": 0.0})
    question = SUM.model_copy(update={"answer": "56", "id": "sums/dev/1"})
    said = engine(default={"text": "Answer: 56", "confidence": 0.8})
    held = in_virtual_time(Debate(of, question, cast(of), said, calibration=read).hold())
    row = outcome(held, "chorus", "sums", "dev")
    assert row.gated
    sure, right = gating.surety(fitted.answer, row, gate)
    assert right
    assert sure == pytest.approx(held.confidence)


def test_a_gate_can_be_tried_out_on_debates_that_all_took_part_in(fitted, tmp_path):
    fitted.write(tmp_path / "calibration.json")
    read = calibration.load(tmp_path / "calibration.json")
    rows = outcomes(cast=FIVE, right=0.55, questions=100, knows=0.5, spread=0.3)
    tried = resample.gated(rows, read, LIBRARY)
    assert {one.system for one in tried} == {"chorus · gated, resampled"}
    for one, was in zip(tried, rows, strict=True):
        gate = gating.gate_seats(was, LIBRARY)
        sure = gating.surety(read.answer, was, gate)
        assert one.gated == (sure is not None and sure[0] >= read.gate.threshold)
        assert (one.calls, one.computed_tokens < was.computed_tokens) == ((2, True) if one.gated else (5, False))
        assert one.correct == (sure[1] if one.gated else was.correct)
    assert 0 < sum(one.gated for one in tried) < len(tried)


def test_a_file_without_a_gate_gates_nothing(fitted, tmp_path):
    fitted.write(tmp_path / "calibration.json")
    without = calibration.load(tmp_path / "calibration.json").model_copy(update={"gate": None})
    with pytest.raises(RecordError, match="has no gate"):
        resample.gated(KNOWN, without, LIBRARY)


def test_calibrated_votes_weigh_what_they_are_worth(fitted, tmp_path):
    fitted.write(tmp_path / "calibration.json")
    read = calibration.load(tmp_path / "calibration.json")
    again = resample.calibrated(KNOWN, read)
    assert {one.system for one in again} == {"chorus · calibrated, resampled"}
    first = again[0].drafts[0]
    assert first.confidence == read.confidence(first.signals)
    assert sum(one.correct for one in again) >= sum(one.correct for one in KNOWN)
