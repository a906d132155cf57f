"""Is a circuit the whole of a behaviour, and nothing but it? Each question is answered by cutting edges, never by scores.

With m(C) the behaviour when only the circuit's edges carry this run and all others carry the replacement, the
faithfulness of C is (m(C) - m(nothing)) / (m(everything) - m(nothing)): 1 for a circuit that does all that the model
does, 0 for one that does nothing. Replaced is by what the corrupt prompt wrote (`patch`) or by each writer's mean over
the clean prompts (`mean`); the two answer different questions and are reported side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from interp.activations import in_batches
from interp.bridge import Lens
from interp.errors import LensError
from interp.graph import strongest
from interp.pairs import Pairs, behaviour, counted
from interp.patching import run_cut
from interp.wiring import Wiring

Ablation = Literal["patch", "mean"]

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The shares of all edges at which a curve is measured (Mueller et al. 2025, MIB)."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Faithfulness against circuit size, and the two areas that sum it up (Mueller et al. 2025, MIB, section 3)."""

    edges: tuple[int, ...]
    faithfulness: tuple[float, ...]
    cpr: float
    """Integrated circuit performance ratio: the area under the curve over the share of edges. Higher is better."""
    cmd: float
    """Integrated circuit-model distance: the area between the curve and 1. 0 is best."""


@dataclass(frozen=True, slots=True)
class Minimality:
    """What each edge of a circuit is good for."""

    drops: tuple[float, ...]
    """How much faithfulness the circuit loses without each edge that was tried, by magnitude."""
    null: float
    """The loss of the whole model without one edge outside the circuit: its 95th percentile over random edges."""
    needed: float
    """The share of the tried edges whose loss is above the null."""
    interval: tuple[float, float]
    """95 %, by Wilson's method."""


@dataclass(frozen=True, slots=True)
class Stability:
    """How alike circuits come out that were found on resampled items."""

    jaccard: float
    """Mean overlap of edge sets with the circuit of all items: intersection over union."""
    interval: tuple[float, float]
    """2.5th and 97.5th percentile."""


def behaviours(
    lens: Lens,
    pairs: Pairs,
    circuits: Tensor,
    *,
    ablation: Ablation = "patch",
    batch: int = 32,
) -> Tensor:
    """Return the behaviour (circuits, items) in nats when only each circuit's edges carry the clean run.

    Args:
        lens: the model.
        pairs: what is measured on.
        circuits: (circuits, W, R), True at the edges that are kept.
        ablation: what the other edges carry.
        batch: runs at once; every circuit runs on every row.
    """
    count, means = len(pairs.clean), _means(lens, pairs, batch) if ablation == "mean" else None
    written: dict[int, Tensor] = {}

    def other(rows: list[int]) -> Tensor:
        """Return what the corrupt prompts wrote, (1 or rows, T, W, D); each is run once, since its circuits follow."""
        for row in written.keys() - set(rows):
            del written[row]
        for row in set(rows) - written.keys():
            written[row] = lens.read(pairs.corrupt[row : row + 1], at=slice(1)).writers
        return written[rows[0]] if len(written) == 1 else torch.cat([written[row] for row in rows])

    def work(chosen: slice) -> Tensor:
        index = torch.arange(chosen.start, chosen.stop)
        rows = index // len(circuits)
        clean, _, weights = pairs.rows(rows)
        there = other(rows.tolist()) if means is None else means.expand(-1, clean.shape[1], -1, -1)
        cut = ~circuits[index % len(circuits)]
        logits = run_cut(lens, clean, there, cut.to(lens.device), at=counted(weights))
        return behaviour(logits, clean, weights).cpu()

    flat = in_batches(count * len(circuits), batch, work)
    return torch.stack([pairs.by_item(rows) for rows in flat.reshape(count, len(circuits)).T])


