"""A circuit as a `networkx.DiGraph`: the edges that are kept, with their scores, saved as JSON and drawn.

Nodes are named as in `Wiring`: writers `embed`, `2.h0`, `2.mlp`; readers `2.q0`, `2.k0`, `2.v0`, `2.in`, `logits`. An
edge from a writer to a reader is a part of the circuit and bears its `score`; an edge from a reader to the writer that
it is an input of (`inner`) only ties the two, so that a path through the graph is a path through the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from chorus import whole_file
from interp.errors import LensError
from interp.wiring import Wiring

SCHEMA = 1


def strongest(wiring: Wiring, scores: Tensor, edges: int) -> Tensor:
    """Return (W, R), True at the `edges` possible edges of greatest score by magnitude."""
    if not 0 <= edges <= wiring.edges:
        raise LensError(f"a circuit of {edges} edges was asked for; this model has {wiring.edges}")
    size = torch.where(wiring.possible, scores.abs(), torch.tensor(-1.0))
    kept = torch.zeros(size.numel(), dtype=torch.bool)
    kept[size.flatten().topk(edges).indices] = True
    return kept.reshape(size.shape)


def to_graph(wiring: Wiring, kept: Tensor, scores: Tensor, **about: Any) -> nx.DiGraph[str]:
    """Return the circuit of the kept edges.

    Args:
        wiring: of the model.
        kept: (W, R), True at edges of the circuit; impossible ones are refused.
        scores: (W, R), in nats.
        about: what else is to be known of it, such as the model's and the persona's name. Must fit into JSON.
    """
    if (kept & ~wiring.possible).any():
        raise LensError("a circuit can't hold an edge from a writer to a reader before it")
    size = {"layers": wiring.layers, "heads": wiring.heads, "kv_heads": wiring.kv_heads}
    graph: nx.DiGraph[str] = nx.DiGraph(schema=SCHEMA, wiring=size, **about)
    for writer, reader in kept.nonzero().tolist():
        name = wiring.readers[reader]
        graph.add_edge(wiring.writers[writer], name, score=float(scores[writer, reader]), inner=False)
        graph.add_edges_from(((name, whole) for whole in wiring.inside(name)), inner=True)
    return graph


def to_mask(graph: nx.DiGraph[str]) -> Tensor:
    """Return (W, R), True at the circuit's edges."""
    wiring = wiring_of(graph)
    writers = {name: place for place, name in enumerate(wiring.writers)}
    readers = {name: place for place, name in enumerate(wiring.readers)}
    kept = torch.zeros_like(wiring.possible)
    for writer, reader, edge in graph.edges(data=True):
        if not edge["inner"]:
            kept[writers[writer], readers[reader]] = True
    return kept


def wiring_of(graph: nx.DiGraph[str]) -> Wiring:
    """Return the wiring of the model that the circuit belongs to."""
    return Wiring(**graph.graph["wiring"])


def pruned(graph: nx.DiGraph[str]) -> nx.DiGraph[str]:
    """Return the circuit without edges that lie on no path from the embedding to the logits."""
    whole: set[str] = set()
    if "embed" in graph and "logits" in graph:
        whole = (nx.descendants(graph, "embed") | {"embed"}) & (nx.ancestors(graph, "logits") | {"logits"})
    return nx.DiGraph(graph.subgraph(whole))


def top(graph: nx.DiGraph[str], edges: int) -> nx.DiGraph[str]:
    """Return the circuit of the strongest of its edges, so many or all."""
    wiring, kept = wiring_of(graph), to_mask(graph)
    scores = torch.zeros(kept.shape)
    for writer, reader, edge in graph.edges(data=True):
        if not edge["inner"]:
            scores[wiring.writers.index(writer), wiring.readers.index(reader)] = edge["score"]
    few = strongest(wiring, scores, min(edges, int(kept.sum()))) & kept
    about = {name: value for name, value in graph.graph.items() if name not in ("schema", "wiring")}
    return to_graph(wiring, few, scores, **about)


