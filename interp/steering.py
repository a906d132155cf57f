"""Does a vector cause the behaviour? Add it, take it out, or swap it between prompts, beside directions that mean nothing.

Everything is measured by m_p, question by question, and for many directions at once: a persona's own and random ones of
the same norm. What counts is not only the mean: a vector that helps on average may push a share of the questions the
wrong way. Ablation, patching and interchange return the persona's whole effect first and then how much of it goes, or
comes over, with each direction, so that shares and their intervals can be taken over any questions. There the stream is
moved at each token as far along the random directions as along the persona's own: the part that it has along a random
one is next to nothing, and to move next to nothing shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from interp.activations import Batch, in_batches
from interp.bridge import Hook, Lens
from interp.pairs import Pairs, behaviour, counted
from interp.vectors import Vector, random_like

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Multiples of the vector that are added."""

_Moved = Callable[[Tensor, Tensor], Tensor]
"""Gets how the streams (1, T, D) of both prompts differ, and the weights; returns changes (changes, T, D)."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What adding a vector does."""

    slope: float
    """Change of m_p a unit of the vector, in nats a token: the mean over items of least-squares lines."""
    wrong_way: float
    """The share of items whose own slope runs against the effect that the prompt with the persona has on the whole."""
    p: float
    """Share of random directions with a mean slope at least as great by magnitude, counting this one."""
    null: tuple[float, ...]
    """The random directions' mean slopes."""


class Steered:
    """The model on rows of ids, with this or that added to the stream at one hook.

    What is added can't change what came before it, so at the end of a block the stream is computed once and kept, and
    every run goes on from there.
    """

    def __init__(self, lens: Lens, ids: Tensor, hook: str, *, whole: bool = False) -> None:
        """Take rows of ids (B, T); with `whole`, runs are whole ones, so that hooks at any layer fire."""
        self.lens, self.ids, self.hook = lens, ids, hook
        kept: list[Tensor] = []
        lens.run(ids, [(hook, kept.append)], at=slice(1))
        self.stream = kept[0]
        """(B, T, D), as it is when nothing is added."""
        end = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", hook)
        layer = int(end[1]) + 1 if end else lens.wiring.layers
        self.start = layer if layer < lens.wiring.layers and not whole else None

    def __call__(self, added: Tensor, hooks: Iterable[tuple[str, Hook]] = (), *, at: slice | None = None) -> Tensor:
        """Return the logits with (B or 1, T or 1, D) added, which a single row of ids is repeated for."""
        if self.start is None:
            ids = self.ids.expand(max(len(self.ids), len(added)), -1)
            return self.lens.run(ids, [(self.hook, lambda stream: stream + added), *hooks], at=at)
        return self.lens.run(self.ids, hooks, at=at, start=(self.start, self.stream + added))


def steer(
    lens: Lens,
    pairs: Pairs,
    vector: Vector,
    *,
    strengths: Sequence[float] = STRENGTHS,
    randoms: int = 100,
    batch: int = 256,
    seed: int = 0,
) -> Steering:
    """Add the vector to the stream on prompts without the persona, and see whether its behaviour comes."""
    direction = vector.on(lens)
    every = torch.cat([direction[None], random_like(direction, randoms, seed)])
    own, *others = slopes(lens, pairs, vector.hook, every, strengths, batch)
    null = [float(each.mean()) for each in others]
    mean = float(own.mean())
    ids, signed = torch.cat([pairs.clean, pairs.corrupt]), torch.cat([pairs.weights, -pairs.weights])
    with torch.no_grad():
        effect = in_batches(len(ids), batch, lambda few: lens.behaviour(ids[few], signed[few]).cpu()).sum()
    wrong = float((own * effect < 0).float().mean())
    return Steering(mean, wrong, (1 + sum(abs(each) >= abs(mean) for each in null)) / (1 + randoms), tuple(null))


@torch.no_grad()
def slopes(
    lens: Lens,
    pairs: Pairs,
    hook: str,
    directions: Tensor,
    strengths: Sequence[float] = STRENGTHS,
    batch: int = 256,
) -> Tensor:
    """Return each item's slope of the behaviour, (directions, items), over multiples of directions (directions, D)."""
    doses = torch.tensor(strengths)
    added = (doses.to(directions)[None, :, None] * directions[:, None]).reshape(-1, 1, directions.shape[1])
    runs, fits = _runs(lens, pairs.corrupt, pairs.weights, hook), Batch(batch)
    rows = [_with_each(run, weights, added, fits) for run, weights in runs]
    found = pairs.by_item(torch.stack(rows)).reshape(len(pairs), len(directions), len(doses))
    centred = doses - doses.mean()
    return ((centred * found).sum(2) / (centred**2).sum()).T


