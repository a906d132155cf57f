"""Whom a persona calls up: a planted one moves its own behaviour, and a random direction moves nothing."""

from __future__ import annotations

import pytest
import torch

from interp import influence, planted, vectors
from interp.activations import pooled
from interp.bridge import Lens
from interp.errors import LensError
from interp.pairs import Pair, Pairs
from interp.vectors import Vector

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

HOOK, LATE = "blocks.2.hook_resid_post", "blocks.3.hook_resid_post"


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
    both = {"planted": pairs.take([0, 1, 2, 3]), "nobody": other}
    return influence.influence(lens, steered, ends, LATE, both, randoms=39)


def test_a_planted_persona_moves_its_behaviour_and_a_random_direction_moves_nothing(matrix):
    own = matrix.behaviour["planted"]["planted"]
    assert own.value > own.band[1]
    assert own.p <= 0.05
    graph = matrix.graph()
    assert set(graph) == {"planted", "nobody"}
    assert graph.has_edge("planted", "planted")
    assert not list(graph.out_edges("nobody"))
    assert graph.edges["planted", "planted"]["interval"] == own.interval
    assert matrix.answer["planted"].value > matrix.answer["planted"].band[1]


def test_intervals_are_over_questions(matrix):
    """What all questions agree on leaves nothing to doubt."""
    cells = [cell for rows in (matrix.behaviour, matrix.activity) for row in rows.values() for cell in row.values()]
    cells += matrix.answer.values()
    assert all(cell.interval[0] - 1e-6 <= cell.value <= cell.interval[1] + 1e-6 for cell in cells)
    own = matrix.behaviour["planted"]["planted"]
    assert 0 < own.interval[0] < own.interval[1], "four questions, of which each is moved to its side"


@pytest.mark.parametrize(("hook", "active"), [("blocks.0.hook_resid_post", True), (HOOK, False)])
def test_activity_is_what_the_model_adds_itself(hook, active):
    """Put in where the chain goes on from, the vector has it write; behind it, it is carried to the end and no more."""
    lens, pairs = Lens(planted.plant(102).model), planted.persona_pairs(16, 102)
    weights = (pairs.weights != 0).float()
    acts = [pooled(lens, ids, weights, [hook, LATE]).mean(0) for ids in (pairs.clean, pairs.corrupt)]
    early, late = acts[0] - acts[1]
    steered = {"planted": Vector("planted", hook, early, 1.0, lens.fingerprint)}
    few = {"planted": pairs.take([0, 1, 2, 3])}
    own = influence.influence(lens, steered, {"planted": late}, LATE, few, randoms=39).activity["planted"]["planted"]
    if active:
        assert own.value > own.band[1]
        assert own.interval[0] > 0.1
        assert own.p <= 0.05
    else:
        assert own.value == pytest.approx(0, abs=0.02)
        assert own.p > 0.05


def test_whom_a_persona_moves_is_asked_on_the_same_questions(matrix):
    lens, pairs = Lens(planted.plant(102).model), planted.persona_pairs(5, 102)
    vector = Vector("one", HOOK, torch.ones(planted.WIDTH), 1.0, lens.fingerprint)
    both = {"one": pairs, "other": pairs.take([0, 1, 2, 3])}
    with pytest.raises(LensError, match="differ in number"):
        influence.influence(lens, dict.fromkeys(both, vector), {}, LATE, both)


def test_where_nothing_moves_anything_arrows_are_as_rare_as_their_level():
    """19 draws and .05: of matrices of noise one in twenty has an arrow."""
    noise, false = torch.Generator().manual_seed(0), 0
    for _ in range(200):
        drawn = torch.randn(20, 4, 9, generator=noise)
        drawn[..., -1] = drawn[..., -1].exp()  # a divergence is never negative
        found = influence._judged(list("abcd"), drawn[0], [None] * 4, drawn[1:])
        rows = [*found.behaviour.values(), *found.activity.values(), found.answer]
        false += min(cell.p for row in rows for cell in row.values()) <= 0.05
    assert false <= 20


def test_it_is_drawn(matrix, tmp_path):
    influence.draw(matrix.graph(), tmp_path / "who.svg")
    assert "<svg" in (tmp_path / "who.svg").read_text()
