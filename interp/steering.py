"""Does a vector cause the behaviour? Add it, take it out, or swap it between prompts, and hold each against random ones.

Everything is measured by m_p and compared with directions of the same norm that mean nothing. What counts is not only
the mean: a vector that helps on average may push a share of the questions the wrong way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.activations import in_batches
from interp.bridge import Hook, Lens
from interp.pairs import Pairs, behaviour
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
    own = slopes(lens, pairs, vector.hook, direction, strengths, batch)
    null = [
        float(slopes(lens, pairs, vector.hook, other, strengths, batch).mean())
        for other in random_like(direction, randoms, seed)
    ]
    mean = float(own.mean())
    wrong = float((own * mean < 0).float().mean())
    return Steering(mean, wrong, (1 + sum(abs(each) >= abs(mean) for each in null)) / (1 + randoms), tuple(null))


@torch.no_grad()
def slopes(
    lens: Lens, pairs: Pairs, hook: str, direction: Tensor, strengths: Sequence[float] = STRENGTHS, batch: int = 256
) -> Tensor:
    """Return each item's slope of the behaviour (I,) over multiples of the direction (D,)."""
    doses = torch.tensor(strengths)
    count = len(pairs.corrupt)

    def work(chosen: slice) -> Tensor:
        index = torch.arange(chosen.start, chosen.stop)
        ids, weights = pairs.corrupt[index % count], pairs.weights[index % count]
        added = doses[index // count].to(direction)[:, None, None] * direction
        return behaviour(lens.run(ids, [(hook, lambda stream: stream + added)]), ids, weights).cpu()

    rows = in_batches(count * len(doses), batch, work).reshape(len(doses), count)
    found = torch.stack([pairs.by_item(each) for each in rows])  # (doses, I)
    centred = doses - doses.mean()
    return (centred[:, None] * found).sum(0) / (centred**2).sum()


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
    whole = behaviour(lens.run(both, [(hook, lambda stream: parts.append(stream @ unit))]), both, weights).sum()
    mean = float(parts[0].mean())
    left = behaviour(lens.run(both, [(hook, projecting(direction, mean))]), both, weights).sum()
    return float(1 - left / whole)


@torch.no_grad()
def interchange(lens: Lens, pairs: Pairs, hook: str, direction: Tensor) -> float:
    """Return the share of the persona's effect that comes over with the stream's part along the direction alone.

    An interchange intervention (Geiger et al. 2021): the prompt without the persona runs with the part that the stream
    has, token by token, under the prompt with it.
    """
    unit, parts = direction / direction.norm(), list[Tensor]()
    clean, corrupt, weights = pairs.rows(slice(None))
    with_it = behaviour(lens.run(clean, [(hook, lambda stream: parts.append(stream @ unit))]), clean, weights).sum()
    without = behaviour(lens.run(corrupt), corrupt, weights).sum()

    def swap(stream: Tensor) -> Tensor:
        swapped: Tensor = stream + (parts[0] - stream @ unit)[..., None] * unit
        return swapped

    moved = behaviour(lens.run(corrupt, [(hook, swap)]), corrupt, weights).sum()
    return float((moved - without) / (with_it - without))


@torch.no_grad()
def damage(lens: Lens, ids: Tensor, hook: str, direction: Tensor) -> float:
    """Return how much worse ordinary text (B, T) is predicted while steered, in nats a token; 0 is no harm."""
    weights = torch.full(ids.shape, 1 / (ids.shape[1] - 1))
    plain = behaviour(lens.run(ids), ids, weights)
    steered = behaviour(lens.run(ids, [(hook, lambda stream: stream + direction)]), ids, weights)
    return float((plain - steered).mean())
