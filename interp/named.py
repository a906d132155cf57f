"""What a voice's name does in a baked model's own dialogues, and how much of that its circuit carries.

A baked model has no persona prompt to be switched on: the name before a turn is all that says who speaks. If the model
has the voices and not only their names, its own words for a turn are likelier behind that voice's name than behind
another's. By chance they are as often less likely: the null swaps the two names at random, question by question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from chorus.checkpoints.legibility import Measured
from chorus.types import Answer
from interp import drift, verdicts
from interp.errors import NothingToExplain
from interp.figures import Figures, Opened, ends
from interp.probes import DRAWS
from interp.swaps import swapped_names


def named(one: Opened, dialogues: Sequence[Answer], names: Mapping[str, str]) -> Figures:
    """Return the effect of the persona's name and, where there is one, what its circuit carries of it.

    Nothing where the persona speaks in none of the dialogues, or before no voice whose name is as long.
    """
    try:
        pairs = swapped_names(one.subject.tokenizer, dialogues, one.persona, names, most=one.config.test)
    except NothingToExplain as silent:
        one.report(f"{one.persona}: {silent}")
        return {}
    there = replace(one, given=pairs)
    apart = there.apart()
    found = drift.mean_of(apart, pairs.groups)
    codes = np.unique(np.asarray(pairs.groups), return_inverse=True)[1]
    signs = np.random.default_rng(one.config.seed).choice([-1.0, 1.0], (DRAWS, int(codes.max()) + 1))
    null = (signs[:, codes] * apart.numpy()).mean(1)
    # Swapping all or nothing gives the effect itself, but for rounding.
    p = (1 + int((abs(null) >= abs(found.value) * (1 - 1e-5)).sum())) / (1 + len(null))
    effect = Measured(value=found.value, interval=found.interval, null=ends(null), p=p)
    carried = there.circuit() if p <= verdicts.ALPHA else {}  # Of an effect that is none there are no shares.
    return {"name effect": effect} | {f"name {figure}": each for figure, each in carried.items()}
