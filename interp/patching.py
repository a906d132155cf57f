"""Cut edges, and see what becomes of the behaviour: the exact counterpart of attribution.

A run in which each reader gets its own residual stream. Where an edge is cut, the reader hears what the writer wrote in
another run (the corrupt prompt's, or a mean) in place of what it writes now; all else is computed anew. Which edges are
cut may differ from row to row, so many circuits, or all single edges, are tried in one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp.activations import Batch, in_batches
from interp.bridge import Hook, Lens
from interp.pairs import Pairs, behaviour, counted

AT_ONCE = 5
"""Layers whose readers are told together what came before them: one wide product reads it once, not layer by layer."""


@torch.no_grad()
def run_cut(lens: Lens, ids: Tensor, other: Tensor, cut: Tensor, *, at: slice | None = None) -> Tensor:
    """Return the logits (B, T, vocabulary) of a run with some edges cut.

    Args:
        lens: the model.
        ids: (B, T).
        other: (B, T, W, D) or (1, T, W, D), what writers wrote in the other run.
        cut: (B, W, R) or (1, W, R), 1 where the edge carries `other`, 0 where it is left. Impossible edges don't count.
        at: of which tokens logits are wanted; None means all.
    """
    wiring, heard = lens.wiring, _Heard(lens, len(ids), other, cut)
    waiting: dict[str, Tensor] = {}

    def before_attention(layer: int) -> Hook:
        def hook(stream: Tensor) -> None:
            heard.tell(layer)
            places, norm = wiring.attention_readers(layer), lens.norm(layer, "ln1")
            readers = slice(places["q"].start, places["v"].stop)
            change = norm(heard.by(readers, wiring.heard_by_attention(layer), stream)).sub_(norm(stream).unsqueeze(1))
            for kind, place in places.items():
                own = change[:, place.start - readers.start : place.stop - readers.start]
                waiting[kind] = torch.einsum("bhtd,hde->bthe", own, lens.projections[layer][kind])

        return hook

    def with_change(kind: str) -> Hook:
        return lambda value: value + waiting.pop(kind)

    def before_mlp(layer: int) -> Hook:
        def hook(stream: Tensor) -> None:
            place = wiring.mlp_reader(layer)
            own = heard.by(slice(place, place + 1), wiring.heard_by_mlp(layer), stream)
            waiting["in"] = lens.norm(layer, "ln2")(own.squeeze(1))

        return hook

    def before_logits(stream: Tensor) -> Tensor:
        last = len(wiring.readers) - 1
        return heard.by(slice(last, last + 1), len(wiring.writers), stream).squeeze(1)

    hooks = lens.writing(heard.take)
    for layer in range(wiring.layers):
        block = f"blocks.{layer}"
        hooks += [(f"{block}.ln1.hook_in", before_attention(layer)), (f"{block}.ln2.hook_in", before_mlp(layer))]
        hooks += [(f"{block}.attn.hook_{kind}", with_change(kind)) for kind in "qkv"]
        hooks.append((f"{block}.ln2.hook_out", lambda _: waiting.pop("in")))
    return lens.run(ids, [*hooks, ("ln_final.hook_in", before_logits)], at=at)


class _Heard:
    """What each reader hears where edges are cut, in a run that goes on: writers are taken as they write."""

    def __init__(self, lens: Lens, batch: int, other: Tensor, cut: Tensor) -> None:
        """Take what the other run wrote and which edges carry it, as `run_cut` does."""
        tokens, writers, width = other.shape[1:]
        self.lens, self.wiring, self.other, self.written = lens, lens.wiring, other, 0
        self.cut = (cut.to(other) * self.wiring.possible.to(other)).transpose(1, 2).expand(batch, -1, -1)  # (B, R, W)
        # Writers before tokens: nothing is copied below.
        self.changes = lens.scratch("changes", other, batch, writers, tokens, width)
        # From which reader on, and of how many writers, it is known what they change: early, (B, readers, T * D).
        self.first, self.known, self.early = 0, 0, self.changes[:, :0].flatten(2)

    def take(self, value: Tensor) -> None:
        """Keep how the other run differs from what is written now, (B, T, writers, D), in the wiring's order."""
        place = slice(self.written, self.written + value.shape[2])
        torch.sub(self.other[:, :, place].transpose(1, 2), value.transpose(1, 2), out=self.changes[:, place])
        self.written = place.stop

    def tell(self, layer: int) -> None:
        """Tell readers from this layer on what came before it, some layers at once; where they know it, do nothing."""
        if layer % AT_ONCE:
            return
        wiring, after = self.wiring, layer + AT_ONCE
        stop = wiring.attention_readers(after)["q"].start if after < wiring.layers else len(wiring.readers)
        self.first, self.known = wiring.attention_readers(layer)["q"].start, wiring.heard_by_attention(layer)
        cut, changes = self.cut[:, self.first : stop, : self.known], self.changes[:, : self.known].flatten(2)
        self.early = self.lens.scratch("early", changes, *cut.shape[:2], changes.shape[2]).zero_()
        _add_products(self.early, cut, changes)

    def by(self, readers: slice, heard: int, stream: Tensor) -> Tensor:
        """Return the stream (B, T, D) as each reader hears it behind so many writers, (B, readers, T, D)."""
        # It is asked for once, so it is changed in place.
        anew = self.early[:, readers.start - self.first : readers.stop - self.first]
        if heard > self.known:
            since = slice(self.known, heard)
            _add_products(anew, self.cut[:, readers, since], self.changes[:, since].flatten(2))
        return anew.view(len(anew), -1, *stream.shape[1:]).add_(stream.unsqueeze(1))


