"""Persona vectors: the difference between mean activations with and without the persona, at every layer.

A vector is worth something only if it comes out the same from other questions, so each comes with its split-half
reliability; and it belongs to the one model whose weights it was read from, whose fingerprint it carries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chorus import whole_file
from interp.bridge import Lens, finite
from interp.errors import LensError

MIN_GROUPS = 4
"""With fewer questions there are no halves to compare."""


@dataclass(frozen=True)
class Vector:
    """A persona's direction in one model's residual stream."""

    persona: str
    hook: str
    """Where it was read, and where it is added: `blocks.3.hook_resid_post`."""
    direction: Tensor
    """(D,), in the units of the stream: one times it takes the mean without the persona to the mean with it."""
    reliability: float
    """Mean cosine between vectors of two halves of the questions."""
    model: str
    """The fingerprint of the model."""

    def on(self, lens: Lens) -> Tensor:
        """Return the direction on the lens's device. Raises LensError when it is of another model or has no place."""
        if self.model != lens.fingerprint:
            raise LensError(f"the vector of {self.persona} is from a model with other weights than this one")
        if self.hook not in lens.bridge.hook_dict:
            raise LensError(f"the vector of {self.persona} belongs at {self.hook}, which this model doesn't have")
        return self.direction.to(lens.device)

    def data(self) -> dict[str, Any]:
        """Return everything, for a JSON file."""
        return {**vars(self), "direction": self.direction.tolist()}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        whole_file.put(path, json.dumps(self.data()) + "\n")

    @classmethod
    def load(cls, path: Path) -> Vector:
        """Read what `save` wrote. Raises LensError for anything else."""
        try:
            return cls.of(json.loads(path.read_text("utf-8")), str(path))
        except OSError as error:
            raise LensError(f"can't read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LensError(f"{path} is no persona vector: {error!r}") from error

    @classmethod
    def of(cls, data: dict[str, Any], where: str) -> Vector:
        """Return the vector of which this is the `data`. Raises NotFinite, naming where it comes from."""
        direction = torch.tensor(data["direction"], dtype=torch.float32)
        return cls(**{**data, "direction": finite(direction, f"the numbers in {where}")})


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a sweep."""

    direction: Tensor
    """(D,)."""
    reliability: float
    """Mean cosine between the vectors of two random halves of the groups."""
    separation: float
    """d' along the vector of one half, measured on the other half: mean difference over pooled deviation."""


def sweep(on: Tensor, off: Tensor, groups: Sequence[str], *, draws: int = 20, seed: int = 0) -> list[Layer]:
    """Return each layer's vector with how far it can be trusted.

    Args:
        on: (N, L, D), pooled activations with the persona.
        off: (N, L, D), of the same items without it.
        groups: one an item; halves hold whole groups.
        draws: random halvings.
        seed: of the draws.

    Raises:
        LensError: too few groups.
    """
    names = sorted(set(groups))
    if len(names) < MIN_GROUPS:
        raise LensError(f"{len(names)} different questions are too few for a vector: at least {MIN_GROUPS} are needed")
    generator = np.random.default_rng(seed)
    cosines, separations = [], []
    for _ in range(draws):
        first = set(generator.permutation(names)[: len(names) // 2].tolist())
        mine = torch.tensor([name in first for name in groups])
        halves = [(on[half] - off[half]).mean(0) for half in (mine, ~mine)]  # (L, D) each
        cosines.append(torch.cosine_similarity(halves[0], halves[1], dim=1))
        unit = halves[0] / halves[0].norm(dim=1, keepdim=True).clamp_min(1e-12)
        along = [torch.einsum("nld,ld->nl", side[~mine], unit) for side in (on, off)]
        spread = ((along[0].var(0) + along[1].var(0)) / 2).sqrt().clamp_min(1e-12)
        separations.append((along[0].mean(0) - along[1].mean(0)) / spread)
    directions = (on - off).mean(0)
    reliability, separation = torch.stack(cosines).mean(0), torch.stack(separations).mean(0)
    return [
        Layer(direction, float(trust), float(apart))
        for direction, trust, apart in zip(directions, reliability, separation, strict=True)
    ]


def cosines(vectors: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """Return the cosine between every two personas' directions (D,)."""
    names, stacked = list(vectors), torch.stack(list(vectors.values()))
    unit = torch.nn.functional.normalize(stacked, dim=1)
    table = (unit @ unit.T).tolist()
    return {a: dict(zip(names, row, strict=True)) for a, row in zip(names, table, strict=True)}


def random_like(direction: Tensor, count: int, seed: int = 0) -> Tensor:
    """Return random directions (count, D) of the same norm: the null of everything that a vector does."""
    noise = torch.randn(count, len(direction), generator=torch.Generator().manual_seed(seed))
    scaled: Tensor = (noise / noise.norm(dim=1, keepdim=True)).to(direction) * direction.norm()
    return scaled