def faithfulness(
    lens: Lens,
    pairs: Pairs,
    circuits: Tensor,
    *,
    ablation: Ablation = "patch",
    batch: int = 32,
) -> Tensor:
    """Return each circuit's faithfulness (circuits,), over the means of all items.

    Raises:
        LensError: the model behaves the same with everything cut, so there is nothing to be faithful to.
    """
    found = behaviours(lens, pairs, _with_ends(lens.wiring, circuits), ablation=ablation, batch=batch).mean(1)
    nothing, everything, rest = found[0], found[1], found[2:]
    if (everything - nothing).abs() < 1e-6:
        raise LensError("the model behaves the same with and without the persona: there is no behaviour to explain")
    return (rest - nothing) / (everything - nothing)


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
        batch: runs at once.
    """
    wiring = lens.wiring
    sizes = [max(1, round(share * wiring.edges)) for share in shares]
    kept = torch.stack([strongest(wiring, scores, size) for size in sizes])
    found = faithfulness(lens, pairs, kept, ablation=ablation, batch=batch).numpy()
    places = np.array([0.0, *shares])  # At no edges faithfulness is 0 by its definition.
    values = np.array([0.0, *found])
    area, distance = trapezoid(values, places), trapezoid(np.abs(1 - values), places)
    return Curve(tuple(sizes), tuple(map(float, found)), float(area), float(distance))


def completeness(lens: Lens, pairs: Pairs, kept: Tensor, *, draws: int = 20, seed: int = 0, batch: int = 32) -> float:
    """Return how differently circuit and model suffer from losing the same edges: 0 when the circuit holds all that works.

    The mean of |F(C without K) - F(M without K)| over random subsets K of the circuit, each edge drawn with
    probability 1/2 (Wang et al. 2022, IOI, section 4), in units of faithfulness.
    """
    generator = torch.Generator().manual_seed(seed)
    lost = (torch.rand(draws, *kept.shape, generator=generator) < 0.5) & kept
    everything = lens.wiring.possible
    found = faithfulness(lens, pairs, torch.cat([kept & ~lost, everything & ~lost]), batch=batch)
    return float((found[:draws] - found[draws:]).abs().mean())


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
    """Take edges out of the circuit one by one, and random edges outside it out of the whole model.

    Args:
        lens: the model.
        pairs: not those that the circuit was found on.
        kept: (W, R), the circuit.
        tried: how many of its edges, drawn evenly; None means all, in the order of `kept.nonzero()`.
        draws: edges outside.
        seed: of both draws.
        batch: runs at once.

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
    without = torch.cat([_less(kept, ours), _less(everything, others), kept[None]])
    found = faithfulness(lens, pairs, without, batch=batch)
    drops, idle = (found[: len(ours)] - found[-1]).abs(), (found[len(ours) : -1] - 1).abs()
    null = float(np.quantile(idle.numpy(), 0.95))
    needed = int((drops > null).sum())
    low, high = proportion_confint(needed, len(drops), method="wilson")
    return Minimality(tuple(drops.tolist()), null, needed / len(drops), (float(low), float(high)))


def random_circuits(wiring: Wiring, edges: int, draws: int, seed: int = 0) -> Tensor:
    """Return circuits (draws, W, R) of so many edges, each drawn evenly from all that are possible."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(draws, *wiring.possible.shape, generator=generator)
    return torch.stack([strongest(wiring, each, edges) for each in noise])


def specificity(lens: Lens, circuits: dict[str, Tensor], pairs: dict[str, Pairs]) -> dict[str, dict[str, float]]:
    """Return the faithfulness of each persona's circuit (outer key) on each persona's behaviour (inner key).

    A specific circuit is near 1 on its own persona and lower on others.
    """
    stacked = torch.stack(list(circuits.values()))
    columns = {name: faithfulness(lens, own, stacked).tolist() for name, own in pairs.items()}
    return {name: {other: values[place] for other, values in columns.items()} for place, name in enumerate(circuits)}


def stability(
    wiring: Wiring, scores: Tensor, groups: Sequence[str], edges: int, *, draws: int = 200, seed: int = 0
) -> Stability:
    """Draw groups of items anew with replacement, find the circuit on each draw, and compare.

    Args:
        wiring: of the model.
        scores: (items, W, R).
        groups: one an item; a group is drawn whole, so that paraphrases of one question don't pass for many.
        edges: the circuit's size.
        draws: how often.
        seed: of the draws.
    """
    names = sorted(set(groups))
    sums = torch.stack([scores[[own == name for own in groups]].sum(0) for name in names])  # (groups, W, R)
    whole = strongest(wiring, sums.sum(0), edges)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(names), (draws, len(names)), generator=generator)
    found = [strongest(wiring, sums[few].sum(0), edges) for few in drawn]
    overlaps = np.array([float((each & whole).sum() / (each | whole).sum()) for each in found])
    low, high = np.quantile(overlaps, [0.025, 0.975])
    return Stability(float(overlaps.mean()), (float(low), float(high)))


def _with_ends(wiring: Wiring, circuits: Tensor) -> Tensor:
    """Put the circuit of no edges and the one of all before the others."""
    return torch.cat([torch.zeros_like(wiring.possible)[None], wiring.possible[None], circuits])


def _less(kept: Tensor, edges: Tensor) -> Tensor:
    """Return (edges, W, R): the circuit without each of the edges in turn."""
    without = kept.repeat(len(edges), 1, 1)
    without[torch.arange(len(edges)), edges[:, 0], edges[:, 1]] = False
    return without


def _means(lens: Lens, pairs: Pairs, batch: int) -> Tensor:
    """Return what each writer writes on average over the tokens of the clean prompts and answers, (1, 1, W, D)."""
    real = pairs.real.float()

    def work(chosen: slice) -> Tensor:
        written = lens.read(pairs.clean[chosen], at=slice(1)).writers
        return torch.einsum("btwd,bt->bwd", written, real[chosen].to(written.device))

    return (in_batches(len(real), batch, work).sum(0) / real.sum())[None, None]
