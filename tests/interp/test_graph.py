"""A circuit is a networkx graph: built from scores, pruned, saved, read back, drawn."""

from __future__ import annotations

import json

import networkx as nx
import pytest
import torch

from interp import graph
from interp.errors import LensError
from interp.wiring import Wiring

pytestmark = pytest.mark.interp

WIRING = Wiring(layers=2, heads=4, kv_heads=2)


def edge(writer, reader):
    return WIRING.writers.index(writer), WIRING.readers.index(reader)


def scored(**edges):
    scores = torch.zeros(WIRING.possible.shape)
    for number, ends in enumerate(edges.values(), 1):
        scores[edge(*ends)] = -float(number)
    return scores


def test_the_strongest_edges_are_kept_whatever_their_sign():
    scores = scored(a=("embed", "0.v1"), b=("0.h2", "1.q0"), c=("1.h0", "logits"))
    scores[edge("0.mlp", "logits")] = 9.0
    kept = graph.strongest(WIRING, scores, 2)
    assert kept.sum() == 2
    assert kept[edge("0.mlp", "logits")]
    assert kept[edge("1.h0", "logits")]
    assert graph.strongest(WIRING, scores, WIRING.edges).equal(WIRING.possible)
    with pytest.raises(LensError, match="this model has"):
        graph.strongest(WIRING, scores, WIRING.edges + 1)


def test_a_path_through_the_graph_is_a_path_through_the_model():
    scores = scored(a=("embed", "0.v1"), b=("0.h2", "1.q0"), c=("1.h0", "logits"), dead=("0.h0", "1.in"))
    circuit = graph.to_graph(WIRING, scores != 0, scores, persona="skeptic")
    assert nx.is_directed_acyclic_graph(circuit)
    assert nx.has_path(circuit, "embed", "logits")
    assert set(circuit.successors("0.v1")) == {"0.h2", "0.h3"}, "the heads that share the second value head"
    whole = graph.pruned(circuit)
    assert "1.in" not in whole
    assert graph.to_mask(whole).sum() == 3
    assert whole.graph["persona"] == "skeptic"


def test_what_is_saved_is_read_back(tmp_path):
    scores = scored(a=("embed", "0.v1"), b=("0.h2", "1.q0"), c=("1.h0", "logits"))
    circuit = graph.to_graph(WIRING, scores != 0, scores, persona="skeptic")
    graph.save(circuit, tmp_path / "circuit.json")
    again = graph.load(tmp_path / "circuit.json")
    assert nx.utils.graphs_equal(circuit, again)
    assert graph.wiring_of(again) == WIRING
    assert [file.name for file in tmp_path.iterdir()] == ["circuit.json"]


def backwards(data):
    data["edges"].append({"source": "1.mlp", "target": "0.in", "score": 1.0, "inner": False})
    data["nodes"] += [{"id": "1.mlp"}, {"id": "0.in"}]


@pytest.mark.parametrize(
    "harm",
    [
        backwards,
        lambda data: data["graph"].pop("wiring"),
        lambda data: data["edges"][0].pop("score"),
        lambda data: data["graph"].update(schema=2),
        lambda data: data["edges"][0].update(target="nowhere"),
    ],
)
def test_a_file_edited_by_hand_is_refused(tmp_path, harm):
    scores = scored(a=("embed", "0.v1"))
    path = tmp_path / "circuit.json"
    graph.save(graph.to_graph(WIRING, scores != 0, scores), path)
    data = json.loads(path.read_text())
    harm(data)
    path.write_text(json.dumps(data))
    with pytest.raises(LensError):
        graph.load(path)
    with pytest.raises(LensError, match="can't read"):
        graph.load(tmp_path / "nothing.json")


def test_it_is_drawn(tmp_path):
    scores = scored(a=("embed", "0.v1"), b=("0.h2", "1.q0"), c=("1.h0", "logits"))
    graph.draw(graph.to_graph(WIRING, scores != 0, scores), tmp_path / "circuit.svg", "The skeptic")
    assert "<svg" in (tmp_path / "circuit.svg").read_text()
