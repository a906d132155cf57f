"""What an audit measures of one persona on the test split: each figure with its interval and, mostly, what chance gives.

Nothing is chosen here any more. A figure is a `Measured`; a step returns one or more of them by name, and each step is
kept as soon as it is done, so none is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chorus.checkpoints import Report
from chorus.checkpoints.legibility import Measured, Place
from interp import dataset, drift, faithfulness, intervals, soundness, verdicts
from interp.activations import in_batches, pooled
from interp.bridge import Lens
from interp.errors import NoShift, NothingToExplain
from interp.faithfulness import Ablation, random_circuits
from interp.halves import Agreement, halvings
from interp.intervals import Array, Places, ratio
from interp.pairs import Pairs
from interp.plan import Config
from interp.probes import Probe, probe
from interp.soundness import Area
from interp.subject import Subject
from interp.vectors import Vector

Figures = dict[str, Measured]

HALVINGS = 100
"""Of the items, for one cosine between halves."""
EDGES = 20
"""Of a circuit that are taken out one by one, and as many others."""
RIVALS = 5
"""Random rankings of all edges, and random circuits as large, for the nulls of what takes long."""


@dataclass(frozen=True)
class Opened:
    """One persona, its test split open."""

    subject: Subject
    persona: str
    config: Config
    vector: Vector
    circuits: dict[str, Tensor]
    """(W, R) each: all personas' circuits."""
    report: Report
    given: Pairs | None = None
    """Items to measure on that are not the test split's."""

    @cached_property
    def pairs(self) -> Pairs:
        """The items."""
        return self.given or self.subject.pairs(self.persona, "test", self.config.test)

    @property
    def lens(self) -> Lens:
        """The model."""
        return self.subject.lens

    def effect(self) -> Figures:
        """How far the persona's prompt moves the behaviour, beside placebo prompts."""
        plain = self.by_prompt(self.pairs.corrupt)
        placebos = self.subject.placebos(self.pairs, self.config.randoms, self.config.seed)
        own, *others = (self.by_prompt(each.clean) - plain for each in (self.pairs, *placebos))
        return {"effect": mean(own, [float(each.mean()) for each in others], sizes=True)}

    def circuit(self) -> Figures:
        """How much of the behaviour the circuit carries, and how much of it other personas' circuits carry.

        What there is nothing to carry of is left out.
        """
        names = [self.persona, *(name for name in self.circuits if name != self.persona)]
        masks = torch.stack([self.circuits[name] for name in names])
        count, randoms, seed = len(names), self.config.circuits, self.config.seed
        rivals = random_circuits(self.lens.wiring, int(masks[0].sum()), randoms, seed)
        about: dict[str, Any] = {"batch": self.config.batch}
        try:
            lost = faithfulness.carried(self.lens, self.pairs, torch.cat([masks, rivals]), **about).double().numpy()
        except NothingToExplain as idle:
            self.report(f"{self.persona}: {idle}")
            return {}
        shares = lost[1:].mean(1) / lost[0].mean()
        null = shares[count:]
        # Which random circuit is better is a matter of how near to 1 it comes, not of how far beyond.
        nearer = sum(abs(1 - each) <= abs(1 - shares[0]) for each in null)
        figures = {
            "faithfulness": Measured(
                value=float(shares[0]),
                interval=ratio(lost[1], lost[0]),
                null=ends(null),
                p=(1 + nearer) / (1 + randoms),
            )
        }
        if count > 1:
            apart = shares[0] - shares[1:count].mean()
            interval = ratio(lost[1] - lost[2 : count + 1].mean(0), lost[0])
            chance = [float(each) - float(null.mean()) for each in null]
            figures["specificity"] = Measured(value=float(apart), interval=interval, null=ends(chance))
        both = torch.cat([masks[:1], rivals[:RIVALS]])
        try:
            found = faithfulness.carried(self.lens, self.pairs, both, ablation="mean", **about)
        except NothingToExplain:
            return figures
        whole, own, *others = found.double().numpy()
        share, *chances = (float(each.mean() / whole.mean()) for each in (own, *others))
        return figures | {"mean faithfulness": Measured(value=share, interval=ratio(own, whole), null=ends(chances))}

    @cached_property
    def few(self) -> Pairs:
        """Those of the items on which what takes long is measured."""
        return self.given or self.subject.pairs(self.persona, "test", self.config.apart)

    def curves(self, scores: Tensor) -> dict[str, Any]:
        """Return, for a file, the curve of faithfulness over circuit sizes under either ablation; takes long.

        Args:
            scores: (W, R), by whose magnitude edges are ranked.

        Returns:
            `figures`: the areas CPR and CMD of each curve, as `Measured`; `sizes`: its points, as `Place`. A curve under
            an ablation that leaves nothing to carry is left out.
        """
        noise = torch.rand(RIVALS, *scores.shape, generator=torch.Generator().manual_seed(self.config.seed))
        areas: Figures = {}
        points: dict[int, Figures] = {}
        ablations: tuple[tuple[Ablation, str], ...] = (("patch", ""), ("mean", "mean "))
        for ablation, name in ablations:
            try:
                line, *lines = (
                    soundness.curve(self.lens, self.few, each, ablation=ablation, batch=self.config.batch)
                    for each in (scores, *noise)
                )
            except NothingToExplain:
                continue
            areas[f"{name}CPR"] = _area(line.cpr, [each.cpr for each in lines])
            areas[f"{name}CMD"] = _area(line.cmd, [each.cmd for each in lines])
            for place, edges in enumerate(line.edges):
                points.setdefault(edges, {})[f"{name}faithfulness"] = Measured(
                    value=line.faithfulness[place],
                    interval=line.intervals[place],
                    null=ends([each.faithfulness[place] for each in lines]),
                )
        size = int(self.circuits[self.persona].sum())
        sizes = [Place(at=edges, chosen=edges == size, figures=own) for edges, own in points.items()]
        return {
            "figures": {name: own.model_dump(mode="json") for name, own in areas.items()},
            "sizes": [each.model_dump(mode="json") for each in sizes],
        }

    def thorough(self) -> Figures:
        """The circuit's completeness and its minimality, where there is anything to carry; takes long."""
        about: dict[str, Any] = {"seed": self.config.seed, "batch": self.config.batch}
        kept, wiring = self.circuits[self.persona], self.lens.wiring
        rivals = random_circuits(wiring, int(kept.sum()), RIVALS, self.config.seed)
        try:
            lack, *lacks = (soundness.completeness(self.lens, self.few, each, **about) for each in (kept, *rivals))
        except NothingToExplain:
            return {}
        least = soundness.minimality(self.lens, self.few, kept, tried=EDGES, draws=EDGES, **about)
        return {"needed": Measured(value=least.needed, interval=least.interval), "lack": _area(lack, lacks)}

    def residual(self, base: Subject) -> Figures:
        """How far training shifted the behaviour, and the share of that which no circuit of any persona recovers.

        Where there is no shift, that is all there is to say.
        """
        named = torch.stack(list(self.circuits.values())).any(0)
        try:
            found = drift.residual(
                base.lens, self.lens, self.pairs, named,
                randoms=self.config.circuits, batch=self.config.batch, seed=self.config.seed,
            )  # fmt: skip
        except NoShift as unmoved:
            self.report(f"{self.persona}: {unmoved}")
            return {verdicts.UNMOVED: Measured(value=unmoved.value, interval=unmoved.interval)}
        # To bring back more than there was is no better than to bring back less.
        nearer = sum(abs(each) <= abs(found.share) for each in found.null)
        p = (1 + nearer) / (1 + self.config.circuits)
        return {
            "shift": Measured(value=found.shift.value, interval=found.shift.interval),
            "residual": Measured(value=found.share, interval=found.interval, null=ends(found.null), p=p),
        }

    def probes(self, hooks: Sequence[str], permutations: int) -> dict[str, dict[str, Any]]:
        """Return a `Probe` for each hook, for a file: is the prompt read where the words of the answer are the same?"""
        cells = self.subject.cells(self.persona, "test", self.config.probes)
        read, blank = (
            pooled(lens, cells.ids, cells.pool, hooks, batch=self.config.batch).double().numpy()
            for lens in (self.lens, self.subject.untrained)
        )
        labels = cells.prompt_on.double().numpy()
        surface = {name: each.double().numpy() for name, each in dataset.surface(cells, self.lens).items()}
        return {
            hook: asdict(
                probe(
                    read[:, place],
                    labels,
                    cells.groups,
                    held=cells.wordings,
                    surface=surface,
                    untrained=blank[:, place],
                    permutations=permutations,
                    seed=self.config.seed,
                )
            )
            for place, hook in enumerate(hooks)
        }

    def apart(self) -> Tensor:
        """Return m_p (items,) with the persona less that without."""
        return self.by_prompt(self.pairs.clean) - self.by_prompt(self.pairs.corrupt)

    @torch.no_grad()
    def by_prompt(self, ids: Tensor) -> Tensor:
        """Return m_p (items,) under the given prompts."""

        def work(few: slice) -> Tensor:
            return self.lens.behaviour(ids[few], self.pairs.weights[few]).cpu()

        return self.pairs.by_item(in_batches(len(ids), self.config.batch, work))


