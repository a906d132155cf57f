"""Whom does a persona call up? One persona's vector is added, and all others are watched.

What becomes of the others' behaviour, of their activity and of the answer stands against random directions of the same
norm. All cells of the matrix are judged together, by the largest of them under each random draw (Westfall & Young
1993), and drawn as a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from chorus.checkpoints import Report
from interp import intervals
from interp.activations import in_batches
from interp.bridge import Lens
from interp.errors import LensError
from interp.intervals import Interval
from interp.pairs import Pairs, behaviour, counted
from interp.steering import Steered
from interp.vectors import Vector, random_like

ENDS = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Cell:
    """What steering with one persona does to one thing."""

    value: float
    interval: Interval | None
    """95 %, over questions; None where they are too few."""
    band: tuple[float, float]
    """2.5th and 97.5th percentile of the same under random directions."""
    p: float
    """Corrected for all cells of the matrix."""


@dataclass(frozen=True, slots=True)
class Influence:
    """The causal matrix; outer keys are who was steered with."""

    behaviour: dict[str, dict[str, Cell]]
    """Change of each persona's m_p a unit of the vector, in nats a token."""
    activity: dict[str, dict[str, Cell]]
    """What the model itself adds along each persona's late direction, in units of that direction: the part of the added
    vector that the stream merely carries there is taken off."""
    answer: dict[str, Cell]
    """How far the next-token distribution moves, as KL in nats a token."""

    def graph(self, alpha: float = 0.05) -> nx.DiGraph[str]:
        """Return who moves whose behaviour: an edge is there where its corrected p is small.

        It bears `value`, `interval` and `p`.
        """
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.behaviour)
        for name, row in self.behaviour.items():
            graph.add_edges_from(
                (name, other, {"value": c.value, "interval": c.interval, "p": c.p})
                for other, c in row.items()
                if c.p <= alpha
            )
        return graph


@torch.no_grad()
def influence(
    lens: Lens,
    vectors: Mapping[str, Vector],
    late: Mapping[str, Tensor],
    hook: str,
    pairs: Mapping[str, Pairs],
    *,
    randoms: int = 40,
    batch: int = 32,
    seed: int = 0,
    report: Report = lambda _: None,
) -> Influence:
    """Steer with each persona's vector on prompts without a persona, and measure all of them.

    Args:
        lens: the model.
        vectors: what is added, by persona.
        late: (D,) each, the persona's direction where its activity is read, by persona.
        hook: where activity is read; not before the vectors are added.
        pairs: each persona's behaviour, on the same questions: for intervals they are left out of all together.
        randoms: directions for the bands. Corrected p-values can't be smaller than 1 / (1 + randoms).
        batch: rows at once.
        seed: of the random directions.
        report: is told whose turn it is.

    Raises:
        LensError: not every persona's behaviour is on as many questions.
    """
    names = list(vectors)
    if len({len(pairs[name]) for name in names}) > 1:
        raise LensError("whom a persona moves is measured on the same questions for all, and these differ in number")

    def measured(vector: Vector, directions: Tensor) -> tuple[Tensor, list[Interval] | None]:
        """Return each behaviour, each activity, and the answer, (directions, 2P + 1); and intervals of the first's."""
        found, lacking = [], []
        for name in names:
            own, goal = pairs[name], late[name]

            def work(few: slice, own: Pairs = own, goal: Tensor = goal) -> Tensor:
                return _moved(lens, own.corrupt[few], own.weights[few], vector.hook, directions, goal, hook)

            items = own.by_item(in_batches(len(own.clean), batch, work))  # (items, directions, 3)
            tokens = own.by_item((own.weights != 0).float().sum(1))
            sizes = torch.stack([torch.ones_like(tokens), tokens, tokens], dim=1)  # (items, 3)
            found.append(items.sum(0) / sizes.sum(0))
            lacking.append(
                (items[:, 0].sum(0) - items[:, 0]) / (sizes.sum(0) - sizes)
            )  # Without each question, (items, 3).
        every = _columns(found)
        return every, intervals.around(every[0].double().numpy(), _columns(lacking).double().numpy())

    rows: list[Tensor] = []
    ends: list[list[Interval] | None] = []
    for place, (persona, vector) in enumerate(vectors.items()):
        report(f"whom {persona} calls up")
        own = vector.on(lens)
        found, edges = measured(vector, torch.cat([own[None], random_like(own, randoms, seed + place)]))
        rows.append(found)
        ends.append(edges)
    both = torch.stack(rows, dim=1)  # (1 + randoms, P, 2P + 1)
    return _judged(names, both[0], ends, both[1:])


