"""Who is speaking: token by token, how much of what was said hangs on each persona.

A persona's weight at a token is what the token's log P loses when the persona is taken out of the computation: its
vector set to the mean that it has without a persona, or its circuit's edges set to what their writers write on average
there. Weights stand against a band of moves as far in random directions, or of random circuits as large; who speaks is
judged by the farthest of all tokens and all personas under each draw, since of many bands some are left by chance
(Westfall & Young 1993). Beside them stands the whole effect, log P under this prompt less log P under one for a plain
voice; what of it is left when all personas are out at once is the remainder, which nobody found so far explains. The
first token is left as it is: many models keep there what belongs to no text.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import networkx as nx
import torch
from torch import Tensor
from torch.nn.functional import normalize

from interp.activations import in_batches
from interp.bridge import Hook, Lens
from interp.errors import LensError
from interp.faithfulness import random_circuits
from interp.graph import to_mask, wiring_of
from interp.patching import run_cut
from interp.said import Said
from interp.steering import Steered, along
from interp.vectors import Vector, random_like
from interp.verdicts import ALPHA

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf")

Removed = Callable[[Tensor, slice], Tensor]
"""Runs a batch of equal rows of ids with something taken out, a different thing in each; returns logits of some tokens."""


@dataclass(frozen=True)
class Voices:
    """What each persona weighs at each token, in nats."""

    tokens: tuple[str, ...]
    weights: dict[str, tuple[float, ...]]
    """log P less log P without the persona: above 0 it speaks for the token, below 0 against it."""
    low: dict[str, tuple[float, ...]]
    """2.5th percentile of the same for moves as far in random directions, or for random circuits."""
    high: dict[str, tuple[float, ...]]
    """97.5th percentile."""
    p: dict[str, tuple[float, ...]]
    """Share of draws that are somewhere, at any token and for any persona, as far above what is usual there, counting the
    weight itself."""
    whole: tuple[float, ...]
    """log P less log P under the plain voice's prompt."""
    remainder: tuple[float, ...]
    """What of it is still there without all personas at once."""

    @property
    def speakers(self) -> tuple[str | None, ...]:
        """The persona of greatest weight at each token among those beyond chance, by `p`; None where there is none."""
        found: list[str | None] = []
        for place in range(len(self.tokens)):
            beyond = {name: own[place] for name, own in self.weights.items() if self.p[name][place] <= ALPHA}
            found.append(max(beyond, key=lambda name: beyond[name]) if beyond else None)
        return tuple(found)

    def data(self) -> dict[str, Any]:
        """Return everything, for a JSON file."""
        return {**asdict(self), "speakers": self.speakers}

    def strip(self) -> str:
        """Return the text as HTML: a token's colour is who speaks, its depth how much, its underline the remainder."""
        colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(self.weights)}
        largest = max((abs(each) for own in self.weights.values() for each in own), default=0.0) or 1.0
        most = max(map(abs, self.remainder), default=0.0) or 1.0
        spans = []
        for place, (token, speaker) in enumerate(zip(self.tokens, self.speakers, strict=True)):
            parts = [
                f"{name} {own[place]:+.3f} (chance {self.low[name][place]:+.3f} to {self.high[name][place]:+.3f}, "
                f"p {self.p[name][place]:.3g})"
                for name, own in self.weights.items()
            ]
            parts += [f"whole {self.whole[place]:+.3f}", f"unexplained {self.remainder[place]:+.3f}"]
            depth = f"{round(15 + 70 * self.weights[speaker][place] / largest):02d}" if speaker else ""
            style = f"border-bottom:{3 * abs(self.remainder[place]) / most:.1f}px solid #555;white-space:pre-wrap"
            style += f";background:{colour[speaker]}{depth}" if speaker else ""
            shown = html.escape(token).replace("\n", "↵<br>")
            spans.append(f'<span style="{style}" title="{html.escape("; ".join(parts))}">{shown}</span>')
        key = " ".join(f'<b style="color:{shade}">{html.escape(name)}</b>' for name, shade in colour.items())
        note = "underlined: what no persona explains"
        return f'<div style="font-family:monospace;line-height:2"><p>{key} · {note}</p><p>{"".join(spans)}</p></div>\n'


