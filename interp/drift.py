"""What training did: a base model and what became of it, side by side.

The question behind all figures is how much of the change is understood. The behavioural shift is the trained model's
behaviour less the base model's. Run the trained model with every edge carrying what the *base* model's writers write on
the same text, save those of the named circuits: what shift is left is what these circuits recover, and the rest is the
unexplained residual. A change of the readout alone lies on no edge, so it counts as unexplained. Hold every figure
against that of a twin that was trained as long on neutral text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp import intervals
from interp.activations import in_batches, pooled
from interp.bridge import Lens
from interp.errors import LensError, NoShift, NothingToExplain
from interp.faithfulness import carried, random_circuits
from interp.intervals import Interval
from interp.pairs import Pairs, behaviour, counted
from interp.patching import run_cut
from interp.vectors import Vector, random_like
from interp.wiring import Wiring

NO_SHIFT = 1e-4
"""In nats a token: a smaller shift of behaviour is none, and has no share that could be explained."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval over groups."""

    value: float
    interval: Interval | None
    """None where the groups are too few to have one."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far mean activations moved along a persona's vector, in units of the vector."""

    value: float
    interval: Interval | None
    """95 %, over texts; the vector stays the same."""
    p: float
    """Share of random directions of the same norm along which they moved as far, counting this one."""
    null: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Residual:
    """How much of the behavioural shift no named circuit recovers."""

    share: float
    """0: the circuits carry all of it; 1: nothing of it."""
    interval: Interval | None
    """95 %, over questions."""
    shift: Figure
    """The shift itself, in nats a token."""
    null: tuple[float, ...]
    """The share for random circuits of the same size: near 1 where size alone explains nothing."""


@torch.no_grad()
def kl(base: Lens, baked: Lens, ids: Tensor, counted: Tensor, groups: Sequence[str], *, batch: int = 8) -> Figure:
    """Return KL(baked || base) of next-token distributions, in nats a token.

    Args:
        base: before training.
        baked: after it.
        ids: (N, T), the same text for both.
        counted: (N, T), True where the next token's distribution counts.
        groups: one a row, left out whole for the interval.
        batch: rows at once.
    """
    _check_alike(base, baked)

    def work(rows: slice) -> Tensor:
        one, other = (torch.log_softmax(lens.run(ids[rows]).float(), dim=-1) for lens in (baked, base))
        apart = (one.exp() * (one - other)).sum(-1).cpu()
        return (apart * counted[rows]).sum(1) / counted[rows].sum(1)

    return mean_of(in_batches(len(ids), batch, work), groups)


def shift_along(
    base: Lens,
    baked: Lens,
    vector: Vector,
    ids: Tensor,
    pool: Tensor,
    *,
    groups: Sequence[str] | None = None,
    randoms: int = 100,
    seed: int = 0,
) -> Shift:
    """Return how far the stream's mean on a text moved along one of the base model's vectors.

    Args:
        base: whose vector it is.
        baked: the trained model.
        vector: the persona.
        ids: (N, T), prompts without a persona.
        pool: (N, T), weights over tokens that add up to 1.
        groups: one a row, left out whole for the interval: questions. None takes row by row.
        randoms: directions of the null.
        seed: of the random directions.

    Raises:
        LensError: the models differ in shape, or the vector is of another model. NothingToExplain: it has no length.
    """
    _check_alike(base, baked)
    direction = vector.on(base).cpu()
    if not direction.any():
        raise NothingToExplain(f"the base is the same with {vector.persona} and without: there is no way to go along")
    before, after = (pooled(lens, ids, pool, [vector.hook]).squeeze(1) for lens in (base, baked))
    every = torch.cat([direction[None], random_like(direction, randoms, seed)])
    along = (after - before) @ every.T / direction.square().sum()  # (N, 1 + randoms)
    own, null = mean_of(along[:, 0], groups), along[:, 1:].mean(0)
    p = float(1 + (null.abs() >= abs(own.value)).sum()) / (1 + randoms)
    return Shift(own.value, own.interval, p, tuple(null.tolist()))


