"""What confidence is worth: the calibration file, the signals it reads, and the gate that it opens."""

from __future__ import annotations

import json
import math

import pytest
from debates import LIBRARY, SEATS, SUM, after, cast, engine, fails, in_virtual_time, plan
from hypothesis import given
from hypothesis import strategies as st

from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.debate import calibration
from chorus.debate.calibration import Calibration, answer_features, log_odds, voice_features
from chorus.debate.confidence import signals, span_probability
from chorus.debate.decide import decide
from chorus.debate.scheduler import Debate
from chorus.debate.sides import stand
from chorus.engines.base import Completion, TokenLogprob
from chorus.errors import ConfigError, RecordError
from chorus.record import jsonl
from chorus.replay import redecide
from chorus.types import GatePlan, Position, Signals, Turn, Usage

FITTED = {
    "date": "2026-11-24",
    "command": "a test",
    "engine": "scripted:memory",
    "questions": 40,
    "split": "train",
    "seed": 0,
}
FILE = {
    "schema": 1,
    "fitted": FITTED,
    "voice": {"intercept": 0.0, "weights": {"text": 1.0}},
    "answer": {"intercept": 0.0, "weights": {"text": 1.0}},
    "gate": {"voices": 2, "threshold": 0.8, "answered": 0.6, "accuracy": 0.9, "interval": [0.8, 0.95]},
}
FIVE = (*SEATS, "decomposer", "tester")


@pytest.fixture
def file(tmp_path):
    """Writes a calibration file with some of its fields changed."""

    def write(**changes) -> str:
        path = tmp_path / "calibration.json"
        path.write_text(json.dumps({name: value for name, value in {**FILE, **changes}.items() if value is not None}))
        return str(path)

    return write


def said(*tokens: tuple[str, float]) -> Completion:
    """A completion of tokens with their probabilities."""
    logprobs = tuple(TokenLogprob(token, math.log(probability)) for token, probability in tokens)
    return Completion("".join(token for token, _ in tokens), "stop", Usage(), logprobs)


class TestSignals:
    def test_the_answers_own_tokens_are_found(self):
        text = said(("So", 0.5), (" 5", 0.9), ("6", 0.4), (".", 0.5), ("\nAnswer:", 0.9), (" 5", 0.8), ("6", 0.5))
        seen = signals(text, "56")
        assert seen.span == pytest.approx(math.sqrt(0.8 * 0.5)), "where it stands last"
        assert seen.text == pytest.approx((0.5 + 0.9 + 0.4 + 0.5 + 0.9 + 0.8 + 0.5) / 7)
        assert seen.stated is None

    def test_a_number_is_not_found_inside_another(self):
        assert span_probability(
            said(("Answer: ", 0.9), ("7", 0.6), (", not ", 0.9), ("177", 0.1)), "7"
        ) == pytest.approx(0.6)

    def test_what_is_not_spelled_out_has_no_tokens(self):
        assert span_probability(said(("fifty-six", 0.9)), "56") is None
        assert span_probability(Completion("Answer: 56", "stop", Usage()), "56") is None

    def test_tokens_that_are_not_the_text_tell_nothing(self):
        odd = Completion("Answer: 56", "stop", Usage(), (TokenLogprob("56", -0.1),))
        assert span_probability(odd, "56") is None

    @given(st.text(), st.text(), st.lists(st.tuples(st.text(max_size=3), st.floats(-9, 0)), max_size=8))
    def test_no_text_raises(self, text, answer, tokens):
        logprobs = tuple(TokenLogprob(token, logprob) for token, logprob in tokens)
        found = signals(Completion(text, "stop", Usage(), logprobs), answer)
        assert found.span is None or 0 <= found.span <= 1

    def test_they_stand_in_the_record(self):
        of = plan(rounds=1)
        answer = in_virtual_time(
            Debate(of, SUM, cast(of), engine(default={"text": "Answer: 56", "confidence": 0.9})).hold()
        )
        assert answer.turns[0].position.signals.span == pytest.approx(0.9, abs=0.1)
        assert jsonl.loads(jsonl.dumps(answer)) == answer


