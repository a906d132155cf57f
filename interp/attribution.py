"""How much every edge carries, by its gradient: EAP-IG over all edges in a handful of passes.

Edge attribution patching (Syed, Rager & Conmy 2023) estimates what would become of the behaviour if one edge carried
the corrupt run's value: the change of what the writer wrote, times the gradient at the reader's input. With integrated
gradients (EAP-IG; Hanna, Pezzelle & Belinkov 2024, eq. 6) the gradient is the mean over m points on the way from the
corrupt input embeddings to the clean ones, which mends what saturation hides:

    score(u, v) = (z'_u - z_u) . 1/m sum_{k=1..m} dL(z' + k/m (z - z')) / d(input of v)

with z the clean run, z' the corrupt one, L the behaviour, and `.` over tokens and width. A score is thus an estimate of
L(edge corrupted) - L(clean): negative where the edge works for the behaviour.

Nothing loops over edges. Writers are stacked as (B, T, W, D). The gradient at a reader's input is pulled back from the
projection that the reader is (`q`, `k`, `v` as they are, one a key-value head) through the norm before it, at each
point of the way, and summed over the points; one matrix product a layer gives all its edges.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from interp.activations import in_batches
from interp.bridge import Hook, Lens, finite
from interp.pairs import Pairs

_Tape = dict[str, tuple[Tensor, Tensor | None]]
"""By place: the activation, and the behaviour's gradient there."""


def eap_ig(lens: Lens, pairs: Pairs, *, steps: int = 5, batch: int = 4) -> Tensor:
    """Return scores (items, W, R) in nats; zero where no edge is possible.

    Args:
        lens: the model.
        pairs: what is measured on.
        steps: points m on the way. 1 is plain attribution patching, with its gradient at the clean run.
        batch: rows at once. Peak memory grows with batch x tokens x (writers + readers) x width.
    """

    def work(rows: slice) -> Tensor:
        clean, corrupt, weights = pairs.rows(rows)
        there = lens.read(corrupt, at=slice(1)).writers
        parts: list[Tensor] = []
        # The way ends with the clean run itself, so what its writers write is read there.
        total = _at_inputs(lens, _taped_run(lens, clean, weights, take=lambda written: parts.append(written.detach())))
        here = torch.cat(parts, dim=2)
        start, end = there[:, :, 0], here[:, :, 0]
        for step in range(1, steps):
            found = _at_inputs(lens, _taped_run(lens, clean, weights, start + step / steps * (end - start)))
            total = [old + new for old, new in zip(total, found, strict=True)]
        return edge_scores(lens, there - here, [gradient / steps for gradient in total]).cpu()

    rows = in_batches(len(pairs.clean), batch, work)
    return finite(pairs.by_item(rows), "the scores of edges")


def edge_scores(lens: Lens, change: Tensor, gradients: list[Tensor]) -> Tensor:
    """Return scores (B, W, R) of what writers' change (B, T, W, D) does at readers with these gradients.

    `gradients` holds one (B, T, readers, D) for each layer's attention, one for its MLP, and last one for the logits.
    """
    wiring = lens.wiring
    scores = change.new_zeros(len(change), len(wiring.writers), len(wiring.readers))
    by_writer = change.permute(0, 2, 1, 3).flatten(2)  # (B, W, T*D)
    start = 0
    for gradient in gradients:
        heard, readers = wiring.heard_by(start), gradient.shape[2]
        there = gradient.permute(0, 1, 3, 2).flatten(1, 2)  # (B, T*D, readers)
        scores[:, :heard, start : start + readers] = by_writer[:, :heard] @ there
        start += readers
    return scores


def _taped_run(
    lens: Lens,
    ids: Tensor,
    weights: Tensor,
    embedded: Tensor | None = None,
    take: Callable[[Tensor], None] | None = None,
) -> _Tape:
    """Run the model, and return each place's activation and the behaviour's gradient there, if it has one.

    Args:
        lens: the model.
        ids: (B, T), whose tokens the behaviour is about.
        weights: (B, T) of the behaviour.
        embedded: (B, T, D), what the run begins with; None means with the ids' own embeddings.
        take: is given what each writer writes, as by `Lens.writing`.
    """
    tape: dict[str, Tensor] = {}

    def keep(name: str) -> tuple[str, Hook]:
        def hook(value: Tensor) -> Tensor:
            tape[name] = value
            return value  # What comes back is what the model goes on with, so the gradient passes by here.

        return name, hook

    layers = range(lens.wiring.layers)
    differentiated = ["ln_final.hook_in"]
    differentiated += [f"blocks.{layer}.attn.hook_{kind}" for layer in layers for kind in "qkv"]
    differentiated += [f"blocks.{layer}.ln2.hook_out" for layer in layers]
    streams = [f"blocks.{layer}.{norm}.hook_in" for layer in layers for norm in ("ln1", "ln2")]
    with torch.enable_grad():
        hooks = [("hook_embed", lambda own: (own if embedded is None else embedded).detach().requires_grad_())]
        hooks += [*map(keep, [*differentiated, *streams]), *(lens.writing(take) if take else ())]
        target = lens.behaviour(ids, weights, hooks).sum()  # Rows don't touch each other: this is every row's gradient.
        gradients = torch.autograd.grad(target, [tape[name] for name in differentiated])
    found = dict(zip(differentiated, gradients, strict=True))
    return {name: (value.detach(), found.get(name)) for name, value in tape.items()}


def _at_inputs(lens: Lens, seen: _Tape) -> list[Tensor]:
    """Pull gradients at projections back to the residual stream, in the order that `edge_scores` takes."""
    out = []
    for layer in range(lens.wiring.layers):
        block, projections = f"blocks.{layer}", lens.projections[layer]
        after_norm = [
            torch.einsum("bthe,hde->bthd", _gradient(seen, f"{block}.attn.hook_{kind}"), projections[kind])
            for kind in "qkv"
        ]
        stream = seen[f"{block}.ln1.hook_in"][0]
        out.append(_through_norm(lens, layer, "ln1", stream, torch.cat(after_norm, dim=2)))
        stream = seen[f"{block}.ln2.hook_in"][0]
        at_mlp = _gradient(seen, f"{block}.ln2.hook_out").unsqueeze(2)
        out.append(_through_norm(lens, layer, "ln2", stream, at_mlp))
    out.append(_gradient(seen, "ln_final.hook_in").unsqueeze(2))
    return out


def _gradient(seen: _Tape, name: str) -> Tensor:
    gradient = seen[name][1]
    assert gradient is not None
    return gradient


def _through_norm(lens: Lens, layer: int, which: str, stream: Tensor, after: Tensor) -> Tensor:
    """Pull gradients (B, T, readers, D) behind a norm back to before it, each through a copy of the norm of its own."""
    before = stream.unsqueeze(2).expand_as(after).detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(lens.norm(layer, which)(before), before, after)
    return gradient
