"""Rules that are known beforehand are found, and none are found in noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from chorus.types import Question
from interp import planted, rules, vectors
from interp.activations import pooled
from interp.bridge import Lens
from interp.errors import LensError
from interp.pairs import Pair, Pairs
from interp.vectors import Vector

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

N = 120
HOOK, LATE = "blocks.2.hook_resid_post", "blocks.3.hook_resid_post"


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
    assert found.accuracy > 0.75 > found.interval[0] - 0.2
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert found.base == pytest.approx(max(map(voices.count, set(voices))) / N, abs=0.05)
    assert found.surface["words"] < found.base + 0.1
    assert found.shuffled < found.base + 0.1
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


@dataclass
class Record:
    id: str
    turns: list


def test_acts_know_who_spoke_before():
    turns = [Turn("skeptic"), Turn("estimator", status="failed"), Turn("formalist"), Turn("judge", kind="verdict")]
    first, second = rules.acts([Record("r", turns)])
    assert (first.voice, first.before, first.place) == ("skeptic", "", 1)
    assert (second.voice, second.before, second.place) == ("formalist", "skeptic", 2)


class Words:
    """A tokenizer with a token a word."""

    def apply_chat_template(self, messages, **options):
        text = " ".join(word for message in messages for word in message["content"].split())
        return self(text)["input_ids"] if options.get("tokenize", True) else text

    def __call__(self, text, **options):
        return {"input_ids": [sum(map(ord, word)) % 100 for word in text.split()]}


def test_questions_are_read_where_nobody_has_spoken_yet():
    lens = Lens(planted.plant(102).model)
    questions = [Question(question=text) for text in ("What is two plus two?", "Is it so?")]
    read, surface = rules.asked(lens, Words(), questions, HOOK)
    again, _ = rules.asked(lens, Words(), questions[1:], HOOK)
    assert read.shape == (2, planted.WIDTH)
    assert read[1] == pytest.approx(again[0], abs=1e-4), "padding changes nothing"
    assert surface["length"][0] - surface["length"][1] == 2
    assert surface["words"].sum(1).tolist() == surface["length"][:, 0].tolist()


# Influence


@pytest.fixture(scope="module")
def matrix():
    lens = Lens(planted.plant(102).model)
    pairs = planted.persona_pairs(16, 102)
    weights = (pairs.weights != 0).float()
    acts = [pooled(lens, ids, weights, [HOOK, LATE]).mean(0) for ids in (pairs.clean, pairs.corrupt)]
    early, late = acts[0] - acts[1]
    (noise,) = vectors.random_like(early, 1, seed=9)
    other = Pairs.of([Pair(tuple(row[:-1]), tuple(row[:-1]), (8,), (9,)) for row in pairs.corrupt[:8:2].tolist()])
    named = {"planted": early, "nobody": noise}
    steered = {name: Vector(name, HOOK, direction, 1.0, lens.fingerprint) for name, direction in named.items()}
    ends = {"planted": late, "nobody": noise}
    return rules.influence(lens, steered, ends, LATE, {"planted": pairs.take([0, 1, 2]), "nobody": other}, randoms=39)


def test_a_planted_persona_moves_its_behaviour_and_a_random_direction_moves_nothing(matrix):
    own = matrix.behaviour["planted"]["planted"]
    assert own.value > own.band[1]
    assert own.p <= 0.05
    graph = matrix.graph()
    assert set(graph) == {"planted", "nobody"}
    assert graph.has_edge("planted", "planted")
    assert not list(graph.out_edges("nobody"))
    assert matrix.answer["planted"].value > matrix.answer["planted"].band[1]


def test_it_is_drawn(matrix, tmp_path):
    rules.draw(matrix, tmp_path / "who.svg")
    assert "<svg" in (tmp_path / "who.svg").read_text()