class TestFile:
    def test_it_is_read(self, file):
        read = calibration.load(file())
        assert (read.fitted.questions, read.gate.threshold) == (40, 0.8)
        assert len(read.sha256) == 64

    @pytest.mark.parametrize(
        ("changes", "wrong"),
        [
            ({"schema": 2}, "schema"),
            ({"fitted": None}, "fitted"),
            ({"voice": {"intercept": "much", "weights": {}}}, "voice.intercept"),
            ({"voice": {"intercept": 0, "weights": {"mood": 1}}}, "no feature 'mood'"),
            ({"answer": {"intercept": 0, "weights": {"share": float("nan")}}}, "answer.weights.share"),
            ({"answer": None}, "a gate needs the section answer"),
            ({"gate": {**FILE["gate"], "threshold": 1.5}}, "gate.threshold"),
            ({"gate": {**FILE["gate"], "voices": 1}}, "gate.voices"),
            ({"temperature": 1}, "temperature"),
        ],
    )
    def test_a_faulty_one_is_refused_by_name_of_the_field(self, file, changes, wrong):
        with pytest.raises(ConfigError, match=r"calibration\.json") as refused:
            calibration.load(file(**changes))
        assert wrong in str(refused.value)

    @pytest.mark.parametrize("content", ["", "[]", "{", "\udc80", '{"schema": 1' + "}" * 3, "[" * 100_000])
    def test_so_is_what_is_no_calibration_at_all(self, tmp_path, content):
        path = tmp_path / "calibration.json"
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(ConfigError, match=r"calibration\.json"):
            calibration.load(path)
        with pytest.raises(ConfigError, match="can't read"):
            calibration.load(tmp_path / "none.json")

    def test_one_fitted_on_another_model_is_doubted_in_the_record(self, file):
        read = calibration.load(file(fitted={**FITTED, "engine": "hf:smollm2-135m"}))
        of = plan(rounds=1)
        answer = in_virtual_time(Debate(of, SUM, cast(of), engine(), calibration=read).hold())
        assert answer.notes == ("the calibration was fitted on hf:smollm2-135m, not on this engine's model",)


probabilities = st.floats(0, 1)


class TestConfidence:
    @given(probabilities, probabilities, st.floats(-5, 5), st.floats(0, 5))
    def test_it_is_a_probability_and_grows_with_its_signals(self, low, high, intercept, weight):
        low, high = sorted((low, high))
        voice = {"intercept": intercept, "weights": {"span": weight}}
        read = Calibration.model_validate({"schema": 1, "fitted": FITTED, "voice": voice})
        less, more = read.confidence(Signals(span=low)), read.confidence(Signals(span=high))
        assert 0 <= less <= more <= 1

    def test_a_missing_signal_has_a_weight_of_its_own(self):
        assert voice_features(Signals(span=0.5)) == {
            "span": 0.0,
            "no_span": 0.0,
            "text": 0.0,
            "no_text": 1.0,
            "stated": 0.0,
            "no_stated": 1.0,
        }

    def test_the_decisions_features_are_the_winners(self):
        turns = [
            Turn(
                id=f"1.{seat}",
                round=1,
                seat=seat,
                persona=seat,
                position=Position(answer=answer, signals=Signals(text=sure)),
            )
            for seat, answer, sure in (("a", "56", 0.9), ("b", "56", 0.7), ("c", "54", 0.2))
        ]
        standing = stand(SUM, "number", turns, "abc")
        features = answer_features(decide("plurality", SUM, "number", turns, "abc"), standing)
        assert features["share"] == pytest.approx(log_odds(2 / 3))
        assert features["voices"] == pytest.approx(math.log(3))
        assert features["text"] == pytest.approx((log_odds(0.9) + log_odds(0.7)) / 2)

    def test_voices_and_the_decision_say_what_the_file_makes_of_them(self, file):
        read = calibration.load(file(voice={"intercept": -1.0, "weights": {"text": 1.0}}))
        of = plan(rounds=1, decision="weighted")
        speaker = engine(default={"text": "Answer: 56", "confidence": 0.9})
        answer = in_virtual_time(Debate(of, SUM, cast(of), speaker, calibration=read).hold())
        position = answer.turns[0].position
        assert log_odds(position.confidence) == pytest.approx(log_odds(position.signals.text) - 1)
        assert answer.decision.calibrated
        assert answer.confidence == pytest.approx(position.signals.text, abs=1e-6)

    def test_a_ruling_is_not_what_it_was_fitted_on(self, file):
        of = plan(rounds=1, decision="judge")
        answer = in_virtual_time(Debate(of, SUM, cast(of), engine(), calibration=calibration.load(file())).hold())
        assert not answer.decision.calibrated


def gated(speaker, file, seats=FIVE, **changes):
    """Hold a debate behind a gate of two voices."""
    of = plan(seats=seats, gate=GatePlan(seats=seats[:2], threshold=0.8), **changes)
    debate = Debate(of, SUM, cast(of), speaker, calibration=calibration.load(file()))
    return in_virtual_time(debate.hold())


def sure(text: str = "Answer: 56", confidence: float = 0.95) -> dict:
    return after(1, text, confidence=confidence)


