"""Does it come out again from other items? Halves that share none, and a null in which the items agree on nothing.

A vector or circuit that is found on a resample is found on items of which most were there before. So items are split into
two halves, by whole groups (questions, templates, wordings of the prompt), and what either half gives is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp.errors import LensError

DRAWS = 100
"""Halvings, for the mean and its interval."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two halves are."""

    value: float
    """Mean over halvings."""
    interval: tuple[float, float]
    """2.5th and 97.5th percentile of them."""
    null: tuple[float, ...]
    """The same of one halving each, after signs were drawn at random."""
    p: float
    """Share of the null that is as great as the value, counting this one."""


def halvings(groups: Sequence[str], draws: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the places of two halves of the items, equally many in both, and no group in both.

    Groups may be of different size: the larger half gives items away by lot.

    Raises:
        LensError: all items are of one group.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(codes.max()) + 1
    if count < 2:
        raise LensError("all items are of one group: there are no halves to compare")
    draw = np.random.default_rng(seed)
    for _ in range(draws):
        order = draw.permutation(count)
        first = np.isin(codes, order[: count // 2])
        sides = [draw.permutation(np.flatnonzero(side)) for side in (first, ~first)]
        size = min(map(len, sides))
        yield torch.tensor(sides[0][:size]), torch.tensor(sides[1][:size])


def agreement(
    alike: Callable[[Tensor, Tensor], float],
    items: Tensor,
    groups: Sequence[str],
    signs: Sequence[int],
    *,
    randoms: int,
    seed: int = 0,
) -> Agreement:
    """Return how alike the means of two halves are, beside items whose signs are drawn at random.

    Args:
        alike: of two means.
        items: (items, ...), what is averaged.
        groups: one an item.
        signs: the shape in which signs are drawn, which items (items, ...) are multiplied with.
        randoms: draws of signs.
        seed: of halvings and signs.
    """

    def compared(values: Tensor, halves: tuple[Tensor, Tensor]) -> float:
        return alike(values[halves[0]].mean(0), values[halves[1]].mean(0))

    draw = torch.Generator().manual_seed(seed)
    own = [compared(items, halves) for halves in halvings(groups, DRAWS, seed)]
    null = [
        compared(items * (2 * torch.randint(2, tuple(signs), generator=draw, dtype=torch.int8) - 1), halves)
        for halves in halvings(groups, randoms, seed + 1)
    ]
    value = float(np.mean(own))
    low, high = np.quantile(own, [0.025, 0.975])
    p = (1 + sum(each >= value for each in null)) / (1 + randoms)
    return Agreement(value, (float(low), float(high)), tuple(null), p)
