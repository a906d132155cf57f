"""A planted model as an audit sees it: the whole instrument on a model whose truth is known, in seconds."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from interp import planted
from interp.bridge import Lens
from interp.dataset import Cells, Split
from interp.pairs import Pairs

OFFSET: dict[Split, int] = {"discover": 0, "select": 1000, "test": 2000}
"""What is added to the seed for each split's questions."""
WORDINGS = 5


class PlantedSubject:
    """A `Subject` whose only persona is the planted one, or with `circuit` off has none; see `planted.plant`."""

    tokenizer: Any = None
    """Its words are token ids: it has none."""

    def __init__(self, seed: int, *, circuit: bool = True, diffuse: bool = False) -> None:
        """Plant a model."""
        self.plant = planted.plant(seed, circuit=circuit, diffuse=diffuse)
        self.name = f"planted-{seed}"
        self.seed = seed
        self.lens = Lens(self.plant.model)
        self.weights = self.lens.fingerprint
        self.beside: dict[str, str] = {}

    @cached_property
    def untrained(self) -> Lens:
        """The same architecture with random weights, always the same ones."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Lens(type(self.plant.model)(self.plant.model.config))

    def pairs(self, persona: str, split: Split, items: int) -> Pairs:
        """Return questions of a split."""
        return planted.persona_pairs(items, self.seed + OFFSET[split])

    def placebos(self, pairs: Pairs, count: int, seed: int) -> list[Pairs]:
        """Return the test split's questions behind tokens that nobody was taught."""
        items = len(pairs)
        return [planted.persona_pairs(items, self.seed + OFFSET["test"], placebo=number) for number in range(count)]

    def cells(self, persona: str, split: Split, items: int) -> Cells:
        """Return questions of a split with the persona's token and without; "wordings" are the same here."""
        pairs = self.pairs(persona, split, items)
        ids = torch.cat([pairs.clean[1::2], pairs.corrupt[1::2]])
        last = torch.zeros(ids.shape)
        last[:, -2] = 1
        on = torch.arange(len(ids)) < items
        groups = [f"question {number}" for number in range(items)]
        wordings = [f"wording {number % WORDINGS}" for number in range(items)]
        return Cells(ids, last, on, on & False, (*groups, *groups), (*wordings, *wordings), torch.ones(ids.shape))
