"""What training did: a base without a persona and the same weights with one planted, so that all of the shift is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from interp import drift, planted
from interp.bridge import Lens
from interp.errors import LensError, NoShift
from interp.faithfulness import random_circuits
from interp.recovery import truth_of
from interp.vectors import Vector

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

SEED = 1


@pytest.fixture(scope="module")
def plant():
    return planted.plant(SEED)


@pytest.fixture(scope="module")
def base():
    return Lens(planted.plant(SEED, circuit=False).model)


@pytest.fixture(scope="module")
def baked(plant):
    return Lens(plant.model)


@pytest.fixture(scope="module")
def pairs():
    return planted.persona_pairs(8, 4)


def test_the_planted_circuit_recovers_the_shift_and_random_ones_do_not(plant, base, baked, pairs):
    found = drift.residual(base, baked, pairs, truth_of(plant, baked), randoms=10)
    assert found.shift.value > 0.1
    assert abs(found.share) < 0.2
    assert found.interval[0] <= found.share <= found.interval[1]
    assert all(share > 0.5 for share in found.null)
    same = drift.residual(base, baked, replace(pairs, groups=("one template",) * len(pairs)), truth_of(plant, baked))
    assert same.interval == pytest.approx(found.interval), "its interval is over questions, not their templates"


def test_half_a_circuit_leaves_a_residual(plant, base, baked, pairs):
    whole = truth_of(plant, baked)
    half = whole.clone()
    half[:, -1] = False  # Nothing reaches the logits any more.
    assert drift.residual(base, baked, pairs, half).share == pytest.approx(1, abs=0.2)


def test_without_a_shift_there_is_no_share(base, pairs):
    with pytest.raises(NoShift, match="no shift"):
        drift.residual(base, base, pairs, base.wiring.possible)


def test_kl_is_nothing_between_a_model_and_itself(base, baked, pairs):
    counted = (pairs.weights != 0).float()
    groups = [str(item) for item in pairs.item.tolist()]
    assert drift.kl(base, base, pairs.clean, counted, groups).value == pytest.approx(0, abs=1e-6)
    found = drift.kl(base, baked, pairs.clean, counted, groups)
    assert found.interval[0] > 0
    assert found.interval[0] <= found.value <= found.interval[1]


def test_activations_move_along_what_was_trained_and_not_along_noise(base, baked, pairs):
    hook = "blocks.3.hook_resid_post"
    pool = (pairs.weights != 0).float()
    with torch.no_grad():
        ends = []
        for lens in (base, baked):
            lens.run(pairs.clean, [(hook, lambda stream: ends.append((stream * pool[..., None]).sum(1).mean(0)))])
    moved = Vector("planted", hook, ends[1] - ends[0], 1.0, base.fingerprint)
    found = drift.shift_along(base, baked, moved, pairs.clean, pool, randoms=39)
    assert found.value == pytest.approx(1, abs=1e-3)
    assert found.p <= 0.05
    assert 0 < found.interval[0] < found.value < found.interval[1]
    alone = drift.shift_along(base, baked, moved, pairs.clean, pool, groups=["one"] * len(pairs.clean), randoms=1)
    assert alone.interval is None, "all rows are of one question"
    still = drift.shift_along(base, base, moved, pairs.clean, pool, randoms=5)
    assert (still.value, *still.interval) == pytest.approx((0, 0, 0), abs=1e-6)
    with pytest.raises(LensError, match="other weights"):
        drift.shift_along(baked, base, moved, pairs.clean, pool)


def test_entropy_of_edges(base):
    wiring = base.wiring
    one = random_circuits(wiring, 1, 1)[0].float()
    assert drift.edge_entropy(wiring, one) == pytest.approx(0, abs=1e-6)
    assert drift.edge_entropy(wiring, -wiring.possible.float()) == pytest.approx(math.log(wiring.edges), rel=1e-5)
    with pytest.raises(LensError, match="zero"):
        drift.edge_entropy(wiring, 0 * one)


def test_circuits_are_tried_in_both_models(plant, baked, pairs):
    again = Lens(plant.model)
    kept = truth_of(plant, baked)
    table = drift.cross_transfer({"one": baked, "other": again}, {"one": kept, "all": baked.wiring.possible}, pairs)
    assert [each.value for each in table["all"].values()] == pytest.approx([1, 1])
    assert table["one"]["one"].value == pytest.approx(table["one"]["other"].value)
    own = table["one"]["one"]
    assert 0.8 < own.interval[0] < own.value < own.interval[1] < 1.2
