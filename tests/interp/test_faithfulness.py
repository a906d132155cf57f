"""Faithfulness and its companions, on circuits whose value is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import random_pairs, tiny

from interp import faithfulness as asked
from interp import planted, soundness, steering
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.errors import LensError
from interp.graph import strongest
from interp.pairs import Pair, Pairs, behaviour
from interp.patching import exact_effects
from interp.recovery import truth_of
from interp.wiring import Wiring

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lens():
    return Lens(tiny(5, spread=0.1))


@pytest.fixture(scope="module")
def pairs():
    return random_pairs(5, items=4)


@pytest.fixture(scope="module")
def exact_scores(lens, pairs):
    """The effects themselves, as (W, R)."""
    scores = torch.zeros(lens.wiring.possible.shape)
    scores[lens.wiring.possible] = exact_effects(lens, pairs, both_ways=True).mean(0)
    return scores


def test_everything_is_the_clean_run_and_nothing_the_corrupt_one(lens, pairs):
    everything = lens.wiring.possible
    found = asked.behaviours(lens, pairs, torch.stack([everything, everything & False]), batch=5)
    for row, ids in zip(found, (pairs.clean, pairs.corrupt), strict=True):
        assert torch.allclose(row, pairs.by_item(behaviour(lens.run(ids), ids, pairs.weights)), atol=1e-5)
    assert asked.faithfulness(lens, pairs, everything[None]).item() == pytest.approx(1)


def test_answers_of_different_lengths_are_measured_as_rows_without_padding_are(lens):
    prompts, words = ((1, 2, 3, 4), (1, 5, 3, 4)), (6, 7, 8, 9, 10)
    each = [Pair(*prompts, words[:length], words[length:]) for length in (1, 3)]
    together, alone = Pairs.of(each), [Pairs.of([pair]) for pair in each]
    assert [together.rows(slice(row, row + 1))[0].shape[1] for row in range(4)] == [5, 8, 7, 6]
    circuits = asked.random_circuits(lens.wiring, 20, 2)
    expected = torch.cat([asked.behaviours(lens, one, circuits) for one in alone], dim=1)
    assert torch.allclose(asked.behaviours(lens, together, circuits), expected, atol=1e-5)
    directions = torch.randn(2, lens.width, generator=torch.Generator().manual_seed(0))
    for doing in (steering.slopes, steering.interchange, steering.patching):
        expected = torch.cat([doing(lens, one, "blocks.0.hook_resid_post", directions) for one in alone], dim=1)
        assert torch.allclose(doing(lens, together, "blocks.0.hook_resid_post", directions), expected, atol=1e-5)


def test_what_fits_into_memory_is_found_out_once_and_not_for_each_row(lens, pairs, monkeypatch, caplog):
    circuits, hook = asked.random_circuits(lens.wiring, 20, 6), "blocks.0.hook_resid_post"
    directions = torch.randn(6, lens.width, generator=torch.Generator().manual_seed(0))
    expected = asked.behaviours(lens, pairs, circuits), steering.slopes(lens, pairs, hook, directions)
    run = Lens.run

    def runs_short(self, ids, *hooks, start=None, **more):
        if len(start[1] if start else ids) > 2:
            raise RuntimeError("CUDA out of memory")
        return run(self, ids, *hooks, start=start, **more)

    monkeypatch.setattr(Lens, "run", runs_short)
    for found, wanted in (
        (asked.behaviours(lens, pairs, circuits, batch=4), expected[0]),
        (steering.slopes(lens, pairs, hook, directions, batch=4), expected[1]),
    ):
        assert torch.allclose(found, wanted, atol=1e-5)
    assert caplog.messages == ["out of memory: going on with batches of 2"] * 2


def test_with_means_nothing_is_the_same_for_every_prompt(lens, pairs):
    nothing = (lens.wiring.possible & False)[None]
    found = asked.behaviours(lens, pairs, nothing, ablation="mean")
    assert torch.allclose(found, found[:, :1].expand_as(found), atol=1e-5), "one mean for all"
    assert not torch.allclose(found, asked.behaviours(lens, pairs, nothing), atol=1e-3)
    assert asked.faithfulness(lens, pairs, lens.wiring.possible[None], ablation="mean").item() == pytest.approx(1)


@pytest.mark.parametrize("seed", [1, 102])
def test_means_take_the_persona_out(seed):
    """Those of the prompts with it alone would hold it: everything cut, the model would behave as with nothing cut."""
    plant = planted.plant(seed)
    lens, pairs = Lens(plant.model), planted.persona_pairs(8, seed + 2000)
    kept = truth_of(plant, lens)
    both = torch.cat([kept[None], asked.random_circuits(lens.wiring, int(kept.sum()), 5)])
    patched, (whole, own, *others) = (
        asked.carried(lens, pairs, both, ablation=ablation).mean(1) for ablation in ("patch", "mean")
    )
    assert whole > 0.3 * patched[0]
    assert own > 0.4 * whole
    assert own > max(others)


def test_both_ablations_have_a_curve(lens, pairs, exact_scores):
    for ablation in ("patch", "mean"):
        found = soundness.curve(lens, pairs, exact_scores, shares=(0.05, 0.3, 1.0), ablation=ablation)
        assert found.faithfulness[-1] == pytest.approx(1)
        assert found.intervals[-1] == pytest.approx((1, 1)), "all edges carry all of any question"
        for value, (low, high) in zip(found.faithfulness, found.intervals, strict=True):
            assert low - 1e-6 <= value <= high + 1e-6


def test_the_curve_of_good_scores_is_nearer_to_one_than_that_of_shuffled_ones(lens, pairs, exact_scores):
    shares = (0.02, 0.1, 0.3, 1.0)
    good = soundness.curve(lens, pairs, exact_scores, shares=shares)
    shuffled = torch.zeros_like(exact_scores)
    values = exact_scores[lens.wiring.possible]
    shuffled[lens.wiring.possible] = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
    bad = soundness.curve(lens, pairs, shuffled, shares=shares)
    assert good.edges == tuple(round(share * lens.wiring.edges) for share in shares)
    assert good.faithfulness[-1] == bad.faithfulness[-1] == pytest.approx(1)
    assert good.cmd.value < bad.cmd.value
    places, values = [0, *shares], [0, *good.faithfulness]
    by_hand = sum((values[k] + values[k + 1]) / 2 * (places[k + 1] - places[k]) for k in range(len(places) - 1))
    assert good.cpr.value == pytest.approx(by_hand)
    assert good.cpr.interval[0] <= good.cpr.value <= good.cpr.interval[1]


def test_the_whole_model_is_complete_and_a_part_of_it_is_not(lens, pairs, exact_scores):
    whole, part = lens.wiring.possible, strongest(lens.wiring, exact_scores, 12)
    assert soundness.completeness(lens, pairs, whole, draws=3).value == pytest.approx(0, abs=1e-5)
    found = soundness.completeness(lens, pairs, part, draws=5)
    assert found.value > 0.01
    assert found.interval[0] <= found.value <= found.interval[1]


def test_planted_edges_are_needed_and_an_idle_one_is_not():
    plant = planted.plant(1)
    lens, pairs = Lens(plant.model), planted.persona_pairs(4)
    kept = torch.zeros_like(lens.wiring.possible)
    for writer, reader in plant.edges | {("3.h0", "3.in")}:
        kept[lens.wiring.writers.index(writer), lens.wiring.readers.index(reader)] = True
    assert 0.8 < asked.faithfulness(lens, pairs, kept[None]).item() < 1.2
    found = soundness.minimality(lens, pairs, kept, draws=20)
    idle = kept.nonzero().tolist().index([lens.wiring.writers.index("3.h0"), lens.wiring.readers.index("3.in")])
    assert found.drops[idle] <= found.null
    assert found.needed == pytest.approx(len(plant.edges) / (1 + len(plant.edges)))
    assert found.interval[0] < found.needed < found.interval[1]
    assert len(soundness.minimality(lens, pairs, kept, tried=2, draws=2).drops) == 2
    with pytest.raises(LensError, match="no edges, or of all"):
        soundness.minimality(lens, pairs, lens.wiring.possible)


def test_stability_is_one_where_items_agree():
    wiring = Wiring(layers=2, heads=6, kv_heads=2)
    one = torch.rand(wiring.possible.shape, generator=torch.Generator().manual_seed(0)) * wiring.possible
    groups = [f"q{number % 4}" for number in range(8)]
    same = asked.stability(wiring, one.expand(8, -1, -1), groups, 10, randoms=19)
    assert same.value == 1
    assert same.interval == (1, 1)
    assert max(same.null) < 1
    assert same.p == 0.05
    with pytest.raises(LensError, match="no halves"):
        asked.stability(wiring, one.expand(8, -1, -1), ["q"] * 8, 10)


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_noise_is_not_stable(spread):
    """Nor where some edges' noise is always great: they are found again, and in the null they are so too."""
    wiring = Wiring(layers=4, heads=6, kv_heads=2)
    found = []
    for seed in range(10):
        draw = torch.Generator().manual_seed(seed)
        loud = (spread * torch.randn(wiring.possible.shape, generator=draw)).exp()
        noise = loud * torch.randn(12, *loud.shape, generator=draw)
        found.append(asked.stability(wiring, noise, [str(item) for item in range(12)], 40, randoms=39, seed=seed))
    assert sum(each.p <= 0.05 for each in found) <= 2, [each.p for each in found]
    assert all(each.interval[0] < 0.5 for each in found)


def test_a_planted_circuit_is_stable():
    plant = planted.plant(1)
    lens, pairs = Lens(plant.model), planted.persona_pairs(12, 1)
    scores = eap_ig(lens, pairs, batch=24)
    found = asked.stability(lens.wiring, scores, pairs.questions, len(plant.edges), randoms=39)
    assert found.interval[0] > 0.5
    assert found.p <= 0.05


def test_without_behaviour_there_is_nothing_to_be_faithful_to(lens, pairs):
    same = replace(pairs, corrupt=pairs.clean)
    with pytest.raises(LensError, match="no behaviour"):
        asked.faithfulness(lens, same, lens.wiring.possible[None])
