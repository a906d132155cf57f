"""What an audit measures of one persona on the test split: each figure with its interval and what chance gives.

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

from chorus.checkpoints.legibility import Measured
from interp import dataset, drift, faithfulness
from interp.activations import Report, in_batches, pooled
from interp.bridge import Lens
from interp.errors import LensError, NoShift
from interp.faithfulness import behaviours, random_circuits
from interp.pairs import Pairs
from interp.plan import Config
from interp.probes import DRAWS, Array, Probe, probe
from interp.steering import slopes_of_each
from interp.subject import Subject
from interp.vectors import Vector, random_like

Figures = dict[str, Measured]


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

    @cached_property
    def pairs(self) -> Pairs:
        """The items."""
        return self.subject.pairs(self.persona, "test", self.config.test)

    @property
    def lens(self) -> Lens:
        """The model."""
        return self.subject.lens

    def effect(self) -> Figures:
        """How far the persona's prompt moves the behaviour, beside placebo prompts."""
        plain = self._by_prompt(self.pairs.corrupt)
        placebos = self.subject.placebos(self.pairs, self.config.randoms, self.config.seed)
        own, *others = (self._by_prompt(each.clean) - plain for each in (self.pairs, *placebos))
        return {"effect": self._mean(own, [float(each.mean()) for each in others], sizes=True)}

    def steering(self) -> Figures:
        """What adding the vector does, and on how many questions the contrary, beside random directions."""
        own = self.vector.on(self.lens)
        every = torch.cat([own[None], random_like(own, self.config.randoms, self.config.seed)])
        found = slopes_of_each(
            self.lens, self.pairs, self.vector.hook, every, (-1.0, 1.0), self.config.batch, self.report
        )
        wrong = (found * found.mean(1, keepdim=True) < 0).float()
        return {
            "steering": self._mean(found[0], found[1:].mean(1).tolist(), sizes=True),
            "wrong way": self._mean(wrong[0], wrong[1:].mean(1).tolist()),
        }

    def circuit(self) -> Figures:
        """How much of the behaviour the circuit carries, and how much of it other personas' circuits carry."""
        names = [self.persona, *(name for name in self.circuits if name != self.persona)]
        masks = torch.stack([self.circuits[name] for name in names])
        count, randoms = len(names), self.config.randoms
        rivals = random_circuits(self.lens.wiring, int(masks[0].sum()), randoms, self.config.seed)
        lost = self._carried(torch.cat([masks, rivals]))
        whole, shares = lost[0].mean(), lost[1:].mean(1) / lost[0].mean()
        null = shares[count:]
        # Which random circuit is better is a matter of how near to 1 it comes, not of how far beyond.
        nearer = sum(abs(1 - each) <= abs(1 - shares[0]) for each in null)
        figures = {
            "faithfulness": Measured(
                value=float(shares[0]),
                interval=self._ratio(lost[1], lost[0]),
                null=ends(null),
                p=(1 + nearer) / (1 + randoms),
            )
        }
        if count > 1:
            apart = shares[0] - shares[1:count].mean()
            interval = self._ratio(lost[1] - lost[2 : count + 1].mean(0), lost[0])
            chance = [float(each) - float(null.mean()) for each in null]
            figures["specificity"] = Measured(value=float(apart), interval=interval, null=ends(chance))
        means = self._carried(masks[:1], "mean")
        if abs(whole) > 1e-6 and abs(means[0].mean()) > 1e-6:
            share = float(means[1].mean() / means[0].mean())
            figures["mean faithfulness"] = Measured(value=share, interval=self._ratio(means[1], means[0]))
        return figures

    def thorough(self, scores: Tensor) -> Figures:
        """The faithfulness curve's two areas and the circuit's completeness; takes long."""
        batch, kept = self.config.batch, self.circuits[self.persona]
        line = faithfulness.curve(self.lens, self.pairs, scores, batch=batch)
        lack = faithfulness.completeness(self.lens, self.pairs, kept, seed=self.config.seed, batch=batch)
        return {name: Measured(value=value) for name, value in (("CPR", line.cpr), ("CMD", line.cmd), ("lack", lack))}

    def residual(self, base: Subject) -> Figures:
        """The share of what training changed that no circuit of any persona recovers; nothing where it changed nothing."""
        named = torch.stack(list(self.circuits.values())).any(0)
        about: dict[str, Any] = {"batch": self.config.batch, "seed": self.config.seed, "report": self.report}
        try:
            found = drift.residual(base.lens, self.lens, self.pairs, named, randoms=self.config.randoms, **about)
        except NoShift as unmoved:
            self.report(f"{self.persona}: {unmoved}")
            return {}
        p = (1 + sum(each <= found.share for each in found.null)) / (1 + self.config.randoms)
        return {"residual": Measured(value=found.share, interval=found.interval, null=ends(found.null), p=p)}

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

    @torch.no_grad()
    def _by_prompt(self, ids: Tensor) -> Tensor:
        """Return m_p (items,) under the given prompts."""

        def work(few: slice) -> Tensor:
            return self.lens.behaviour(ids[few], self.pairs.weights[few]).cpu()

        return self.pairs.by_item(in_batches(len(ids), self.config.batch, work, self.report))

    def _carried(self, circuits: Tensor, ablation: faithfulness.Ablation = "patch") -> Array:
        """Return (1 + circuits, items): what everything carries beyond nothing, and what each circuit does."""
        all_ = self.lens.wiring.possible
        both = torch.cat([torch.stack([torch.zeros_like(all_), all_]), circuits])
        found = behaviours(
            self.lens, self.pairs, both, ablation=ablation, batch=self.config.batch, report=self.report
        ).numpy()
        lost: Array = found[1:] - found[:1]
        if ablation == "patch" and abs(lost[0].mean()) < 1e-6:
            raise LensError("the model behaves the same with and without the persona: there is no behaviour to explain")
        return lost

    def _mean(self, items: Tensor, null: Sequence[float], *, sizes: bool = False) -> Measured:
        """Return a mean over items; with `sizes`, p says how often the null is as great by magnitude."""
        mean = drift.mean_of(items, questions(self.pairs), self.config.seed)
        p = (1 + sum(abs(each) >= abs(mean.value) for each in null)) / (1 + len(null)) if sizes else None
        return Measured(value=mean.value, interval=mean.interval, null=ends(null), p=p)

    def _ratio(self, over: Array, under: Array) -> tuple[float, float]:
        """Return the 95 % interval of a ratio of means, by drawing items anew."""
        drawn = np.random.default_rng(self.config.seed).integers(len(under), size=(DRAWS, len(under)))
        return ends(over[drawn].sum(1) / under[drawn].sum(1))


def reliability(apart: Tensor, randoms: int, seed: int) -> Measured:
    """Return the cosine between vectors of two halves of the items, beside halves whose sides are swapped at random.

    Args:
        apart: (items, D), activations with the persona less those without.
        randoms: swappings.
        seed: of halves and swappings.
    """
    draw = np.random.default_rng(seed)

    def cosine(signs: Tensor) -> float:
        order = draw.permutation(len(apart))
        halves = [(signs * apart)[order[part::2]].mean(0) for part in (0, 1)]
        return float(torch.cosine_similarity(halves[0], halves[1], dim=0))

    own = [cosine(torch.ones(len(apart), 1)) for _ in range(100)]
    swapped = [cosine(torch.tensor(draw.choice([-1.0, 1.0], (len(apart), 1))).float()) for _ in range(randoms)]
    value = float(np.mean(own))
    p = (1 + sum(each >= value for each in swapped)) / (1 + randoms)
    return Measured(value=value, interval=ends(own), null=ends(swapped), p=p)


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


def questions(pairs: Pairs) -> list[str]:
    """Return a group for each item: questions are drawn one by one, since a quick audit has few templates."""
    return [str(place) for place in range(len(pairs))]


def ends(values: Sequence[float] | Array) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)