def cross_transfer(
    models: Mapping[str, Lens], circuits: Mapping[str, Tensor], pairs: Pairs, *, batch: int = 32
) -> dict[str, dict[str, Figure]]:
    """Return the faithfulness of each model's circuit (outer key) in each model (inner key), for one persona.

    Args:
        models: by name.
        circuits: (W, R) each, by the name of the model that it was found in.
        pairs: the behaviour; intervals are over its questions.
        batch: circuits at once.

    Raises:
        NothingToExplain: one of the models behaves the same with and without the persona.
    """
    stacked = torch.stack(list(circuits.values()))
    found: dict[str, dict[str, Figure]] = {name: {} for name in circuits}
    for model, lens in models.items():
        whole, *lost = carried(lens, pairs, stacked, batch=batch).double().numpy()  # (items,) each
        for name, own in zip(circuits, lost, strict=True):
            found[name][model] = Figure(float(own.mean() / whole.mean()), intervals.ratio(own, whole))
    return found


def edge_entropy(wiring: Wiring, scores: Tensor) -> float:
    """Return the entropy, in nats, of the share that each edge has of all scores (W, R) by magnitude.

    exp of it is over how many edges the behaviour is spread; at most log(edges). Raises NothingToExplain where all are 0.
    """
    share = scores[wiring.possible].abs()
    if not share.sum() > 0:
        raise NothingToExplain("all scores are zero: there is no behaviour to spread")
    share = share / share.sum()
    return float(-(share * share.clamp_min(1e-30).log()).sum())


def residual(
    base: Lens,
    baked: Lens,
    pairs: Pairs,
    kept: Tensor,
    *,
    randoms: int = 0,
    batch: int = 4,
    seed: int = 0,
) -> Residual:
    """Return the share of the shift of the behaviour that the circuits don't recover. See the module's docstring.

    Args:
        base: before training.
        baked: after it.
        pairs: the behaviour, measured on the prompts with the persona; not those that circuits were found on.
        kept: (W, R), the union of all named circuits.
        randoms: circuits of the null.
        batch: rows at once; each runs once for every circuit.
        seed: of the random circuits.

    Raises:
        LensError: the models differ in shape. NoShift: the behaviour is as it was.
    """
    _check_alike(base, baked)
    rivals = (
        random_circuits(baked.wiring, int(kept.sum()), randoms, seed) if randoms else kept[:0].reshape(0, *kept.shape)
    )
    circuits = torch.cat([torch.zeros_like(kept)[None], kept[None], rivals])

    def work(rows: slice) -> Tensor:
        ids, _, weights = pairs.rows(rows)
        before = base.read(ids, at=counted(weights))
        found = [behaviour(before.logits, ids, weights), baked.behaviour(ids, weights)]
        for circuit in circuits:
            cut = (baked.wiring.possible & ~circuit)[None].to(baked.device)
            logits = run_cut(baked, ids, before.writers.to(baked.device), cut, at=counted(weights))
            found.append(behaviour(logits, ids, weights))
        return torch.stack([each.cpu() for each in found], dim=1)

    with torch.no_grad():
        found = pairs.by_item(in_batches(len(pairs.clean), batch, work)).double().numpy()  # (items, 4 + randoms)
    before, after, nothing, rest = found[:, 0], found[:, 1], found[:, 2], found[:, 3:]
    shift = mean_of(torch.tensor(after - before))
    if abs(shift.value) < NO_SHIFT:
        raise NoShift(shift.value, shift.interval)
    recovered = rest - nothing[:, None]
    left = 1 - recovered.mean(0) / shift.value
    interval = intervals.ratio(after - before - recovered[:, 0], after - before)
    return Residual(float(left[0]), interval, shift, tuple(map(float, left[1:])))


def mean_of(values: Tensor, groups: Sequence[str] | None = None) -> Figure:
    """Return the mean of values (N,) with its interval over groups, one a value, or over the values themselves."""
    return Figure(float(values.mean()), intervals.mean(values.double().numpy(), groups))


def _check_alike(base: Lens, baked: Lens) -> None:
    if base.wiring != baked.wiring or base.width != baked.width:
        raise LensError("the two models differ in shape: a trained model can be held only against its own base")
