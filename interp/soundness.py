"""Is a circuit all that works, and does all of it work? Its curve over sizes, its completeness and its minimality.

Where `faithfulness` asks whether one circuit carries the behaviour, here parts are added and taken away, which takes long.
Intervals are over items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from interp import intervals
from interp.bridge import Lens
from interp.errors import LensError
from interp.faithfulness import Ablation, carried, faithfulness
from interp.graph import strongest
from interp.intervals import Array, Interval, Places
from interp.pairs import Pairs

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The shares of all edges at which a curve is measured (Mueller et al. 2025, MIB)."""


@dataclass(frozen=True, slots=True)
class Area:
    """A figure with its 95 % interval, where it has one."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Faithfulness against circuit size, and the two areas that sum it up (Mueller et al. 2025, MIB, section 3)."""

    edges: tuple[int, ...]
    faithfulness: tuple[float, ...]
    intervals: tuple[Interval | None, ...]
    """Of the faithfulness at each size."""
    cpr: Area
    """Integrated circuit performance ratio: the area under the curve over the share of edges. Higher is better."""
    cmd: Area
    """Integrated circuit-model distance: the area between the curve and 1. 0 is best."""


@dataclass(frozen=True, slots=True)
class Minimality:
    """What each edge of a circuit is good for."""

    drops: tuple[float, ...]
    """How much faithfulness the circuit loses without each edge that was tried, by magnitude."""
    null: float
    """The same of the circuit and one edge more, without that edge: its 95th percentile over random edges outside."""
    needed: float
    """The share of the tried edges whose loss is above the null."""
    interval: tuple[float, float]
    """95 %, by Wilson's method."""


def curve(
    lens: Lens,
    pairs: Pairs,
    scores: Tensor,
    *,
    shares: Sequence[float] = SHARES,
    ablation: Ablation = "patch",
    batch: int = 32,
) -> Curve:
    """Return faithfulness as the strongest edges are added.

    Args:
        lens: the model.
        pairs: not those that the scores were found on.
        scores: (W, R), by whose magnitude edges are ranked.
        shares: of all edges, increasing, ending with 1.
        ablation: what the other edges carry.
        batch: circuits at once.
    """
    sizes = [max(1, round(share * lens.wiring.edges)) for share in shares]
    kept = torch.stack([strongest(lens.wiring, scores, size) for size in sizes])
    lost = carried(lens, pairs, kept, ablation=ablation, batch=batch)
    places = np.array([0.0, *shares])

    def figures(items: Places) -> Array:
        """Return the faithfulness at each size, and the two areas."""
        found = _shares(lost, items)
        values = np.concatenate([[0.0], found])  # At no edges faithfulness is 0 by its definition.
        areas = [float(trapezoid(each, places)) for each in (values, np.abs(1 - values))]
        every: Array = np.concatenate([found, areas])
        return every

    *points, cpr, cmd = _areas(figures, lost.shape[1])
    return Curve(
        tuple(sizes), tuple(point.value for point in points), tuple(point.interval for point in points), cpr, cmd
    )


def completeness(lens: Lens, pairs: Pairs, kept: Tensor, *, draws: int = 20, seed: int = 0, batch: int = 32) -> Area:
    """Return how differently circuit and model suffer from losing the same edges: 0 when the circuit holds all that works.

    The mean of |F(C without K) - F(M without K)| over random subsets K of the circuit, each edge drawn with
    probability 1/2 (Wang et al. 2022, IOI, section 4), in units of faithfulness.
    """
    generator = torch.Generator().manual_seed(seed)
    lost = (torch.rand(draws, *kept.shape, generator=generator) < 0.5) & kept
    everything = lens.wiring.possible
    left = carried(lens, pairs, torch.cat([kept & ~lost, everything & ~lost]), batch=batch)

    def lack(items: Places) -> Array:
        found = _shares(left, items)
        mean: Array = np.abs(found[:draws] - found[draws:]).mean(keepdims=True)
        return mean

    return _areas(lack, left.shape[1])[0]


def minimality(
    lens: Lens,
    pairs: Pairs,
    kept: Tensor,
    *,
    tried: int | None = None,
    draws: int = 50,
    seed: int = 0,
    batch: int = 32,
) -> Minimality:
    """Take edges out of the circuit one by one; and, for the null, random edges outside it that were put to it.

    Both are taken from as good as the same circuit: out of the whole model, where others stand in for what is lost, any
    edge would cost less.

    Args:
        lens: the model.
        pairs: not those that the circuit was found on.
        kept: (W, R), the circuit.
        tried: how many of its edges, drawn evenly; None means all, in the order of `kept.nonzero()`.
        draws: edges outside.
        seed: of both draws.
        batch: circuits at once.

    Raises:
        LensError: the circuit is empty, or nothing lies outside it.
    """
    from statsmodels.stats.proportion import proportion_confint

    everything, draw = lens.wiring.possible, torch.Generator().manual_seed(seed)
    ours, others = kept.nonzero(), (everything & ~kept).nonzero()
    if not (len(ours) and len(others)):
        raise LensError("a circuit of no edges, or of all, can't be held against what lies outside it")
    others = others[torch.randperm(len(others), generator=draw)[:draws]]
    if tried is not None:
        ours = ours[torch.randperm(len(ours), generator=draw)[:tried]]
    tried_out = torch.cat([_changed(kept, ours, False), _changed(kept, others, True), kept[None]])
    found = faithfulness(lens, pairs, tried_out, batch=batch)
    changes = (found[:-1] - found[-1]).abs()
    drops, idle = changes[: len(ours)], changes[len(ours) :]
    null = float(np.quantile(idle.numpy(), 0.95))
    needed = int((drops > null).sum())
    low, high = proportion_confint(needed, len(drops), method="wilson")
    return Minimality(tuple(drops.tolist()), null, needed / len(drops), (float(low), float(high)))


def _changed(kept: Tensor, edges: Tensor, there: bool) -> Tensor:
    """Return (edges, W, R): the circuit with each of the edges in turn, or without it."""
    circuits = kept.repeat(len(edges), 1, 1)
    circuits[torch.arange(len(edges)), edges[:, 0], edges[:, 1]] = there
    return circuits


def _shares(lost: Tensor, items: Places) -> Array:
    """Return each circuit's faithfulness (circuits,) over some of the items of what `carried` returned."""
    sums = lost[:, items].double().sum(1).numpy()
    found: Array = sums[1:] / sums[0]
    return found


def _areas(figures: Callable[[Places], Array], items: int) -> list[Area]:
    """Return figures of some items with their intervals over them."""
    values, found = figures(np.arange(items)), intervals.jackknife(figures, items)
    ends: Sequence[Interval | None] = found or [None] * len(values)
    return [Area(float(value), end) for value, end in zip(values, ends, strict=True)]
