"""Who is speaking: a planted persona speaks for its own answer and nobody else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from chorus.record import transcript
from interp import graph, planted, vectors, voices
from interp.activations import pooled
from interp.bridge import Lens
from interp.errors import LensError
from interp.recovery import truth_of
from interp.vectors import Vector
from interp.voices import Said
from personas import Library

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

HOOK = "blocks.3.hook_resid_post"
RECORD = Path(__file__).parents[2] / "evals" / "results" / "first-debate.jsonl"


@pytest.fixture(scope="module")
def plant():
    return planted.plant(1)


@pytest.fixture(scope="module")
def lens(plant):
    return Lens(plant.model)


@pytest.fixture(scope="module")
def told():
    """One item's last question token and the persona's answer behind it."""
    pairs = planted.persona_pairs(1, 3)
    clean, plain = (torch.cat([ids[0, :-1], torch.tensor([planted.ANSWER])]) for ids in (pairs.clean, pairs.corrupt))
    return Said(clean, plain, ("last & least", "answer"))


@pytest.fixture(scope="module")
def personas(lens):
    pairs = planted.persona_pairs(16, 1)
    weights = (pairs.weights != 0).float()
    on, off = (pooled(lens, ids, weights, [HOOK])[:, 0].mean(0) for ids in (pairs.clean, pairs.corrupt))
    (noise,) = vectors.random_like(on - off, 1, seed=5)
    return {
        name: Vector(name, HOOK, direction, 1.0, lens.fingerprint)
        for name, direction in (("planted", on - off), ("nobody", noise))
    }


def test_a_planted_vector_speaks_for_its_answer_alone(lens, told, personas):
    found = voices.by_vector(lens, told, personas)
    assert found.speakers[1] == "planted"
    assert found.weights["planted"][1] > 5 * found.high["planted"][1]
    assert found.weights["planted"][1] > 5 * abs(found.weights["planted"][0])
    assert abs(found.weights["nobody"][1]) < 0.1 * found.weights["planted"][1]
    assert abs(found.remainder[1]) < 0.5 * abs(found.whole[1])


def test_a_planted_circuit_speaks_for_its_answer(plant, lens, told):
    kept = truth_of(plant, lens)
    circuit = graph.to_graph(lens.wiring, kept, kept.float())
    found = voices.by_circuit(lens, told, {"planted": circuit})
    assert found.speakers[1] == "planted"
    assert found.weights["planted"][1] == pytest.approx(found.whole[1] - found.remainder[1], abs=1e-4)
    shape = {"layers": 3, "heads": 4, "kv_heads": 2}
    other = graph.to_graph(lens.wiring, kept, kept.float())
    other.graph["wiring"] = shape
    with pytest.raises(LensError, match="other layers"):
        voices.by_circuit(lens, told, {"planted": other})


def test_where_no_persona_differs_from_its_plain_voice_nothing_remains(lens, told, personas):
    same = Said(told.ids, told.ids, told.tokens)
    assert voices.by_vector(lens, same, personas, randoms=2).whole == pytest.approx((0, 0), abs=1e-5)


def test_it_is_kept_as_data_and_shown_as_a_strip(lens, told, personas):
    found = voices.by_vector(lens, told, personas, randoms=4)
    data = json.loads(json.dumps(found.data()))
    assert data["tokens"] == ["last & least", "answer"]
    assert set(data["weights"]) == {"planted", "nobody"}
    assert len(data["remainder"]) == 2
    strip = found.strip()
    assert "last &amp; least" in strip
    assert "unexplained" in strip
    assert strip.count("<span") == 2


class Letters:
    """A tokenizer with a token a letter."""

    chat_template = "there is one"

    def apply_chat_template(self, messages, **options):
        text = "".join(f"<{m['role']}>{m['content']}" for m in messages)
        return self(text)["input_ids"] if options.get("tokenize", True) else text

    def __call__(self, text, **options):
        return {"input_ids": [ord(letter) % 1000 for letter in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_a_turn_of_a_saved_debate_is_asked_for_again_as_it_was():
    (record,) = transcript.read(RECORD)
    library = Library.builtin()
    cards = {name: library.get(name) for name in record.personas}
    plain = library.get("plain")
    unhashed = record.model_copy(
        update={"turns": tuple(turn.model_copy(update={"prompt_sha256": None}) for turn in record.turns)}
    )
    found = voices.of_record(unhashed, "2.decomposer", cards, Letters(), plain)
    assert "".join(found.tokens) == next(turn.text for turn in record.turns if turn.id == "2.decomposer")
    assert not torch.equal(found.ids, found.plain)
    assert found.ids[-len(found.tokens) :].equal(found.plain[-len(found.tokens) :])
    with pytest.raises(LensError, match="no turn"):
        voices.of_record(record, "9.nobody", cards, Letters(), plain)
    altered = cards | {"decomposer": cards["decomposer"].model_copy(update={"cue": "Be another."})}
    with pytest.raises(LensError, match="as it was"):
        voices.of_record(record, "2.decomposer", altered, Letters(), plain)