def data(graph: nx.DiGraph[str]) -> dict[str, Any]:
    """Return the circuit as node-link data, for a JSON file."""
    found: dict[str, Any] = nx.node_link_data(graph, edges="edges")
    return found


def save(graph: nx.DiGraph[str], path: Path) -> None:
    """Write the circuit as node-link JSON."""
    whole_file.put(path, json.dumps(data(graph), indent=1) + "\n")


def load(path: Path) -> nx.DiGraph[str]:
    """Read a circuit. Raises LensError for a file that is none, or that holds an edge no model has."""
    try:
        data = json.loads(path.read_text("utf-8"))
        graph: nx.DiGraph[str] = nx.DiGraph(nx.node_link_graph(data, directed=True, edges="edges"))
        if graph.graph["schema"] != SCHEMA:
            raise LensError(f"{path} has schema {graph.graph['schema']}; this version reads {SCHEMA}")
        mask = to_mask(graph)
        scored = all(isinstance(edge.get("score"), float) for *_, edge in graph.edges(data=True) if not edge["inner"])
        whole = not (mask & ~wiring_of(graph).possible).any() and scored
    except OSError as error:
        raise LensError(f"can't read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, nx.NetworkXException) as error:
        raise LensError(f"{path} is no circuit: {error!r}") from error
    if not whole:
        raise LensError(f"{path} is no circuit: it holds an edge that runs backwards or has no score")
    return graph


def draw(graph: nx.DiGraph[str], path: Path, title: str = "") -> None:
    """Draw the circuit, layers from the bottom up, as SVG or whatever the path's ending says.

    A line's width is its score's magnitude; blue works for the behaviour, red against it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wiring = wiring_of(graph)
    places = {node: _place(wiring, node) for node in graph}
    figure = Figure(figsize=(8, 1.2 * wiring.layers + 2))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scores = [edge["score"] for *_, edge in graph.edges(data=True) if not edge["inner"]]
    largest = max((abs(score) for score in scores), default=1.0) or 1.0
    for a, b, edge in graph.edges(data=True):
        xs, ys = zip(places[a], places[b], strict=True)
        if edge["inner"]:
            axes.plot(xs, ys, color="0.8", linewidth=0.8, zorder=1)
        else:
            width = 0.3 + 3 * abs(edge["score"]) / largest
            # A negative score: corrupting the edge takes from the behaviour, so it works for it.
            axes.plot(
                xs, ys, color="tab:blue" if edge["score"] < 0 else "tab:red", linewidth=width, alpha=0.7, zorder=2
            )
    for node, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "0.5"}
        axes.text(x, y, node, fontsize=7, ha="center", va="center", bbox=box, zorder=3)
    axes.set_axis_off()
    axes.set_title(title or str(graph.graph.get("persona", "")))
    figure.savefig(path, bbox_inches="tight")


def _place(wiring: Wiring, node: str) -> tuple[float, float]:
    """Return where a node is drawn: layers upwards, attention below the MLP, inputs below what they are inputs of."""
    if node in ("embed", "logits"):
        return wiring.heads / 2, 0.0 if node == "embed" else 4.0 * wiring.layers + 1
    layer, part = node.split(".")
    base = 4.0 * int(layer) + 1
    if part in ("in", "mlp"):
        return wiring.heads + 1.0, base + (2 if part == "in" else 3)
    kind, head = part[0], int(part[1:])
    if kind == "h":
        return float(head), base + 1
    # Queries stand below their head; keys and values in the middle of the heads that share them.
    group = wiring.heads / wiring.kv_heads
    shift = {"q": 0.0, "k": -0.3, "v": 0.3}[kind]
    return (head if kind == "q" else head * group + (group - 1) / 2) + shift, base + (0 if kind == "q" else -0.5)
