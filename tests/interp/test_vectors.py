"""Vectors, probes and steering on a model whose persona is known, and on one that has none."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from interp import causal, planted, steering, vectors
from interp.activations import pooled
from interp.bridge import Lens
from interp.errors import HookMissed, LensError, NotFinite
from interp.figures import Opened, reliability
from interp.plan import Config
from interp.probes import auroc, held_out, holm, probe
from interp.vectors import Vector

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]

HOOKS = [f"blocks.{layer}.hook_resid_post" for layer in range(planted.LAYERS)]


@pytest.fixture(scope="module")
def lens():
    return Lens(planted.plant(1).model)


@pytest.fixture(scope="module")
def pairs():
    return planted.persona_pairs(16, 1)


def at_last_token(lens, pairs):
    """Activations (items, layers, D) of the prompt's last token, with the persona and without."""
    weights = (pairs.weights != 0).float()
    first = slice(None, None, 2)  # One of an item's two rows.
    return [pooled(lens, ids[first], weights[first], HOOKS) for ids in (pairs.clean, pairs.corrupt)]


@pytest.fixture(scope="module")
def vector(lens, pairs):
    found = vectors.sweep(*at_last_token(lens, pairs), pairs.groups)[2]
    return Vector("planted", HOOKS[2], found.direction, found.reliability, lens.fingerprint)


def test_a_vector_that_hangs_on_the_wording_of_its_prompt_is_not_reliable():
    draw = torch.Generator().manual_seed(0)
    wordings = [str(item % 3) for item in range(18)]
    shared, own = torch.randn(64, generator=draw), torch.randn(3, 64, generator=draw)
    noise = 0.1 * torch.randn(18, 64, generator=draw)
    each = own[[int(wording) for wording in wordings]]
    questions = [str(item) for item in range(18)]
    assert reliability(each + noise, questions, 19, 0).value > 0.8, "questions alone don't tell"
    assert reliability(each + noise, wordings, 19, 0).value < 0.5
    assert reliability(shared + 0.2 * each + noise, wordings, 19, 0).interval[0] > 0.8


def test_a_real_vector_is_reliable_and_noise_is_not(lens, pairs):
    found = vectors.sweep(*at_last_token(lens, pairs), pairs.groups)
    assert len(found) == planted.LAYERS
    assert found[-1].reliability > 0.9
    assert found[-1].separation > 2
    noise = torch.randn(2, 16, 4, 64, generator=torch.Generator().manual_seed(0))
    assert all(abs(layer.reliability) < 0.4 for layer in vectors.sweep(*noise, pairs.groups))
    with pytest.raises(LensError, match="too few for a vector"):
        vectors.sweep(*noise, ["a"] * 8 + ["b"] * 8)