def _add_products(to: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the products of (B, M, K) and (B, K, N) to (B, M, N), in place.

    On a processor one by one: torch would first copy all of what it multiplies, where it is a part of something.
    """
    if to.is_cuda:
        to.baddbmm_(left, right)
        return
    for own, one, other in zip(to, left, right, strict=True):
        own.addmm_(one, other)


def exact_effects(
    lens: Lens,
    pairs: Pairs,
    edges: Tensor | None = None,
    *,
    both_ways: bool = False,
    batch: int = 256,
) -> Tensor:
    """Corrupt one edge at a time and return the change of the behaviour, (items, edges), in nats.

    Args:
        lens: the model.
        pairs: what is measured on.
        edges: (edges, 2), each a writer's and a reader's place; None means all, in the order of `possible.nonzero()`.
        both_ways: take the mean of corrupting the edge in the clean run and of what restoring it in the corrupt run
            would undo. That is what integrated gradients estimate, whose way leads from one run to the other.
        batch: edges at once.
    """
    edges = lens.wiring.possible.nonzero() if edges is None else edges
    effects = _one_at_a_time(lens, pairs, edges, batch)
    return (effects - _one_at_a_time(lens, pairs.swapped(), edges, batch)) / 2 if both_ways else effects


@torch.no_grad()
def _one_at_a_time(lens: Lens, pairs: Pairs, edges: Tensor, batch: int) -> Tensor:
    rows, fits = [], Batch(batch)
    for row in range(len(pairs.clean)):
        ids, corrupt, weights = pairs.rows(slice(row, row + 1))
        there = lens.read(corrupt, at=slice(1)).writers
        base = lens.behaviour(ids, weights)

        def work(chosen: slice, ids: Tensor = ids, weights: Tensor = weights, there: Tensor = there) -> Tensor:
            few = edges[chosen]
            cut = torch.zeros(len(few), *lens.wiring.possible.shape)
            cut[torch.arange(len(few)), few[:, 0], few[:, 1]] = 1.0
            many = ids.expand(len(few), -1)
            logits = run_cut(lens, many, there, cut.to(lens.device), at=counted(weights))
            return behaviour(logits, many, weights.expand(len(few), -1)).cpu()

        rows.append(in_batches(len(edges), fits, work) - base.cpu())
    return pairs.by_item(torch.stack(rows))
