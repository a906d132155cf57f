"""What confidence is worth, learnt from questions whose answers are known: the file `calibration.json`.

The evaluation suites fit it, the debate reads it. It is one JSON object:

    {"schema": 1,
     "fitted": {"date": "2026-11-24", "command": "…", "engine": "hf:smollm2-135m", "checkpoint_sha256": "…",
                "questions": 400, "split": "train", "seed": 0},
     "voice":  {"intercept": -0.4, "weights": {"span": 0.8, "text": 0.3, "stated": 0.1, "no_stated": -0.2}},
     "answer": {"intercept": -1.2, "weights": {"share": 1.1, "span": 0.5, "voices": 0.2}},
     "gate":   {"voices": 2, "threshold": 0.83, "answered": 0.61, "accuracy": 0.92, "interval": [0.88, 0.95]}}

`voice` and `answer` are logistic regressions: a probability is 1 / (1 + exp(-(intercept + sum of weight times feature))).
Their features come from `voice_features` and `answer_features`, which whoever fits them must call too. `voice` makes a
voice's confidence of its signals, `answer` the decision's of the support and the winner's signals. `gate` says how sure
a few voices that agree must be for the rest not to be asked, and what share of the fitting questions that answered, how
accurately, with the 95% interval. Sections may be left out, but a gate needs `answer`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from chorus.debate.sides import Standing
from chorus.errors import ConfigError
from chorus.types import Decision, Frozen, Plan, Probability, Signals

MAX_BYTES = 1 << 20
"""A larger file is not a calibration."""

EDGE = 1e-3
"""Probabilities are kept this far from 0 and 1 before their log-odds are taken."""

SIGNALS = ("span", "text", "stated")
VOICE_FEATURES = (*SIGNALS, *(f"no_{name}" for name in SIGNALS))
ANSWER_FEATURES = ("share", "voices", *VOICE_FEATURES)

COUNTED = ("plurality", "weighted", "unanimity", "borda", "schulze")
"""Rules whose outcome is a vote. What a judge or a coordinator wrote is not what `answer` was fitted on."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Fitted(Frozen):
    """Where a calibration comes from."""

    date: str
    command: str
    engine: str
    """SPEC of the engine that answered the questions."""
    checkpoint_sha256: str | None = None
    questions: int = Field(ge=1)
    split: str
    seed: int


class Logistic(Frozen):
    """A logistic regression."""

    intercept: Finite
    weights: dict[str, Finite]
    """By feature; those left out weigh nothing."""

    def probability(self, features: Mapping[str, float]) -> float:
        """Return the probability at these features, in [0, 1]."""
        score = self.intercept + math.fsum(weight * features.get(name, 0.0) for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(max(score, -700.0)) / (1 + math.exp(score))


class Gate(Frozen):
    """When a few voices are enough."""

    voices: int = Field(ge=2, le=64)
    """How many speak first."""
    threshold: Probability
    """Of the calibrated confidence in what they agree on."""
    answered: Probability
    """Share of the fitting questions that they would have answered."""
    accuracy: Probability
    """Share of those that they would have answered rightly."""
    interval: tuple[Probability, Probability]
    """Of the accuracy, 95%."""


class Calibration(Frozen):
    """A calibration file. See the module's docstring."""

    schema_version: Literal[1] = Field(alias="schema")
    fitted: Fitted
    voice: Logistic | None = None
    answer: Logistic | None = None
    gate: Gate | None = None
    sha256: str = Field(default="", exclude=True)
    """Of the file, set by `load`."""

    @model_validator(mode="after")
    def _consistent(self) -> Calibration:
        for name, section, known in (("voice", self.voice, VOICE_FEATURES), ("answer", self.answer, ANSWER_FEATURES)):
            if unknown := sorted(set(section.weights) - set(known)) if section else []:
                raise ValueError(f"{name}.weights: there is no feature {unknown[0]!r}; there are {', '.join(known)}")
        if self.gate and not self.answer:
            raise ValueError("gate: a gate needs the section answer, whose confidence its threshold is of")
        return self

    def doubts(self, plan: Plan) -> list[str]:
        """Say what may make this calibration wrong for a debate."""
        fitted = self.fitted
        if fitted.checkpoint_sha256 and plan.checkpoint_sha256:
            other = fitted.checkpoint_sha256 != plan.checkpoint_sha256
        else:
            other = fitted.engine != plan.engine
        return [f"the calibration was fitted on {fitted.engine}, not on this engine's model"] if other else []

    def confidence(self, seen: Signals) -> float | None:
        """Return how sure a voice is; None where this file doesn't say."""
        return self.voice.probability(voice_features(seen)) if self.voice else None

    def decided(self, decision: Decision, standing: Standing) -> Decision:
        """Return the decision with its confidence calibrated, where this file can."""
        if self.answer is None or decision.rule not in COUNTED or not decision.support:
            return decision
        confidence = self.answer.probability(answer_features(decision, standing))
        return decision.model_copy(update={"confidence": round(confidence, 12), "calibrated": True})


def load(path: str | Path) -> Calibration:
    """Read a calibration file.

    Raises:
        ConfigError: it can't be read, or is not one; names the field.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"can't read the calibration file {path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has {len(data):,} bytes: that is no calibration file")
    try:
        values = json.loads(data)
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
        return Calibration.model_validate(values | {"sha256": hashlib.sha256(data).hexdigest()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"the calibration file {path}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the calibration file {path} is not JSON as it should be: {error}") from None


def voice_features(seen: Signals) -> dict[str, float]:
    """Return a voice's features: the log-odds of each signal, or 0 and a mark `no_…` where it is missing."""
    return _signals([seen])


def answer_features(decision: Decision, standing: Standing) -> dict[str, float]:
    """Return a decision's features.

    `share` is the log-odds of the winner's share of the support, `voices` the natural logarithm of the number of seats
    that took a position, and of each signal there is the mean log-odds over the winner's voices that have it.
    """
    place = standing.find(decision.support[0].answer)
    winners = standing.sides[place or 0].turns
    seen = [turn.position.signals or Signals() for turn in winners if turn.position]
    voices = sum(len(side.turns) for side in standing.sides)
    return {"share": log_odds(decision.support[0].share), "voices": math.log(max(voices, 1)), **_signals(seen)}


def log_odds(probability: float) -> float:
    """Return log(p / (1 - p)), of a probability kept away from 0 and 1."""
    kept = min(max(probability, EDGE), 1 - EDGE)
    return math.log(kept / (1 - kept))


def _signals(seen: Sequence[Signals]) -> dict[str, float]:
    features: dict[str, float] = {}
    for name in SIGNALS:
        given = [value for one in seen if (value := getattr(one, name)) is not None]
        features[name] = math.fsum(map(log_odds, given)) / len(given) if given else 0.0
        features[f"no_{name}"] = 0.0 if given else 1.0
    return features
