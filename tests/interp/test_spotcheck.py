"""A sample of edges for exact patching: of every kind and every strength, and the repeated copy folded back."""

from __future__ import annotations

import pytest
import torch
from tiny import random_pairs, tiny

from interp.attribution import eap_ig
from interp.bench import repeated
from interp.bridge import Lens
from interp.spotcheck import BANDS, KINDS, folded, sampled
from interp.wiring import Wiring

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]


def test_the_sample_has_every_kind_and_every_band():
    wiring = Wiring(layers=30, heads=9, kv_heads=3)
    scores = torch.randn(wiring.possible.shape, generator=torch.Generator().manual_seed(0))
    found = sampled(wiring, scores, 200)
    assert set(found) == {(kind, band) for kind in KINDS for band in BANDS}
    edges = torch.cat(list(found.values()))
    assert len(edges) == 200, "few edges lead to the logits: others make up for it"
    assert len({tuple(edge) for edge in edges.tolist()}) == len(edges)
    assert wiring.possible[edges[:, 0], edges[:, 1]].all()
    for kind in KINDS:
        sizes = [scores[found[kind, band][:, 0], found[kind, band][:, 1]].abs().min() for band in BANDS]
        tops = [scores[found[kind, band][:, 0], found[kind, band][:, 1]].abs().max() for band in BANDS]
        assert all(low >= high for low, high in zip(sizes, tops[1:], strict=False)), "bands don't overlap"
        assert all(wiring.readers[edge].rpartition(".")[2][0] == kind for edge in found[kind, 1.0][:, 1].tolist())


def test_scores_on_the_repeated_copy_add_up_to_ours():
    model = tiny(spread=0.1)
    ours, wide = Lens(model), Lens(repeated(model))
    pairs = random_pairs(items=2)
    scores = eap_ig(ours, pairs, steps=3).mean(0)
    assert torch.allclose(folded(wide.wiring, ours.wiring, eap_ig(wide, pairs, steps=3).mean(0)), scores, atol=1e-6)