@torch.no_grad()
def by_vector(
    lens: Lens, told: Said, vectors: Mapping[str, Vector], *, randoms: int = 40, batch: int = 16, seed: int = 0
) -> Voices:
    """Take each persona's direction out of the stream: at each token its part becomes the mean that it has without.

    For the band the stream is moved at each token as far along random directions. Their own parts are next to nothing,
    and to take next to nothing out shows nothing: beside that any direction that the stream has much of would speak.

    Args:
        lens: the model.
        told: what was said.
        vectors: by persona.
        randoms: directions for each persona's band; at least 1.
        batch: rows at once.
        seed: of the random directions.
    """
    hooks = sorted({vector.hook for vector in vectors.values()})
    usual = _mean_streams(lens, told.plain, hooks)
    own, bands = {}, {}
    for place, (name, vector) in enumerate(vectors.items()):
        direction = vector.on(lens)
        every = torch.cat([direction[None], random_like(direction, randoms, seed + place)])
        own[name], *others = _moved(lens, told, vector.hook, every, usual[vector.hook], batch)
        bands[name] = torch.stack(others)

    def all_out(ids: Tensor, at: slice) -> Tensor:
        edits = []
        for hook in hooks:
            mine = torch.stack([vector.on(lens) for vector in vectors.values() if vector.hook == hook], dim=1)
            edits.append((hook, _fixing(torch.linalg.qr(mine).Q, usual[hook])))
        return lens.run(ids, edits, at=at)

    return _voices(lens, told, own, bands, all_out)


@torch.no_grad()
def by_circuit(
    lens: Lens, told: Said, circuits: Mapping[str, nx.DiGraph[str]], *, randoms: int = 20, batch: int = 4, seed: int = 0
) -> Voices:
    """Cut each persona's circuit: its edges carry what their writers write on average after the plain prompt.

    Args:
        lens: the model.
        told: what was said.
        circuits: by persona, as `graph.to_graph` makes them.
        randoms: circuits for each band, each as large as the persona's.
        batch: rows at once.
        seed: of the random circuits.

    Raises:
        LensError: a circuit belongs to a model of another shape.
    """
    if any(wiring_of(graph) != lens.wiring for graph in circuits.values()):
        raise LensError("a circuit belongs to a model with other layers or heads than this one")
    written = lens.read(told.plain[None], at=slice(1)).writers  # (1, T', W, D)
    other = written[:, 1:].mean(1, keepdim=True).repeat(1, len(told.ids), 1, 1)
    other[:, 0] = written[:, 0]

    def cutting(cuts: Tensor) -> Removed:
        return lambda ids, at: run_cut(lens, ids, other.expand(len(ids), -1, -1, -1), cuts.to(lens.device), at=at)

    masks = {name: to_mask(graph) for name, graph in circuits.items()}
    own = {name: _changes(lens, told, cutting(mask[None]), 1)[0] for name, mask in masks.items()}
    bands = {}
    for place, (name, mask) in enumerate(masks.items()):
        rivals = random_circuits(lens.wiring, int(mask.sum()), randoms, seed + place)

        def some(rows: slice, rivals: Tensor = rivals) -> Tensor:
            return _changes(lens, told, cutting(rivals[rows]), len(rivals[rows]))

        bands[name] = in_batches(randoms, batch, some)
    together = torch.stack(list(masks.values())).any(0)
    return _voices(lens, told, own, bands, cutting(together[None]))


