"""What an audit finds before the test split is opened: each persona's vector, its reliability, and its circuit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import torch
from torch import Tensor

from chorus.checkpoints.legibility import Measured
from interp import figures, graph
from interp.activations import Report, pooled
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.drift import edge_entropy
from interp.faithfulness import random_circuits, stability
from interp.graph import strongest
from interp.pairs import Pairs
from interp.plan import Config
from interp.subject import Subject
from interp.vectors import Vector, sweep


@dataclass(frozen=True)
class Discovery:
    """One persona on the discover split."""

    subject: Subject
    persona: str
    config: Config
    report: Report

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

    def vector(self) -> Vector:
        """Return the persona's vector at the layer where it separates the select split best."""
        lens, hooks = self.subject.lens, self.hooks[:-1]
        on, off = (side[:, :-1] for side in self.streams)
        found = sweep(on, off, figures.questions(self.pairs), seed=self.config.seed)
        chosen = self.subject.pairs(self.persona, "select", self.config.select)
        unit = torch.nn.functional.normalize(torch.stack([layer.direction for layer in found]), dim=1)
        there = [torch.einsum("nld,ld->nl", side, unit) for side in streams(lens, chosen, hooks, self.config.batch)]
        spread = ((there[0].var(0) + there[1].var(0)) / 2).sqrt().clamp_min(1e-12)
        best = int(((there[0].mean(0) - there[1].mean(0)) / spread).argmax())
        return Vector(self.persona, hooks[best], found[best].direction, found[best].reliability, lens.fingerprint)

    def at(self, hook: str) -> Vector:
        """Return the persona's direction at one of the hooks."""
        apart = self._apart(hook)
        trust = figures.reliability(apart, 1, self.config.seed).value
        return Vector(self.persona, hook, apart.mean(0), trust, self.subject.lens.fingerprint)

    def reliability(self, hook: str) -> Measured:
        """Return how alike the directions at a hook are that halves of the questions give."""
        return figures.reliability(self._apart(hook), self.config.randoms, self.config.seed)

    def scores(self) -> Tensor:
        """Return every edge's score on every item, (items, W, R)."""
        return eap_ig(
            self.subject.lens, self.pairs, steps=self.config.steps, batch=self.config.batch, report=self.report
        )

    def circuit(self, scores: Tensor) -> nx.DiGraph[str]:
        """Return the strongest edges as a graph that knows its `stability` and over how many edges all is spread."""
        wiring, config = self.subject.lens.wiring, self.config
        size = max(1, round(config.share * wiring.edges))
        kept = strongest(wiring, scores.mean(0), size)
        stable = stability(wiring, scores, figures.questions(self.pairs), size, draws=100, seed=config.seed)
        rivals = random_circuits(wiring, size, config.randoms, config.seed)
        chance = [float((each & kept).sum() / (each | kept).sum()) for each in rivals]
        about = {"value": stable.jaccard, "interval": stable.interval, "null": figures.ends(chance)}
        return graph.to_graph(
            wiring,
            kept,
            scores.mean(0),
            persona=self.persona,
            model=self.subject.weights,
            stability=about,
            entropy=edge_entropy(wiring, scores.mean(0)),
        )

    def _apart(self, hook: str) -> Tensor:
        """Return (items, D), the stream with the persona less that without."""
        place = self.hooks.index(hook)
        return self.streams[0][:, place] - self.streams[1][:, place]


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
