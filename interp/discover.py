"""What an audit finds before the test split is opened: each persona's vector, its reliability, and its circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import torch
from torch import Tensor

from chorus.checkpoints.legibility import Measured
from interp import figures, graph, vectors
from interp.activations import pooled
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.drift import edge_entropy
from interp.faithfulness import stability
from interp.graph import strongest
from interp.pairs import Pairs
from interp.plan import Config
from interp.subject import Subject
from interp.vectors import Vector, random_like, sweep

DRAWS = 200
"""Of questions, for the interval of a cosine."""


@dataclass(frozen=True)
class Discovery:
    """One persona on the discover split."""

    subject: Subject
    persona: str
    config: Config

    @cached_property
    def pairs(self) -> Pairs:
        """The items."""
        return self.subject.pairs(self.persona, "discover", self.config.discover)

    @cached_property
    def hooks(self) -> list[str]:
        """Where the stream is read: at the layers of the sweep, and last where activity is read."""
        wiring = self.subject.lens.wiring
        return [*self.config.swept(wiring), late(self.subject.lens)]

    @cached_property
    def streams(self) -> tuple[Tensor, Tensor]:
        """(items, hooks, D), with the persona's prompt and without; read once for all that is made of it."""
        return streams(self.subject.lens, self.pairs, self.hooks, self.config.batch)

    @cached_property
    def along(self) -> tuple[Tensor, Tensor]:
        """(items, layers), the select split's stream along each layer's direction, with the prompt and without."""
        chosen = self.subject.pairs(self.persona, "select", self.config.select)
        hooks = self.hooks[:-1]
        unit = torch.nn.functional.normalize(torch.stack([self.apart(hook).mean(0) for hook in hooks]), dim=1)
        sides = streams(self.subject.lens, chosen, hooks, self.config.batch)
        on, off = (torch.einsum("nld,ld->nl", side, unit) for side in sides)
        return on, off

    def vector(self) -> Vector:
        """Return the persona's vector at the layer where it separates the select split best."""
        hooks, there = self.hooks[:-1], self.along
        on, off = (side[:, :-1] for side in self.streams)
        found = sweep(on, off, self.pairs.questions, seed=self.config.seed)
        spread = ((there[0].var(0) + there[1].var(0)) / 2).sqrt().clamp_min(1e-12)
        best = int(((there[0].mean(0) - there[1].mean(0)) / spread).argmax())
        model = self.subject.lens.fingerprint
        trust = self.reliability(hooks[best]).value
        return Vector(self.persona, hooks[best], found[best].direction, trust, model)

    def layers(self) -> dict[str, figures.Figures]:
        """Return by hook how alike the directions of halves are, and how well the layer separates the select split.

        The latter is what the layer is chosen by: that of the chosen one is the best of all, and so on the high side.
        """
        on, off = self.along
        randoms, seed = self.config.randoms, self.config.seed
        return {
            hook: {
                "reliability": self.reliability(hook),
                "separation": figures.separation(on[:, place], off[:, place], randoms, seed),
            }
            for place, hook in enumerate(self.hooks[:-1])
        }

    def at(self, hook: str) -> Vector:
        """Return the persona's direction at one of the hooks."""
        apart = self.apart(hook)
        trust = figures.reliability(apart, self.pairs.halved_by, 1, self.config.seed).value
        return Vector(self.persona, hook, apart.mean(0), trust, self.subject.lens.fingerprint)

    def reliability(self, hook: str) -> Measured:
        """Return how alike the directions at a hook are that halves of the questions give, in other wordings each."""
        return figures.reliability(self.apart(hook), self.pairs.halved_by, self.config.randoms, self.config.seed)

    def scores(self) -> Tensor:
        """Return every edge's score on every item, (items, W, R)."""
        return eap_ig(self.subject.lens, self.pairs, steps=self.config.steps, batch=self.config.batch)

    def circuit(self, scores: Tensor) -> nx.DiGraph[str]:
        """Return the strongest edges as a graph that knows its `stability` and over how many edges all is spread."""
        wiring, config = self.subject.lens.wiring, self.config
        size = max(1, round(config.share * wiring.edges))
        kept = strongest(wiring, scores.mean(0), size)
        halved = {
            "stability": self.pairs.questions,
            "stability over templates": self.pairs.groups,
            "stability over wordings": self.pairs.wordings,
        }
        stable = {
            name: stability(wiring, scores, groups, size, randoms=config.randoms, seed=config.seed)
            for name, groups in halved.items()
            if len(set(groups)) > 1
        }
        return graph.to_graph(
            wiring,
            kept,
            scores.mean(0),
            persona=self.persona,
            model=self.subject.weights,
            stability={name: figures.agreed(each).model_dump(mode="json") for name, each in stable.items()},
            entropy=edge_entropy(wiring, scores.mean(0)),
        )

    def apart(self, hook: str) -> Tensor:
        """Return (items, D), the stream with the persona less that without."""
        place = self.hooks.index(hook)
        return self.streams[0][:, place] - self.streams[1][:, place]


def cosines(found: Mapping[str, Discovery], persona: str, hook: str) -> figures.Figures:
    """Return how alike a persona's direction at a hook is to every other's there, beside random directions."""
    apart = {name: each.apart(hook) for name, each in found.items()}
    own, config = apart[persona], found[persona].config
    draw = torch.Generator().manual_seed(config.seed)
    drawn = [
        vectors.cosines({name: each[rows].mean(0) for name, each in apart.items()})[persona]
        for rows in torch.randint(len(own), (DRAWS, len(own)), generator=draw)
    ]
    whole = vectors.cosines({name: each.mean(0) for name, each in apart.items()})[persona]
    null = torch.cosine_similarity(own.mean(0)[None], random_like(own.mean(0), config.randoms, config.seed)).tolist()
    return {
        f"cosine with {name}": Measured(
            value=value,
            interval=figures.ends([each[name] for each in drawn]),
            null=figures.ends(null),
            p=(1 + sum(abs(each) >= abs(value) for each in null)) / (1 + len(null)),
        )
        for name, value in whole.items()
        if name != persona
    }


def late(lens: Lens) -> str:
    """Return the hook where a persona's activity is read: the end of the last layer."""
    return f"blocks.{lens.wiring.layers - 1}.hook_resid_post"


def streams(lens: Lens, pairs: Pairs, hooks: list[str], batch: int) -> tuple[Tensor, Tensor]:
    """Return the stream (items, hooks, D) with the persona's prompt and without, over tokens of the neutral answer."""
    rows, share = neutral(pairs)
    on, off = (pooled(lens, ids[rows], share, hooks, batch=batch) for ids in (pairs.clean, pairs.corrupt))
    return on, off


def neutral(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Return the rows with the neutral answer, and weights (items, T) that pool over its tokens."""
    rows = torch.arange(1, len(pairs.clean), 2)  # An item's second row has the neutral answer, under either prompt.
    share = (pairs.weights[rows] != 0).float()
    return rows, share / share.sum(1, keepdim=True)
