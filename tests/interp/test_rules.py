"""Rules that are known beforehand are found, and none are found in noise."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from chorus.types import Question
from interp import planted, rules, steps
from interp.bridge import Lens
from interp.errors import LensError
from interp.foretold import foretold
from interp.plan import Config
from interp.vectors import Vector, random_like

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

N = 120
HOOK = "blocks.2.hook_resid_post"


@pytest.fixture(scope="module")
def world():
    """Activations of which one coordinate says who acts: the skeptic above 0, else one of two by another."""
    generator = np.random.default_rng(0)
    seen = generator.normal(size=(N, 12))
    voices = np.where(seen[:, 0] > 0, "skeptic", np.where(seen[:, 1] > 0, "estimator", "formalist"))
    groups = [f"question {number // 2}" for number in range(N)]
    named = {"doubt": seen[:, 0], "size": seen[:, 1], "noise": generator.normal(size=N)}
    return seen, list(voices), groups, named, generator


def test_a_rule_is_found_and_put_into_words(world):
    seen, voices, groups, named, generator = world
    words = generator.normal(size=(N, 3))
    found = rules.learn(seen, voices, groups, named=named, surface={"words": words}, shufflings=19)
    assert found.accuracy > 0.75
    assert found.base < found.interval[0] < found.accuracy < found.interval[1]
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert found.base == pytest.approx(max(map(voices.count, set(voices))) / N, abs=0.05)
    assert found.surface["words"] < found.base + 0.1
    assert found.shuffled < found.base + 0.1
    assert found.band[0] <= found.shuffled <= found.band[1]
    assert found.p <= 0.05
    assert found.kept["tree"] > 0.8
    assert found.kept["linear"] > 0.8
    assert "doubt <=" in found.told["tree"]
    assert "noise" not in found.told["tree"].split("\n")[0]
    assert found.told["linear"].splitlines()[2].startswith("skeptic: ")
    assert "doubt" in found.told["linear"].splitlines()[2].split(",")[0]


def test_in_noise_there_is_no_rule(world):
    _, voices, groups, _, generator = world
    noise = generator.normal(size=(N, 12))
    found = rules.learn(noise, voices, groups, named={"noise": noise[:, 0]}, shufflings=19, seed=1)
    assert found.p > 0.05
    assert found.accuracy < found.base + 0.1


def test_a_voice_that_a_fold_never_met_is_not_foretold(world):
    """The estimator speaks on one question alone, so the models that are tried on it have met the skeptic only."""
    seen, _, groups, named, _ = world
    voices = ["estimator" if group == "question 7" else "skeptic" for group in groups]
    found = rules.learn(seen, voices, groups, named=named, shufflings=1)
    assert found.accuracy == found.base == 1 - 2 / N


def test_what_can_not_be_foretold_is_refused(world):
    seen, voices, groups, named, _ = world
    with pytest.raises(LensError, match="too few for a rule"):
        rules.learn(seen, voices, ["one"] * N, named=named)
    with pytest.raises(LensError, match="only skeptic"):
        rules.learn(seen, ["skeptic"] * N, groups, named=named)


@dataclass
class Turn:
    persona: str
    kind: str = "speech"
    status: str = "done"
    text: str = "Nine."
    heard: tuple = ()


@dataclass
class Record:
    id: str
    turns: list
    question: Question | None = None


def test_acts_know_who_spoke_before():
    """A record's turns stand by round and seat: that the skeptic began is told by what the others heard."""
    turns = [Turn("estimator", status="failed"), Turn("formalist", heard=("1.skeptic",)), Turn("skeptic")]
    first, second = rules.acts([Record("r", [*turns, Turn("judge", kind="verdict", heard=("1.skeptic",))])])
    assert (first.voice, first.before, first.place) == ("skeptic", "", 1)
    assert (second.voice, second.before, second.place) == ("formalist", "skeptic", 2)


class Words:
    """A tokenizer with a token a word."""

    def apply_chat_template(self, messages, **options):
        text = " ".join(word for message in messages for word in message["content"].split())
        return self(text)["input_ids"] if options.get("tokenize", True) else text

    def __call__(self, text, **options):
        return {"input_ids": [sum(map(ord, word)) % 100 for word in text.split()]}


def test_who_speaks_first_is_foretold_from_a_models_own_dialogues(tmp_path):
    """The voice hangs on the question's last word, which the planted model has an activation of its own for."""
    lens = Lens(planted.plant(102).model)
    config = Config(("a", "b"), 8, 8, 8, layers=2, steps=1, share=0.05, randoms=3, probes=5, voices=1)
    (one, other) = random_like(torch.ones(planted.WIDTH), 2)
    vectors = {name: Vector(name, HOOK, each, 1.0, lens.fingerprint) for name, each in (("a", one), ("b", other))}
    dialogues = [
        Record(
            f"q{number}",
            [Turn("a" if number % 2 else "b"), Turn("b", heard=("1",))],
            Question(question=f"what {number} is {end}"),
        )
        for number in range(30)
        for end in ("up" if number % 2 else "down",)
    ]
    subject = SimpleNamespace(lens=lens, tokenizer=Words())
    found = foretold(subject, vectors, dialogues, config, tmp_path / "rule.txt")
    assert found["who speaks at turn 1: accuracy"].value > 0.9
    assert found["who speaks at turn 1: accuracy"].p <= 0.05
    assert not [name for name in found if "turn 2" in name], "only one voice speaks there"
    assert "Turn 1, tree" in (tmp_path / "rule.txt").read_text()
    with pytest.raises(LensError, match="turn 1: nobody speaks there; turn 2"):
        foretold(subject, vectors, [], config, tmp_path / "rule.txt")
    said = []
    one = {
        name: SimpleNamespace(subject=subject, vector=v, config=config, report=said.append)
        for name, v in vectors.items()
    }
    assert steps._rule(one, SimpleNamespace(folder=tmp_path), []) == {}, "an audit goes on without a rule"
    assert "nobody speaks there" in said[0]


def test_questions_are_read_where_nobody_has_spoken_yet():
    lens = Lens(planted.plant(102).model)
    questions = [Question(question=text) for text in ("What is two plus two?", "Is it so?")]
    read, surface = rules.asked(lens, Words(), questions, HOOK)
    again, _ = rules.asked(lens, Words(), questions[1:], HOOK)
    assert read.shape == (2, planted.WIDTH)
    assert read[1] == pytest.approx(again[0], abs=1e-4), "padding changes nothing"
    assert surface["length"][0] - surface["length"][1] == 2
    assert surface["words"].sum(1).tolist() == surface["length"][:, 0].tolist()
