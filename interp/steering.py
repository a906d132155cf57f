"""Does a vector cause the behaviour? Add it, take it out, or swap it between prompts, and hold each against random ones.

Everything is measured by m_p and compared with directions of the same norm that mean nothing. What counts is not only
the mean: a vector that helps on average may push a share of the questions the wrong way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.activations import Report, in_batches
from interp.bridge import Hook, Lens
from interp.pairs import Pairs, behaviour, counted
from interp.vectors import Vector, random_like

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Multiples of the vector that are added."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What adding a vector does."""

    slope: float
    """Change of m_p a unit of the vector, in nats a token: the mean over items of least-squares lines."""
    wrong_way: float
    """The share of items whose own slope runs against the mean."""
    p: float
    """Share of random directions with a mean slope at least as great by magnitude, counting this one."""
    null: tuple[float, ...]
    """The random directions' mean slopes."""


def steer(
    lens: Lens,
    pairs: Pairs,
    vector: Vector,
    *,
    strengths: Sequence[float] = STRENGTHS,
    randoms: int = 100,
    batch: int = 256,
    seed: int = 0,
) -> Steering:
    """Add the vector to the stream on prompts without the persona, and see whether its behaviour comes."""
    direction = vector.on(lens)
    every = torch.cat([direction[None], random_like(direction, randoms, seed)])
    own, *others = slopes_of_each(lens, pairs, vector.hook, every, strengths, batch)
    null = [float(each.mean()) for each in others]
    mean = float(own.mean())
    wrong = float((own * mean < 0).float().mean())
    return Steering(mean, wrong, (1 + sum(abs(each) >= abs(mean) for each in null)) / (1 + randoms), tuple(null))


@torch.no_grad()
def slopes(
    lens: Lens, pairs: Pairs, hook: str, direction: Tensor, strengths: Sequence[float] = STRENGTHS, batch: int = 256
) -> Tensor:
    """Return each item's slope of the behaviour (I,) over multiples of the direction (D,)."""
    return slopes_of_each(lens, pairs, hook, direction[None], strengths, batch)[0]


@torch.no_grad()
def slopes_of_each(
    lens: Lens,
    pairs: Pairs,
    hook: str,
    directions: Tensor,
    strengths: Sequence[float] = STRENGTHS,
    batch: int = 256,
    report: Report = lambda _: None,
) -> Tensor:
    """Return the slopes (directions, I) of `slopes` for several directions (directions, D)."""
    doses = torch.tensor(strengths)
    added = (doses.to(directions)[None, :, None] * directions[:, None]).reshape(-1, 1, directions.shape[1])
    rows = []
    for row in range(len(pairs.corrupt)):
        _, ids, weights = pairs.rows(slice(row, row + 1))
        steered, at = Steered(lens, ids, hook), counted(weights)

        def work(
            few: slice, steered: Steered = steered, at: slice = at, of: tuple[Tensor, Tensor] = (ids, weights)
        ) -> Tensor:
            ids, weights = (each.expand(len(added[few]), -1) for each in of)
            return behaviour(steered(added[few], at=at), ids, weights).cpu()

        rows.append(in_batches(len(added), batch, work, report))
    found = pairs.by_item(torch.stack(rows)).reshape(len(pairs), len(directions), len(doses))
    centred = doses - doses.mean()
    return ((centred * found).sum(2) / (centred**2).sum()).T


class Steered:
    """The model on rows of ids, with this or that added to the stream at one hook.

    What is added can't change what came before it, so at the end of a block the stream is computed once and kept, and
    every run goes on from there.
    """

    def __init__(self, lens: Lens, ids: Tensor, hook: str, *, whole: bool = False) -> None:
        """Take rows of ids (B, T); with `whole`, runs are whole ones, so that hooks at any layer fire."""
        self.lens, self.ids, self.hook = lens, ids, hook
        self.start: tuple[int, Tensor] | None = None
        end = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", hook)
        if not whole and end and (layer := int(end[1]) + 1) < lens.wiring.layers:
            kept: list[Tensor] = []
            lens.run(ids, [(hook, kept.append)], at=slice(1))
            self.start = layer, kept[0]

    def __call__(self, added: Tensor, hooks: Iterable[tuple[str, Hook]] = (), *, at: slice | None = None) -> Tensor:
        """Return the logits with (B, 1, D) or (1, 1, D) added, which a single row of ids is repeated for."""
        if self.start is None:
            ids = self.ids.expand(max(len(self.ids), len(added)), -1)
            return self.lens.run(ids, [(self.hook, lambda stream: stream + added), *hooks], at=at)
        layer, stream = self.start
        return self.lens.run(self.ids, hooks, at=at, start=(layer, stream + added))


def off_target(lens: Lens, vectors: Mapping[str, Vector], pairs: Mapping[str, Pairs]) -> dict[str, dict[str, float]]:
    """Return the mean slope of each persona's behaviour (inner key) under each persona's vector (outer key)."""
    return {
        name: {other: float(slopes(lens, own, vector.hook, vector.on(lens)).mean()) for other, own in pairs.items()}
        for name, vector in vectors.items()
    }


def projecting(direction: Tensor, mean: float) -> Hook:
    """Return a hook that sets the stream's part along a direction to a mean: what the direction told is gone."""
    unit = direction / direction.norm()
    return lambda stream: stream + (mean - stream @ unit)[..., None] * unit


@torch.no_grad()
def ablation(lens: Lens, pairs: Pairs, hook: str, direction: Tensor) -> float:
    """Return the share of the persona's effect that goes when the stream's part along the direction is set to its mean.

    The mean is over both prompts' tokens. 1: the effect hung on this direction; 0: it didn't.
    """
    unit, parts = direction / direction.norm(), list[Tensor]()
    both = torch.cat([pairs.clean, pairs.corrupt])
    weights = torch.cat([pairs.weights, -pairs.weights])
    whole = lens.behaviour(both, weights, [(hook, lambda stream: parts.append(stream @ unit))]).sum()
    mean = float(parts[0].mean())
    left = lens.behaviour(both, weights, [(hook, projecting(direction, mean))]).sum()
    return float(1 - left / whole)


@torch.no_grad()
def interchange(lens: Lens, pairs: Pairs, hook: str, direction: Tensor) -> float:
    """Return the share of the persona's effect that comes over with the stream's part along the direction alone.

    An interchange intervention (Geiger et al. 2021): the prompt without the persona runs with the part that the stream
    has, token by token, under the prompt with it.
    """
    unit, parts = direction / direction.norm(), list[Tensor]()
    clean, corrupt, weights = pairs.rows(slice(None))
    with_it = lens.behaviour(clean, weights, [(hook, lambda stream: parts.append(stream @ unit))]).sum()
    without = lens.behaviour(corrupt, weights).sum()

    def swap(stream: Tensor) -> Tensor:
        swapped: Tensor = stream + (parts[0] - stream @ unit)[..., None] * unit
        return swapped

    moved = lens.behaviour(corrupt, weights, [(hook, swap)]).sum()
    return float((moved - without) / (with_it - without))


@torch.no_grad()
def damage(lens: Lens, ids: Tensor, hook: str, direction: Tensor) -> float:
    """Return how much worse ordinary text (B, T) is predicted while steered, in nats a token; 0 is no harm."""
    weights = torch.full(ids.shape, 1 / (ids.shape[1] - 1))
    plain = lens.behaviour(ids, weights)
    steered = lens.behaviour(ids, weights, [(hook, lambda stream: stream + direction)])
    return float((plain - steered).mean())
