"""Attribution is held against the truth: patching every edge, and the library's own scores where it can give them."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from tiny import random_pairs, tiny

from interp import patching
from interp.attribution import eap_ig
from interp.bench import library_scores, repeated
from interp.bridge import Lens
from interp.patching import exact_effects, run_cut

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]


def of_edges(lens, scores):
    edges = lens.wiring.possible.nonzero()
    return scores[:, edges[:, 0], edges[:, 1]]


@pytest.mark.parametrize("kv_heads", [6, 2])
def test_cutting_all_edges_is_the_other_run_and_cutting_none_is_this_one(kv_heads):
    lens = Lens(tiny(kv_heads=kv_heads, spread=0.2))
    pairs = random_pairs()
    there = lens.read(pairs.corrupt).writers
    every = torch.ones(1, *lens.wiring.possible.shape)
    assert torch.allclose(run_cut(lens, pairs.clean, there, every), lens.run(pairs.corrupt), atol=1e-5)
    assert torch.allclose(run_cut(lens, pairs.clean, there, 0 * every), lens.run(pairs.clean), atol=1e-5)
    half = (torch.rand(every.shape, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    assert not torch.allclose(run_cut(lens, pairs.clean, there, half), lens.run(pairs.clean), atol=1e-3)


def test_how_many_layers_are_told_at_once_changes_nothing(monkeypatch):
    lens, pairs = Lens(tiny(7, layers=7, spread=0.1)), random_pairs(7, items=1)
    ids, corrupt, _ = pairs.rows(slice(0, 1))
    there = lens.read(corrupt).writers
    cut = torch.rand(3, *lens.wiring.possible.shape, generator=torch.Generator().manual_seed(7)) < 0.5
    found = []
    for layers in (1, 3, 5, 7):
        monkeypatch.setattr(patching, "AT_ONCE", layers)
        found.append(run_cut(lens, ids.expand(3, -1), there, cut))
    assert not torch.allclose(found[0][0], found[0][1], atol=1e-3), "each row has its own edges cut"
    for other in found[1:]:
        assert torch.allclose(other, found[0], atol=1e-5)


def test_cutting_an_edge_into_a_shared_key_changes_its_group_alone():
    """Written out by hand for one edge: embedding -> the second key-value head of layer 0."""
    lens = Lens(tiny(heads=6, kv_heads=2, layers=1, spread=0.2))
    pairs = random_pairs(items=1)
    ids, corrupt, _ = pairs.rows(slice(0, 1))
    there = lens.read(corrupt).writers
    cut = torch.zeros(1, *lens.wiring.possible.shape)
    cut[0, 0, lens.wiring.readers.index("0.v1")] = 1

    def other_value(value):
        mixed = value.clone()
        values = torch.einsum("btd,hde->bthe", lens.norm(0, "ln1")(there[:, :, 0]), lens.projections[0]["v"])
        mixed[:, :, 1] = values[:, :, 1]
        return mixed

    with torch.no_grad():
        by_hand = lens.run(ids, [("blocks.0.attn.hook_v", other_value)])
    assert torch.allclose(run_cut(lens, ids, there, cut), by_hand, atol=1e-5)


@pytest.mark.parametrize(
    ("seed", "kv_heads", "spread"), [(0, 2, 0.02), (1, 6, 0.02), (2, 2, 0.08), (3, 6, 0.08)], ids=str
)
def test_scores_rank_edges_as_patching_each_does(seed, kv_heads, spread):
    lens = Lens(tiny(seed, kv_heads=kv_heads, spread=spread))
    pairs = random_pairs(seed, items=2)
    scores = of_edges(lens, eap_ig(lens, pairs, steps=5)).mean(0)
    exact = exact_effects(lens, pairs, both_ways=True).mean(0)
    assert spearmanr(scores, exact).statistic >= 0.9
    assert spearmanr(scores.abs(), exact.abs()).statistic >= 0.9


def test_on_a_short_way_a_score_is_the_effect_itself():
    """With an infinitesimal difference between the runs, first-order estimate and truth are the same number."""
    model = tiny(spread=0.1)
    with torch.no_grad():
        table = model.model.embed_tokens.weight
        for token in range(20):
            table[token + 20] = table[token] + 1e-3 * torch.randn(48, generator=torch.Generator().manual_seed(token))
    lens = Lens(model.double())
    pairs = random_pairs(items=2)
    pairs.corrupt.copy_(pairs.clean)
    pairs.corrupt[:, :5] = (pairs.clean[:, :5] + 20) % 40
    scores, exact = of_edges(lens, eap_ig(lens, pairs, steps=3)), exact_effects(lens, pairs, both_ways=True)
    assert float((scores - exact).norm() / exact.norm()) < 0.02


def test_scores_of_an_items_two_rows_add_up_and_batches_do_not_matter():
    lens = Lens(tiny())
    pairs = random_pairs(items=3)
    whole = eap_ig(lens, pairs, batch=6)
    assert torch.allclose(whole, eap_ig(lens, pairs, batch=1), atol=1e-6)
    assert torch.allclose(whole[[2]], eap_ig(lens, pairs.take([2])), atol=1e-6)
    assert whole.shape == (3, *lens.wiring.possible.shape)
    assert not whole[:, ~lens.wiring.possible].any()


def test_the_librarys_own_attribution_gives_the_same_on_the_repeated_copy():
    """It refuses shared keys and values and knows one step only: the gradient at its corrupt prompt, our clean one."""
    model = tiny(spread=0.1)
    ours, wide = Lens(model), Lens(repeated(model))
    pairs = random_pairs(items=1)
    ids, corrupt, weights = pairs.rows(slice(0, 1))
    assert torch.allclose(ours.run(ids), wide.run(ids), atol=1e-6)
    wide.bridge.original_model.requires_grad_()  # Theirs differentiates from the embedding on.
    theirs = library_scores(wide, pairs)
    one = type(pairs)(ids, corrupt, weights, pairs.item[:1], pairs.groups, pairs.wordings)
    for lens in (wide, ours):
        found = eap_ig(lens, one, steps=1)[0]
        expected = torch.zeros_like(found)
        for (writer, reader), score in theirs.items():
            expected[place(lens.wiring, writer), place(lens.wiring, reader)] += score
        assert torch.allclose(found, expected, atol=1e-6)


def place(wiring, node):
    """Where a node of the library stands in our order; a query head's key and value are those of its group."""
    group = wiring.heads // wiring.kv_heads
    layer, head = node.layer, node.head
    names = {
        "embed": lambda: "embed",
        "attn_head_out": lambda: f"{layer}.h{head}",
        "mlp_out": lambda: f"{layer}.mlp",
        "q_input": lambda: f"{layer}.q{head}",
        "k_input": lambda: f"{layer}.k{head // group}",
        "v_input": lambda: f"{layer}.v{head // group}",
        "mlp_in": lambda: f"{layer}.in",
        "logits": lambda: "logits",
    }
    name = names[node.kind]()
    return (wiring.writers if name in wiring.writers else wiring.readers).index(name)