def _voices(lens: Lens, told: Said, own: dict[str, Tensor], bands: dict[str, Tensor], all_out: Removed) -> Voices:
    at, count = _said(told), len(told.tokens)
    here, there = (_logp(lens.run(ids[None], at=at), ids[None], count)[0] for ids in (told.ids, told.plain))
    without = _logp(all_out(told.ids[None], at), told.ids[None], count)[0]
    edges = {name: torch.quantile(band, torch.tensor([0.025, 0.975]), dim=0).tolist() for name, band in bands.items()}
    return Voices(
        told.tokens,
        {name: tuple(each.tolist()) for name, each in own.items()},
        {name: tuple(edge[0]) for name, edge in edges.items()},
        {name: tuple(edge[1]) for name, edge in edges.items()},
        _corrected(own, bands),
        tuple((here - there).tolist()),
        tuple((without - there).tolist()),
    )


def _corrected(own: Mapping[str, Tensor], bands: Mapping[str, Tensor]) -> dict[str, tuple[float, ...]]:
    """Return p of weights (tokens,) beside draws (randoms, tokens), by persona, corrected for all tokens and personas."""
    every = torch.stack([torch.cat([own[name][None], bands[name]]) for name in own], dim=1)  # (1 + randoms, P, tokens)
    # What was found and what was drawn are scored alike: else p is too small.
    score = (every - every.mean(0)) / every.std(0).clamp_min(1e-12)
    largest = score[1:].flatten(1).amax(1)  # (randoms,)
    p = (1 + (largest[:, None, None] >= score[0]).sum(0)).double() / len(every)
    return {name: tuple(row) for name, row in zip(own, p.tolist(), strict=True)}


def _moved(lens: Lens, told: Said, hook: str, directions: Tensor, usual: Tensor, batch: int) -> Tensor:
    """Return (directions, tokens), log P less log P without the stream's part along the first direction (D,).

    Along the others the stream is moved as far.
    """
    run, at, units = Steered(lens, told.ids[None], hook), _said(told), normalize(directions, dim=1)
    change = usual - run.stream
    change[:, 0] = 0
    every = torch.cat([0 * units[:1], units])

    def left(few: slice) -> Tensor:
        added = along(change, units[0], every[few])
        return _logp(run(added, at=at), told.ids.expand(len(added), -1), len(told.tokens))

    found = in_batches(len(every), batch, left)
    return found[:1] - found[1:]


def _changes(lens: Lens, told: Said, removed: Removed, rows: int) -> Tensor:
    """Return log P less log P with something taken out, (rows, tokens)."""
    ids, at, count = told.ids[None], _said(told), len(told.tokens)
    many = ids.expand(rows, -1)
    return _logp(lens.run(ids, at=at), ids, count) - _logp(removed(many, at), many, count)


def _said(told: Said) -> slice:
    """Return the tokens at which what was said is foretold: logits of the others would fill the memory unread."""
    return slice(-len(told.tokens) - 1, -1)


def _logp(logits: Tensor, ids: Tensor, count: int) -> Tensor:
    """Return log P (B, count) of the last tokens, of which logits (B, count, vocabulary) are given."""
    logp = torch.log_softmax(logits.float(), dim=-1)
    return logp.gather(2, ids[:, -count:, None].to(logp.device)).squeeze(2).cpu()


def _mean_streams(lens: Lens, ids: Tensor, hooks: list[str]) -> dict[str, Tensor]:
    """Return the stream's mean (D,) at each hook over a row's tokens but the first."""
    kept: dict[str, Tensor] = {}

    def keep(hook: str) -> Hook:
        return lambda stream: kept.update({hook: stream[0, 1:].mean(0)})

    lens.run(ids[None], [(hook, keep(hook)) for hook in hooks], at=slice(1))
    return kept


def _fixing(bases: Tensor, usual: Tensor) -> Hook:
    """Return a hook that gives the stream, along orthonormal directions (D, k), the parts that `usual` has."""

    def fix(stream: Tensor) -> Tensor:
        moved = (usual - stream) @ bases @ bases.T
        moved[:, 0] = 0
        return stream + moved

    return fix