class TestGate:
    def test_voices_that_agree_surely_answer_for_all(self, file):
        speaker = engine(default=sure())
        answer = gated(speaker, file)
        assert (answer.answer, answer.status, speaker.calls.started) == ("56", "done", 2)
        assert [turn.id for turn in answer.turns] == ["1.skeptic", "1.estimator"]
        assert answer.decision.note == answer.notes[0]
        assert answer.notes[0].startswith("the gate answered: 2 of 5 voices agreed at 0.95, 0.80 is enough")
        assert answer.usage.wall_s == 1

    @pytest.mark.parametrize(
        "second",
        [sure("Answer: 54"), sure(confidence=0.3), sure("I can't tell."), fails()],
        ids=["another answer", "unsure", "no answer", "a failure"],
    )
    def test_else_all_convene_and_the_first_drafts_are_kept(self, file, second):
        speaker = engine({"1.estimator": second}, default=sure())
        answer = gated(speaker, file)
        assert len(answer.turns) == 10
        assert answer.turns[0].usage.calls == 1, "the draft of the gate is the debate's"
        assert not any("gate" in note for note in answer.notes)
        assert {turn.seat for turn in answer.turns if turn.status == "done"} >= set(FIVE) - {"estimator"}

    def test_the_others_wait_for_the_gate(self, file):
        answer = gated(engine({"1.estimator": sure("Answer: 54")}, default=sure()), file, rounds=1, decision="weighted")
        assert answer.usage.wall_s == 2

    def test_texts_cant_agree(self, file):
        of = {"kind": "text", "decision": "plurality"}
        answer = gated(engine(default=sure()), file, **of)
        assert "the gate stood open: answers of this kind can't be compared" in answer.notes
        assert len(answer.turns) == 10

    def test_a_rule_that_asks_for_more_turns_asks_none(self, file):
        speaker = engine(default=sure())
        answer = gated(speaker, file, decision="judge")
        assert (speaker.calls.started, answer.decision.rule) == (2, "plurality")

    def test_a_budget_may_end_at_the_gate(self, file):
        of = plan(seats=FIVE, gate=GatePlan(seats=FIVE[:2], threshold=0.8))
        from chorus.debate.budget import Limits

        speaker, limits = engine(default=sure()), Limits(max_calls=1)
        answer = in_virtual_time(
            Debate(of, SUM, cast(of), speaker, limits=limits, calibration=calibration.load(file())).hold()
        )
        assert (answer.status, speaker.calls.started) == ("cut", 1)
        assert len(answer.turns) == 10, "every place has its turn"

    def test_the_record_is_decided_again_as_it_was(self, file):
        answer = gated(engine(default=sure()), file)
        again = in_virtual_time(redecide(answer, answer.decision.rule))
        assert again == answer

    @pytest.mark.parametrize("rule", ["judge", "weighted"])
    def test_the_record_is_decided_by_no_other_rule(self, file, rule):
        answer = gated(engine(default=sure()), file, rounds=1)
        speaker = engine()
        with pytest.raises(RecordError, match=r"cut short \(the gate answered before the others were asked\)"):
            in_virtual_time(redecide(answer, rule, speaker))
        assert speaker.calls.started == 0

    @pytest.mark.parametrize("spec", ["none", "ring", "chain", "complete"])
    def test_under_unanimity_its_seats_wait_for_the_rest_of_the_round(self, file, spec):
        unsure = sure(confidence=0.3)
        answer = gated(engine(default=unsure), file, spec=spec, rounds=3, decision="unanimity")
        assert [turn.id for turn in answer.turns] == [f"1.{seat}" for seat in FIVE]
        assert answer.notes == ("ended after round 1: all voices agreed",)

    def test_under_unanimity_a_gate_of_all_seats_may_end_the_debate(self, file):
        answer = gated(engine(default=sure(confidence=0.3)), file, FIVE[:2], rounds=3, decision="unanimity")
        assert [turn.id for turn in answer.turns] == ["1.skeptic", "1.estimator"]
        assert answer.notes == ("ended after round 1: all voices agreed",)

    def test_under_unanimity_a_gate_that_stood_open_changes_no_round(self, file):
        script = {"*.estimator": sure("Answer: 54"), "1.tester": after(9), "2.skeptic": after(20)}
        answer = gated(engine(script, default=sure()), file, spec="none", rounds=2, decision="unanimity")
        assert answer.usage.wall_s == 1 + 9 + 20
        assert len(answer.turns) == 10


class TestSettings:
    def ask(self, **settings):
        with Chorus(engine(default=sure()), "skeptic,estimator,formalist,tester", **settings) as chorus:
            return chorus.ask("What is 7 * 8?")

    def test_a_gate_by_settings(self, file):
        answer = self.ask(gate=True, calibration=file())
        assert len(answer.turns) == 2
        assert answer.plan.calibration_sha256 == calibration.load(file()).sha256
        methods = [LIBRARY.get(turn.persona) for turn in answer.turns]
        assert methods[0] != methods[1]

    @pytest.mark.parametrize(
        ("changes", "settings", "wrong"),
        [
            (None, {}, "no calibration file is set: --calibration FILE"),
            ({"gate": None}, {}, "has no section 'gate'"),
            ({}, {"mode": "solo"}, "the mode 'solo' has no gate"),
            ({}, {"mode": "inner"}, "the mode 'inner' has no gate"),
            ({"gate": {**FILE["gate"], "voices": 9}}, {}, "needs 9 different voices, and the cast has 4"),
        ],
    )
    def test_it_refuses_what_it_cant_do(self, file, changes, settings, wrong):
        given_file = {} if changes is None else {"calibration": file(**changes)}
        with pytest.raises(ConfigError, match=wrong):
            self.ask(gate=True, **given_file, **settings)

    def test_off_unless_asked_for(self, file):
        assert Settings().gate is False
        assert len(self.ask(calibration=file(), mode="vote").turns) == 4