def test_cosines_between_personas():
    table = vectors.cosines({"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([2.0, 2.0])})
    assert table["a"]["a"] == pytest.approx(1)
    assert table["a"]["b"] == table["b"]["a"] == pytest.approx(0.5**0.5)


def test_a_vector_belongs_to_one_model(tmp_path, lens, vector):
    vector.save(tmp_path / "v.json")
    again = Vector.load(tmp_path / "v.json")
    assert torch.allclose(again.on(lens), vector.direction)
    with pytest.raises(LensError, match="other weights"):
        again.on(Lens(planted.plant(2).model))
    fields = json.loads((tmp_path / "v.json").read_text())
    for harm, error in (({"hook": "blocks.9.hook_resid_post"}, LensError), ({"direction": [float("nan")]}, NotFinite)):
        (tmp_path / "w.json").write_text(json.dumps({**fields, **harm}))
        with pytest.raises(error):
            Vector.load(tmp_path / "w.json").on(lens)
    (tmp_path / "w.json").write_text("[]")
    with pytest.raises(LensError, match="no persona vector"):
        Vector.load(tmp_path / "w.json")


def test_the_persona_is_steered_and_random_directions_do_not_do_it(lens, pairs, vector):
    found = steering.steer(lens, pairs, vector, randoms=39)
    assert found.slope > 0
    assert found.wrong_way == 0
    assert found.p <= 0.05
    assert len(found.null) == 39
    assert max(map(abs, found.null)) < found.slope


def test_a_vector_that_backfires_works_the_wrong_way(lens, pairs, vector):
    """Turned round it lowers what the prompt raises: on every question, though all of them agree."""
    backwards = replace(vector, direction=-vector.direction)
    assert steering.steer(lens, pairs, backwards, randoms=1).wrong_way == 1
    config = Config(("planted",), 8, 8, 8, layers=2, steps=1, share=0.05, randoms=2, probes=5, voices=1)
    one = Opened(SimpleNamespace(lens=lens), "planted", config, backwards, {}, print, given=pairs)
    found = causal.steering(one)
    assert found["wrong way"].value == 1
    assert found["steering"].value * one.apart().mean() < 0
    assert causal.steering(replace(one, vector=vector))["wrong way"].value == 0


def test_the_effect_goes_with_its_direction_and_comes_with_it(lens, pairs, vector):
    pairs = pairs.take([0, 1, 2, 3])
    every = torch.cat([vector.direction[None], vectors.random_like(vector.direction, 19)])
    with torch.no_grad():
        own = [pairs.by_item(lens.behaviour(ids, pairs.weights)) for ids in (pairs.clean, pairs.corrupt)]
    for test in (steering.ablation, steering.interchange):
        whole, mine, *others = test(lens, pairs, vector.hook, every, batch=3)
        assert torch.allclose(whole, own[0] - own[1], atol=1e-5)
        assert mine.mean() > 0.7 * whole.mean()
        assert all(abs(other.mean()) < mine.mean() for other in others), "a move as far in another direction does less"


def test_along_others_the_stream_is_moved_as_far(lens, pairs, vector):
    """Else random directions would hardly move it, and anything would beat them: moved as far the other way, it shows."""
    pairs = pairs.take([0, 1])
    both = torch.stack([vector.direction, -3 * vector.direction])
    for test in (steering.ablation, steering.interchange):
        whole, mine, contrary = test(lens, pairs, vector.hook, both)
        assert mine.mean() > 0.7 * whole.mean()
        assert contrary.mean() < -0.1 * whole.mean()
    change = torch.randn(1, 5, planted.WIDTH, generator=torch.Generator().manual_seed(0))
    units = torch.nn.functional.normalize(torch.cat([both[:1], vectors.random_like(both[0], 2)]), dim=1)
    moved = steering.along(change, units[0], units)
    assert torch.allclose(moved[0] @ units[0], change[0] @ units[0], atol=1e-5)
    assert torch.allclose(moved[1:].norm(dim=2), moved[0].norm(dim=1).expand(2, -1), rtol=1e-4)


def test_the_whole_stream_brings_the_persona_over_where_it_has_arrived(lens, pairs, vector):
    """At the end of the last layer all of it is at the answer's tokens; moves as far at random bring none of it."""
    others = vectors.random_like(vector.direction, 3)
    whole, mine, *rest = steering.patching(lens, pairs.take([0, 1, 2, 3]), HOOKS[-1], others)
    assert torch.allclose(mine, whole, atol=1e-5)
    assert all(abs(other.mean()) < 0.3 * whole.mean() for other in rest)
    assert len(rest) == 3


def test_a_share_is_held_against_random_directions():
    noise = 0.1 * torch.randn(19, 8, generator=torch.Generator().manual_seed(0))
    found = causal._share(torch.cat([torch.full((1, 8), 2.0), torch.full((1, 8), 1.5), noise]))
    assert (found.value, found.p) == (0.75, 0.05)
    assert found.interval == (0.75, 0.75)
    assert found.null[1] < 0.1
    assert causal._share(torch.zeros(3, 4)) is None, "of nothing there are no shares"


def test_a_run_that_goes_on_from_a_layer_is_the_whole_run(lens, pairs, vector):
    few = pairs.take([0, 1])
    added = torch.stack([vector.direction, -vector.direction])[:, None]
    ids = few.corrupt[:1]
    there, whole = (steering.Steered(lens, ids, HOOKS[1], whole=each) for each in (False, True))
    assert there.start
    assert not whole.start
    assert torch.allclose(there(added), whole(added), atol=1e-5)
    assert torch.allclose(there(added, at=slice(2, 4)), whole(added)[:, 2:4], atol=1e-5)
    with pytest.raises(HookMissed):
        there(added, [(HOOKS[0], lambda _: None)])  # That layer is not run.
    assert torch.allclose(lens.run(ids), lens.run(ids), atol=0), "and the model runs whole again afterwards"
    fired = []
    lens.run(ids, [(HOOKS[0], lambda _: fired.append(1))])
    assert fired
    both = steering.slopes(lens, few, HOOKS[1], torch.cat([added[0], 2 * added[0]]), (-1.0, 1.0), batch=3)
    one = steering.slopes(lens, few, HOOKS[1], added[0], (-1.0, 1.0))
    assert torch.allclose(both[0], one[0], atol=1e-5)
    assert both.shape == (2, 2)


def test_steering_damages_other_text(lens, pairs, vector):
    none, some = steering.damage(lens, pairs, vector.hook, torch.stack([0 * vector.direction, 3 * vector.direction]))
    assert none.tolist() == pytest.approx([0] * len(pairs), abs=1e-6)
    assert some.mean() > 0
    with pytest.raises(HookMissed):
        steering.slopes(lens, pairs, "blocks.4.hook_resid_post", vector.direction[None])


# Probes


def stacked(lens, pairs):
    on, off = (side.numpy() for side in at_last_token(lens, pairs))
    return np.concatenate([on, off]), np.repeat([1.0, 0.0], len(on)), [*pairs.groups, *pairs.groups]


def test_a_persona_is_read_where_it_is_and_not_where_it_is_not(lens, pairs):
    activations, labels, groups = stacked(lens, pairs)
    lengths = np.full((len(labels), 1), 9.0)
    found = probe(activations[:, -1], labels, groups, surface={"length": lengths}, permutations=19)
    assert found.auroc > 0.95
    assert found.selectivity > 0.3
    assert found.surface["length"] == pytest.approx(0.5)
    assert found.gain == pytest.approx(found.auroc - 0.5)
    assert found.p <= 0.05
    assert found.interval[0] <= found.auroc <= found.interval[1]
    assert found.gain_interval[0] > 0
    assert len(found.null) == 19
    assert found.untrained is None
    noise = np.random.default_rng(0).normal(size=activations[:, -1].shape)
    assert probe(noise, labels, groups, permutations=19).p > 0.05


def test_a_probe_is_never_tested_on_its_own_questions():
    """What tells questions apart is worthless on others: held-out AUROC stays near a half."""
    generator = np.random.default_rng(0)
    codes = np.repeat(np.arange(20), 4)
    identity = np.eye(20)[codes]
    labels = np.tile([0.0, 1.0, 0.0, 1.0], 20)
    assert auroc(identity + 1e-3 * generator.normal(size=identity.shape), labels, codes) < 0.7


def test_scores_are_those_of_the_library_on_all_features():
    """Fewer coordinates, the same penalised probe: held against a pipeline that is written out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    generator = np.random.default_rng(0)
    codes = np.repeat(np.arange(10), 2)
    labels = np.tile([1.0, 0.0], 10)
    features = generator.normal(size=(20, 300)) + 0.3 * labels[:, None]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500, tol=1e-8))
    plain = cross_val_predict(model, features, labels, groups=codes, cv=GroupKFold(5), method="decision_function")
    assert held_out(features, codes)(labels) == pytest.approx(plain, abs=1e-3)
    assert auroc(features, labels, codes) == pytest.approx(roc_auc_score(labels, plain))


def test_a_wording_is_held_out_as_a_whole():
    """What is known by a wording's own words is not known of another: surface features that name it are worth nothing."""
    labels = np.tile([1.0, 0.0], 15)
    groups = [f"q{row // 2}" for row in range(30)]
    held = [f"w{row // 2 % 5}" for row in range(30)]
    words = np.eye(10)[[2 * (row // 2 % 5) + row % 2 for row in range(30)]]  # A word for each wording on either side.
    by_question, by_wording = (probe(words, labels, groups, held=each, permutations=0).auroc for each in (None, held))
    assert by_question > 0.95
    assert by_wording < 0.7


def test_probes_that_can_not_be_tested_are_refused():
    with pytest.raises(LensError, match="too few for a probe"):
        probe(np.zeros((4, 2)), np.array([0.0, 1, 0, 1]), ["a", "a", "b", "b"])
    with pytest.raises(LensError, match="with the persona and without"):
        probe(np.zeros((10, 2)), np.ones(10), [*"aabbccddee"])


def test_holm():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {
        "a": pytest.approx(0.03),
        "b": pytest.approx(0.06),
        "c": pytest.approx(0.06),
    }
