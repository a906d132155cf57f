"""Is a circuit the whole of a behaviour, and nothing but it? Each question is answered by cutting edges, never by scores.

With m(C) the behaviour when only the circuit's edges carry this run and all others carry the replacement, the
faithfulness of C is (m(C) - m(nothing)) / (m(everything) - m(nothing)): 1 for a circuit that does all that the model
does, 0 for one that does nothing. Replaced is by what the corrupt prompt wrote (`patch`) or by each writer's mean over
both prompts (`mean`); the two answer different questions and are reported side by side. Means of the clean prompts alone
would hold the persona, which is in all of them, and leave nothing for a circuit to carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from interp.activations import Batch, in_batches
from interp.bridge import Lens
from interp.errors import NothingToExplain
from interp.graph import strongest
from interp.halves import Agreement, agreement
from interp.pairs import Pairs, behaviour, counted
from interp.patching import run_cut
from interp.wiring import Wiring

Ablation = Literal["patch", "mean"]
NOTHING = 1e-6
"""In nats a token: an effect below it, by magnitude, is none, and has no shares."""


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
        batch: circuits at once; every circuit runs on every row.
    """
    means = _means(lens, pairs, batch) if ablation == "mean" else None
    found, fits = [], Batch(batch)
    for row in range(len(pairs.clean)):
        ids, corrupt, weights = pairs.rows(slice(row, row + 1))
        there = lens.read(corrupt, at=slice(1)).writers if means is None else means.expand(-1, ids.shape[1], -1, -1)

        def work(few: slice, ids: Tensor = ids, weights: Tensor = weights, there: Tensor = there) -> Tensor:
            cut = ~circuits[few]
            many, own = (each.expand(len(cut), -1) for each in (ids, weights))
            return behaviour(run_cut(lens, many, there, cut.to(lens.device), at=counted(own)), many, own).cpu()

        found.append(in_batches(len(circuits), fits, work))
    return pairs.by_item(torch.stack(found)).T


def carried(
    lens: Lens,
    pairs: Pairs,
    circuits: Tensor,
    *,
    ablation: Ablation = "patch",
    batch: int = 32,
) -> Tensor:
    """Return (1 + circuits, items) in nats: what everything carries beyond nothing, and what each circuit does.

    Raises:
        NothingToExplain: the model behaves the same with everything cut, so there is nothing to be faithful to.
    """
    everything = lens.wiring.possible
    ends = torch.stack([torch.zeros_like(everything), everything])
    found = behaviours(lens, pairs, torch.cat([ends, circuits]), ablation=ablation, batch=batch)
    if (found[1] - found[0]).mean().abs() < NOTHING:
        raise NothingToExplain(
            "the model behaves the same with and without the persona: there is no behaviour to explain"
        )
    return found[1:] - found[:1]


def faithfulness(
    lens: Lens,
    pairs: Pairs,
    circuits: Tensor,
    *,
    ablation: Ablation = "patch",
    batch: int = 32,
) -> Tensor:
    """Return each circuit's faithfulness (circuits,), over the means of all items. Raises as `carried` does."""
    lost = carried(lens, pairs, circuits, ablation=ablation, batch=batch).mean(1)
    return lost[1:] / lost[0]


def random_circuits(wiring: Wiring, edges: int, draws: int, seed: int = 0) -> Tensor:
    """Return circuits (draws, W, R) of so many edges, each drawn evenly from all that are possible."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(draws, *wiring.possible.shape, generator=generator)
    return torch.stack([strongest(wiring, each, edges) for each in noise])


def stability(
    wiring: Wiring, scores: Tensor, groups: Sequence[str], edges: int, *, randoms: int = 100, seed: int = 0
) -> Agreement:
    """Find the circuit on two halves of the items, and return the overlap of edge sets: intersection over union.

    The null draws the sign of each edge's score anew item by item. Edges whose scores are great on all items are then
    found again all the same, but not because the items agree on what they do. Were all edges of an item turned at once,
    a circuit that every item shows would stay what it is.

    Args:
        wiring: of the model.
        scores: (items, W, R).
        groups: one an item; none is in both halves, so that paraphrases of one question don't pass for many.
        edges: the circuit's size.
        randoms: draws of signs.
        seed: of halves and signs.

    Raises:
        LensError: all items are of one group.
    """

    def overlap(one: Tensor, other: Tensor) -> float:
        found, again = (strongest(wiring, each, edges) for each in (one, other))
        return float((found & again).sum() / (found | again).sum())

    return agreement(overlap, scores, groups, scores.shape, randoms=randoms, seed=seed)


def _means(lens: Lens, pairs: Pairs, batch: int) -> Tensor:
    """Return what each writer writes on average over the tokens of both prompts and the answers, (1, 1, W, D)."""
    ids, real = torch.cat([pairs.clean, pairs.corrupt]), pairs.real.float().repeat(2, 1)

    def work(chosen: slice) -> Tensor:
        written = lens.read(ids[chosen], at=slice(1)).writers
        return torch.einsum("btwd,bt->bwd", written, real[chosen].to(written.device))

    return (in_batches(len(real), batch, work).sum(0) / real.sum())[None, None]
