"""What a persona's vector causes on the test split, each figure beside moves as far in random directions.

Adding it (`steering`), taking the part of the stream along it out (`ablation`), bringing that part over from the prompt
with the persona to the one without (`interchange`), bringing the whole stream over (`patching`), and what steering does
to plain text (`damage`). Whose behaviour besides its own it moves is the matter of `influence`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from chorus.checkpoints.legibility import Measured
from interp import steering as doing
from interp.faithfulness import NOTHING
from interp.figures import Figures, Opened, ends, mean, share
from interp.intervals import ratio
from interp.vectors import Vector, random_like


def elsewhere(one: Opened, vector: Vector) -> Opened:
    """Return the same persona at another layer: on fewer questions, beside fewer random directions."""
    config = replace(one.config, test=one.config.voices, randoms=one.config.elsewhere)
    return replace(one, vector=vector, config=config)


def steering(one: Opened) -> Figures:
    """What adding the vector does, and on how many questions the contrary of what the persona's prompt does."""
    found = doing.slopes(one.lens, one.pairs, one.vector.hook, _directions(one), (-1.0, 1.0), one.config.batch)
    wrong = (found * one.apart().mean() < 0).float()
    return {
        "steering": mean(found[0], found[1:].mean(1).tolist(), sizes=True),
        "wrong way": share(wrong[0], wrong[1:].mean(1).tolist()),
    }


def handles(one: Opened) -> Figures:
    """What of the persona's effect goes with the vector and comes with it, where there is any, and what else suffers."""
    where = one.lens, one.pairs, one.vector.hook
    every, batch = _directions(one), one.config.batch
    shares = {
        "ablation": _share(doing.ablation(*where, every, batch)),
        "interchange": _share(doing.interchange(*where, every, batch)),
        "patching": _share(doing.patching(*where, every[1:], batch)),
    }
    harm = doing.damage(*where, every, batch)
    there = {name: share for name, share in shares.items() if share}
    return there | {"damage": mean(harm[0], harm[1:].mean(1).tolist(), sizes=True)}


def _directions(one: Opened) -> Tensor:
    """Return the vector and the random ones, (1 + randoms, D)."""
    own = one.vector.on(one.lens)
    return torch.cat([own[None], random_like(own, one.config.randoms, one.config.seed)])


def _share(found: Tensor) -> Measured | None:
    """Return as a share of the effect (row 0) what the vector does (row 1), beside random directions (the rest).

    Of an effect that is none there are no shares.
    """
    whole = found[0].mean()
    if abs(whole) < NOTHING:
        return None
    own, null = float(found[1].mean() / whole), found[2:].mean(1) / whole
    p = (1 + int((null.abs() >= abs(own)).sum())) / (1 + len(null))
    interval = ratio(found[1].double().numpy(), found[0].double().numpy())
    return Measured(value=own, interval=interval, null=ends(null.tolist()), p=p)
