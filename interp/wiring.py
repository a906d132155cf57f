"""Who writes to the residual stream and who reads from it: the places of a circuit, in one fixed order.

Writers are the embedding, every attention head and every MLP. Readers are the inputs of queries (one a head), keys and
values (one a key-value head), MLPs, and the logits. An edge runs from a writer to a reader that comes after it. Scores
of edges are arrays (W, R) in this order, so that nothing loops over edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Wiring:
    """The places of a pre-norm transformer with grouped-query attention."""

    layers: int
    heads: int
    """Query heads a layer."""
    kv_heads: int
    """Key-value heads a layer; as many as `heads` in plain multi-head attention."""

    @cached_property
    def writers(self) -> tuple[str, ...]:
        """Names in order: `embed`, then for each layer its heads (`0.h3`) and its MLP (`0.mlp`)."""
        rows = [[*(f"{layer}.h{head}" for head in range(self.heads)), f"{layer}.mlp"] for layer in range(self.layers)]
        return ("embed", *(name for row in rows for name in row))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """Names in order: for each layer `0.q3`, `0.k1`, `0.v1` and `0.in` (the MLP's input); then `logits`."""
        names = []
        for layer in range(self.layers):
            names += [f"{layer}.q{head}" for head in range(self.heads)]
            names += [f"{layer}.{kind}{head}" for kind in "kv" for head in range(self.kv_heads)]
            names.append(f"{layer}.in")
        return (*names, "logits")

    @cached_property
    def possible(self) -> Tensor:
        """(W, R), True where the writer comes before the reader: these are the edges."""
        heard = torch.tensor([self.heard_by(reader) for reader in range(len(self.readers))])  # (R,)
        return torch.arange(len(self.writers))[:, None] < heard[None, :]

    @property
    def edges(self) -> int:
        """How many edges there are."""
        return int(self.possible.sum())

    def attention_readers(self, layer: int) -> dict[str, slice]:
        """Return where the layer's `q`, `k` and `v` stand among the readers."""
        start = layer * self._readers_a_layer
        ends = (start + self.heads, start + self.heads + self.kv_heads, start + self.heads + 2 * self.kv_heads)
        return {"q": slice(start, ends[0]), "k": slice(ends[0], ends[1]), "v": slice(ends[1], ends[2])}

    def mlp_reader(self, layer: int) -> int:
        """Return where the input of the layer's MLP stands among the readers."""
        return (layer + 1) * self._readers_a_layer - 1

    def heard_by_attention(self, layer: int) -> int:
        """Return how many writers come before the layer's attention."""
        return 1 + layer * (self.heads + 1)

    def heard_by_mlp(self, layer: int) -> int:
        """Return how many writers come before the layer's MLP."""
        return self.heard_by_attention(layer) + self.heads

    def heard_by(self, reader: int) -> int:
        """Return how many writers come before a reader."""
        layer, place = divmod(reader, self._readers_a_layer)
        if layer == self.layers:
            return len(self.writers)
        return self.heard_by_mlp(layer) if place == self._readers_a_layer - 1 else self.heard_by_attention(layer)

    def inside(self, reader: str) -> tuple[str, ...]:
        """Return the writers whose part a reader is: one head, the heads that share a key-value head, or an MLP."""
        if reader == "logits":
            return ()
        layer, place = reader.split(".")
        if place == "in":
            return (f"{layer}.mlp",)
        head, group = int(place[1:]), self.heads // self.kv_heads
        heads = (head,) if place[0] == "q" else range(head * group, (head + 1) * group)
        return tuple(f"{layer}.h{each}" for each in heads)

    @property
    def _readers_a_layer(self) -> int:
        return self.heads + 2 * self.kv_heads + 1