def _columns(found: list[Tensor]) -> Tensor:
    """Lay (n, 3) for each of P personas out as (n, 2P + 1): behaviours, activities, and the answer's mean."""
    told, active, answer = torch.stack(found, dim=2).unbind(1)  # (n, P) each
    return torch.cat([told, active, answer.mean(1, keepdim=True)], dim=1)


def _moved(lens: Lens, ids: Tensor, weights: Tensor, hook: str, directions: Tensor, goal: Tensor, end: str) -> Tensor:
    """Return (rows, directions, 3): what adding each direction at a hook does to each row of ids.

    The change of the behaviour a unit; the sum over counted tokens of what the model itself adds along the goal at the
    end; and the same sum of how far the next-token distribution moves.
    """
    at, there = counted(weights), (weights != 0).float()
    run = Steered(lens, ids, hook, whole=hook == end)  # Else runs might begin behind the place where activity is read.
    plain = _logp(lens.run(ids, at=at))
    found = []
    for direction in directions:
        kept: list[Tensor] = []
        up, down = (run(sign * direction[None, None], [(end, kept.append)], at=at) for sign in (1.0, -1.0))
        told = (behaviour(up, ids, weights) - behaviour(down, ids, weights)) / 2
        carried = (kept[0] - kept[1]) / 2 - direction
        active = (carried @ goal.to(direction) / goal.square().sum().clamp_min(1e-12)).cpu()
        apart = torch.nn.functional.kl_div(plain, _logp(up), log_target=True, reduction="none").sum(-1).cpu()
        sums = ((active * there).sum(1), (apart * there[:, at]).sum(1))
        found.append(torch.stack([told.cpu(), *sums], dim=1))
    return torch.stack(found, dim=1)


def draw(graph: nx.DiGraph[str], path: Path, title: str = "Who moves whom") -> None:
    """Draw `Influence.graph`: an arrow where one persona's vector moves another's behaviour beyond chance.

    Blue raises it, red lowers it; the number is the change of m_p in nats a token, below it its interval if there is one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = nx.circular_layout(graph)
    values = nx.get_edge_attributes(graph, "value")
    colours = ["tab:blue" if value > 0 else "tab:red" for value in values.values()]
    nx.draw_networkx(
        graph, places, ax=axes, edge_color=colours, node_color="white", edgecolors="0.5", node_size=3500, font_size=9,
        connectionstyle="arc3,rad=0.12", arrowsize=16,
    )  # fmt: skip
    shown = {(a, b): _shown(about) for a, b, about in graph.edges(data=True)}
    nx.draw_networkx_edge_labels(graph, places, shown, ax=axes, font_size=7, connectionstyle="arc3,rad=0.12")
    axes.set_axis_off()
    axes.margins(0.2)
    axes.set_title(title)
    figure.savefig(path, bbox_inches="tight")


def _shown(about: dict[str, Any]) -> str:
    ends = about.get("interval")
    return f"{about['value']:+.3f}" + (f"\n{ends[0]:+.3f} to {ends[1]:+.3f}" if ends else "")


def _judged(names: list[str], found: Tensor, ends: list[list[Interval] | None], null: Tensor) -> Influence:
    """Judge all cells (P, 2P + 1) together, of which these are the intervals, row by row, and random draws of all."""
    # A divergence is never negative, and its logarithm is nearer to a normal variable: else its tail would judge all.
    even, own = (torch.cat([each[..., :-1], each[..., -1:].clamp_min(1e-12).log()], dim=-1) for each in (null, found))
    both = torch.cat([own[None], even])  # What was found and what was drawn are scored alike: else p is too small.
    centre, spread = both.mean(0), both.std(0).clamp_min(1e-12)
    largest = ((even - centre) / spread).abs().flatten(1).amax(1)  # (randoms,)
    score = ((own - centre) / spread).abs()
    p = (1 + (largest[:, None, None] >= score).sum(0)).double() / (1 + len(null))
    edges = torch.quantile(null, torch.tensor(ENDS), dim=0)

    def cell(row: int, column: int) -> Cell:
        under, over = (float(each[row, column]) for each in edges)
        own = ends[row]
        return Cell(float(found[row, column]), own[column] if own else None, (under, over), float(p[row, column]))

    count = len(names)
    return Influence(
        {name: {other: cell(r, c) for c, other in enumerate(names)} for r, name in enumerate(names)},
        {name: {other: cell(r, count + c) for c, other in enumerate(names)} for r, name in enumerate(names)},
        {name: cell(r, 2 * count) for r, name in enumerate(names)},
    )


def _logp(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.float(), dim=-1)