@torch.no_grad()
def ablation(lens: Lens, pairs: Pairs, hook: str, directions: Tensor, batch: int = 256) -> Tensor:
    """Return (1 + directions, items): the persona's effect, and what of it goes with each direction.

    The stream's part along the first direction, the persona's own, is set to its mean over the tokens of both prompts.
    Along each of the others the stream is moved as far. The first token is left as it is, and out of the mean: many
    models keep there what belongs to no text.
    """
    sides = [list(_runs(lens, ids, pairs.weights, hook)) for ids in (pairs.clean, pairs.corrupt)]
    real = pairs.real[:, 1:, None].to(lens.device)
    each = [(run.stream[0, 1:], own) for side in sides for (run, _), own in zip(side, real, strict=True)]
    kept = [(stream * own[: len(stream)]).sum(0) for stream, own in each]
    mean = torch.stack(kept).sum(0) / (2 * real.sum())
    units, fits = _with_none(directions), Batch(batch)

    def left(run: Steered, weights: Tensor) -> Tensor:
        added = along(mean - run.stream, units[1], units)
        added[:, 0] = 0
        return _with_each(run, weights, added, fits)

    on, off = (pairs.by_item(torch.stack([left(*each) for each in side])).T for side in sides)
    return torch.cat([(on - off)[:1], (on - off)[:1] - (on - off)[1:]])


@torch.no_grad()
def interchange(lens: Lens, pairs: Pairs, hook: str, directions: Tensor, batch: int = 256) -> Tensor:
    """Return (1 + directions, items): the persona's effect, and what of it comes over with each direction.

    An interchange intervention (Geiger et al. 2021): the prompt without the persona runs with the part that the stream
    has along the first direction, the persona's own, token by token, under the prompt with it. Along each of the others
    the stream is moved as far.
    """
    units = _with_none(directions)
    return _brought(lens, pairs, hook, lambda apart, _: along(apart, units[1], units), batch)


@torch.no_grad()
def patching(lens: Lens, pairs: Pairs, hook: str, others: Tensor, batch: int = 256) -> Tensor:
    """Return (2 + others, items): the persona's effect, and what of it comes over with the stream where answers are read.

    Activation patching: at the tokens at which the answer is foretold, the prompt without the persona runs with the whole
    stream of the prompt with it. At all tokens it would be the other run, and show nothing. For each of the other
    directions (others, D), the stream is moved there as far as it was, but that way.
    """
    units = normalize(others, dim=1)

    def moved(apart: Tensor, weights: Tensor) -> Tensor:
        there = apart * (weights != 0).to(apart)[..., None]
        return torch.cat([0 * there, there, there.norm(dim=2, keepdim=True) * units[:, None]])

    return _brought(lens, pairs, hook, moved, batch)


@torch.no_grad()
def damage(lens: Lens, pairs: Pairs, hook: str, directions: Tensor, batch: int = 256) -> Tensor:
    """Return (directions, items): how much worse plain text is foretold while steered, in nats a token."""
    rows = slice(1, None, 2)  # An item's second row has the neutral answer.
    weights = torch.nn.functional.pad(pairs.real[rows, 1:].float(), (0, 1))
    weights = weights / weights.sum(1, keepdim=True)
    added = torch.cat([0 * directions[:1], directions])[:, None]
    runs, fits = _runs(lens, pairs.corrupt[rows], weights, hook), Batch(batch)
    found = torch.stack([_with_each(run, own, added, fits) for run, own in runs]).T
    return found[:1] - found[1:]


def along(change: Tensor, own: Tensor, units: Tensor) -> Tensor:
    """Return changes (units, T, D): as much of each direction as a change has of a persona's.

    What else the stream is moved along has to be moved as far: else a null shows how little a small move does.

    Args:
        change: (1, T, D), of the stream.
        own: (D,), the persona's direction, of length 1.
        units: (units, D), of length 1 each; where `own` is among them, its row is the change's part along it.
    """
    return (change[0] @ own)[:, None] * units[:, None]


def _brought(lens: Lens, pairs: Pairs, hook: str, moved: _Moved, batch: int) -> Tensor:
    """Return the whole effect, and what of it comes with each change but the first, which must be none."""
    rows, whole, fits = [], [], Batch(batch)
    both = zip(
        _runs(lens, pairs.clean, pairs.weights, hook), _runs(lens, pairs.corrupt, pairs.weights, hook), strict=True
    )
    for (on, weights), (off, _) in both:
        rows.append(_with_each(off, weights, moved(on.stream - off.stream, weights), fits))
        whole.append(lens.behaviour(on.ids, weights).cpu())
    found, there = pairs.by_item(torch.stack(rows)).T, pairs.by_item(torch.stack(whole)).T
    return torch.cat([there, found[1:]]) - found[:1]


def _runs(lens: Lens, ids: Tensor, weights: Tensor, hook: str) -> Iterator[tuple[Steered, Tensor]]:
    """Yield each row (1, T), ready to be changed, with its weights; what comes behind the last that counts is cut off."""
    for row in range(len(ids)):
        own = weights[row : row + 1]
        end = counted(own).stop + 1
        yield Steered(lens, ids[row : row + 1, :end], hook), own[:, :end]


def _with_each(run: Steered, weights: Tensor, added: Tensor, batch: Batch) -> Tensor:
    """Return a row's behaviour (changes,) with each of these (changes, T or 1, D) added."""
    at = counted(weights)

    def work(few: slice) -> Tensor:
        ids, own = (each.expand(len(added[few]), -1) for each in (run.ids, weights))
        return behaviour(run(added[few], at=at), ids, own).cpu()

    return in_batches(len(added), batch, work)


def _with_none(directions: Tensor) -> Tensor:
    """Return unit vectors (1 + directions, D), the first of which is nothing."""
    return torch.cat([0 * directions[:1], normalize(directions, dim=1)])
