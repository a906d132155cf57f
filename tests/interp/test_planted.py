"""The microscope before it is believed: it finds what was planted, and claims nothing where nothing was."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from interp import planted
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.claims import Thresholds, examine, halves
from interp.errors import LensError
from interp.planted import PLACEBOS, persona_pairs

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

SEEDS = range(20)


def claim(seed, *, circuit):
    lens = Lens(planted.plant(seed, circuit=circuit).model)
    placebos = [persona_pairs(12, seed, placebo=number) for number in range(PLACEBOS)]
    return examine(lens, persona_pairs(12, seed), placebos, seed=seed)


def test_planted_edges_are_found():
    areas = []
    for seed in SEEDS:
        plant = planted.plant(seed)
        lens = Lens(plant.model)
        wiring = lens.wiring
        scores = eap_ig(lens, persona_pairs(8, seed), batch=16).mean(0).abs()
        truth = torch.zeros_like(wiring.possible)
        for writer, reader in plant.edges:
            truth[wiring.writers.index(writer), wiring.readers.index(reader)] = True
        assert not (truth & ~wiring.possible).any()
        areas.append(roc_auc_score(truth[wiring.possible], scores[wiring.possible]))
    assert sum(areas) / len(areas) >= 0.95, areas


def test_planted_personas_are_claimed_and_no_others():
    claims = {circuit: [claim(seed, circuit=circuit) for seed in SEEDS] for circuit in (True, False)}
    false = [(seed, found.figures) for seed, found in zip(SEEDS, claims[False], strict=True) if found.stands]
    assert len(false) <= 0.05 * len(SEEDS), false
    missed = [(seed, found.failed) for seed, found in zip(SEEDS, claims[True], strict=True) if not found.stands]
    assert len(missed) <= 0.3 * len(SEEDS), missed


def test_plants_differ_and_come_again_from_their_seed():
    plants = [planted.plant(seed) for seed in SEEDS]
    assert len({plant.edges for plant in plants}) > 15
    assert {kind for plant in plants for kind in plant.kinds} == {"catch", "value", "query", "mlp"}
    assert {plant.distractors for plant in plants} == {0, 1, 2, 3, 4}
    again = planted.plant(3)
    assert again.edges == plants[3].edges
    ours, theirs = again.model.state_dict(), plants[3].model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not planted.plant(3, circuit=False).edges


def test_too_little_to_claim_anything_is_refused():
    lens = Lens(planted.plant(0).model)
    with pytest.raises(LensError, match="4 pairs are too few"):
        examine(lens, persona_pairs(4), [persona_pairs(4, placebo=0)] * 19)
    with pytest.raises(LensError, match="3 placebos"):
        examine(lens, persona_pairs(8), [persona_pairs(8, placebo=0)] * 3)
    assert examine(lens, persona_pairs(8), [], thresholds=Thresholds(alpha=1, effect=99)).failed == "effect"


def test_halves_share_no_question():
    first, second = halves(persona_pairs(12))
    assert set(first.groups).isdisjoint(second.groups)
    assert len(first) + len(second) == 12
    with pytest.raises(LensError, match="one group"):
        halves(persona_pairs(12).take([0, 0, 0]))
