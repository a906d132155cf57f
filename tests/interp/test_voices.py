"""Who is speaking: a planted persona speaks for its own answer and nobody else does."""

from __future__ import annotations

import json

import pytest
import torch

from interp import graph, planted, steering, vectors, voices
from interp.activations import pooled
from interp.bridge import Lens
from interp.errors import LensError
from interp.recovery import truth_of
from interp.said import Said
from interp.vectors import Vector

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

HOOK = "blocks.3.hook_resid_post"


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
    assert found.low["nobody"][1] < found.weights["nobody"][1] < found.high["nobody"][1]
    assert found.weights["planted"][1] > 5 * abs(found.weights["planted"][0])
    assert abs(found.weights["nobody"][1]) < 0.1 * found.weights["planted"][1]
    assert abs(found.remainder[1]) < 0.5 * abs(found.whole[1])


def test_a_direction_is_held_against_moves_as_far(lens, told, personas, monkeypatch):
    """Else nothing would be taken out along random directions, and whatever the stream has much of would speak."""
    usual = voices._mean_streams(lens, told.plain, [HOOK])[HOOK]
    along = []

    def kept(change, own, units):
        along.append(steering.along(change, own, units))
        return along[-1]

    monkeypatch.setattr(voices, "along", kept)
    own = {"planted": personas["planted"]}
    found = voices.by_vector(lens, told, own, randoms=39)
    first, mine, *others = torch.cat(along).norm(dim=2)
    assert not first.any()
    assert mine[0] == 0, "the first token is left as it is"
    assert torch.allclose(torch.stack(others), mine.expand(39, -1), rtol=1e-4)
    away = usual - steering.Steered(lens, told.ids[None], HOOK).stream[0, 1:]
    unit = personas["planted"].direction / personas["planted"].direction.norm()
    assert torch.allclose(mine[1:], (away @ unit).abs(), atol=1e-5)

    monkeypatch.setattr(voices, "random_like", lambda direction, count, _: -3 * direction.expand(count, -1))
    contrary = voices.by_vector(lens, told, own, randoms=2)
    assert contrary.weights["planted"] == pytest.approx(found.weights["planted"], abs=1e-5)
    assert contrary.high["planted"][1] < 0 < contrary.weights["planted"][1], "moved as far the other way, it shows"


def test_what_the_stream_has_much_of_is_nobody(lens, told, personas):
    """A direction in which these tokens differ from the mean by their own identity, not by the persona."""
    usual = voices._mean_streams(lens, told.plain, [HOOK])[HOOK]
    stream = steering.Steered(lens, told.ids[None], HOOK).stream[0]
    unit = torch.nn.functional.normalize(personas["planted"].direction, dim=0)
    large = usual - stream[-2]
    large = large - (large @ unit) * unit
    nobody = {"nobody": Vector("nobody", HOOK, large, 1.0, lens.fingerprint)}
    found = voices.by_vector(lens, told, nobody, randoms=99)
    assert found.low["nobody"][1] < found.weights["nobody"][1] < found.high["nobody"][1]


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


def test_where_nobody_speaks_somebody_is_heard_as_rarely_as_the_level():
    """19 draws of noise, four personas, a hundred tokens: of so many bands some are left by chance in every text."""
    noise, heard, beyond = torch.Generator().manual_seed(0), 0, 0
    names, tokens = "abcd", 100
    for _ in range(200):
        drawn = torch.randn(20, 4, tokens, generator=noise) * torch.rand(4, tokens, generator=noise).exp()
        own, bands = (dict(zip(names, each.unbind(-2), strict=True)) for each in (drawn[0], drawn[1:]))
        p = voices._corrected(own, bands)
        heard += min(min(each) for each in p.values()) <= 0.05
        beyond += any((own[name] > bands[name].amax(0)).any() for name in names)
    assert heard <= 20
    assert beyond == 200


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