def mean(items: Tensor, null: Sequence[float], *, sizes: bool = False) -> Measured:
    """Return a mean over items; with `sizes`, p says how often the null is as great by magnitude."""
    found = drift.mean_of(items)
    p = (1 + sum(abs(each) >= abs(found.value) for each in null)) / (1 + len(null)) if sizes else None
    return Measured(value=found.value, interval=found.interval, null=ends(null), p=p)


def share(items: Tensor, null: Sequence[float]) -> Measured:
    """Return the share of items (items,) that are 1, not 0, with its interval by Wilson's method.

    By their spread, items that are all alike would leave no doubt, however few they are.
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(int(items.sum()), len(items), method="wilson")
    return Measured(value=float(items.mean()), interval=(float(low), float(high)), null=ends(null))


def reliability(apart: Tensor, groups: Sequence[str], randoms: int, seed: int) -> Measured:
    """Return the cosine between vectors of two halves of the items, beside items whose sides are swapped at random.

    It is the mean over halvings; its interval is over items. Drawn anew, an item that comes twice would stand on both
    sides, or weigh double, and halves would differ otherwise than they do.

    Args:
        apart: (items, D), activations with the persona less those without.
        groups: one an item; none is in both halves.
        randoms: swappings.
        seed: of halves and swappings.
    """
    draw, count = np.random.default_rng(seed), len(apart)
    alike = (apart.double() @ apart.double().T).numpy()

    def halved(draws: int, first: int) -> Array:
        """Return (draws, items), 1 on one side, -1 on the other, 0 where an item is left out to make them equally large."""
        sides = np.zeros((draws, count))
        for row, (one, other) in zip(sides, halvings(groups, draws, first), strict=True):
            row[one.numpy()], row[other.numpy()] = 1.0, -1.0
        return sides

    def cosine(sides: Array, signs: Array, few: Places) -> Array:
        """Return (draws,), from some of the items."""
        one, other = ((signs * (sides * part > 0))[:, few] for part in (1, -1))
        dot, *squares = (
            np.einsum("di,ij,dj->d", a, alike[np.ix_(few, few)], b, optimize=True)
            for a, b in ((one, other), (one, one), (other, other))
        )
        found: Array = dot / np.sqrt(np.maximum(squares[0] * squares[1], 1e-24))
        return found

    every, own = np.arange(count), halved(HALVINGS, seed)
    value = float(cosine(own, np.ones_like(own), every).mean())
    interval = intervals.one(lambda few: float(cosine(own, np.ones_like(own), few).mean()), count)
    swapped = cosine(halved(randoms, seed + 1), draw.choice([-1.0, 1.0], (randoms, count)), every)
    p = (1 + int((swapped >= value).sum())) / (1 + randoms)
    within = interval and (max(interval[0], -1.0), min(interval[1], 1.0))
    return Measured(value=value, interval=within, null=ends(swapped), p=p)


def agreed(found: Agreement) -> Measured:
    """Return how alike halves are as a figure."""
    return Measured(value=found.value, interval=found.interval, null=ends(found.null), p=found.p)


def separation(on: Tensor, off: Tensor, randoms: int, seed: int) -> Measured:
    """Return d', the mean difference over the pooled deviation, beside questions whose sides are swapped at random.

    Args:
        on: (items,), the stream along a direction with the persona's prompt. Found on other questions, else it is too high.
        off: (items,), without it.
        randoms: swappings.
        seed: of swappings.
    """
    draw, sides = np.random.default_rng(seed), torch.stack([on, off]).double().numpy()

    def apart(both: Array) -> Array:
        """Return d' (draws,) of values (2, draws, items)."""
        spread = np.sqrt(both.var(-1, ddof=1).mean(0))
        found: Array = (both[0].mean(-1) - both[1].mean(-1)) / np.maximum(spread, 1e-12)
        return found

    value = float(apart(sides[:, None])[0])
    interval = intervals.one(lambda few: float(apart(sides[:, None, few])[0]), len(on))
    swapped = draw.random((randoms, len(on))) < 0.5
    null = apart(np.where(swapped, sides[::-1, None], sides[:, None]))
    p = (1 + int((null >= value).sum())) / (1 + randoms)
    return Measured(value=value, interval=interval, null=ends(null), p=p)


def of_probe(found: dict[str, Any], p: float) -> Figures:
    """Return the figures of a `Probe` that was kept in a file, with its corrected p."""
    own = Probe(**found)
    low, high = own.interval
    chance = float(np.mean(own.null))
    figures = {
        "probe": Measured(value=own.auroc, interval=own.interval, null=ends(own.null), p=p),
        "selectivity": Measured(value=own.selectivity, interval=(low - chance, high - chance)),
        "surface gain": Measured(value=own.gain, interval=own.gain_interval),
    }
    if own.untrained is not None:
        apart = own.auroc - own.untrained
        figures["gain over untrained"] = Measured(value=apart, interval=own.untrained_interval)
    return figures


def _area(own: Area, others: Sequence[Area]) -> Measured:
    return Measured(value=own.value, interval=own.interval, null=ends([each.value for each in others]))


def ends(values: Sequence[float] | Array) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)
