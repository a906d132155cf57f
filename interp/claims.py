"""When a model may be said to have a persona: every test must pass, each against a null of its own.

A claim is opened in this order, and ends at the first test that fails, so that nothing is looked for where there is
nothing: does the persona's prompt move the behaviour more than placebo prompts do; does a small circuit, found on some
questions, carry it on others; does it do so better than random circuits as large; is it found again on other
questions. Under the first test alone, a persona that is no different from its placebos passes with probability
`alpha`, since its rank among them is as good as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from interp.activations import in_batches
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.errors import LensError
from interp.faithfulness import faithfulness, random_circuits, stability
from interp.graph import strongest
from interp.pairs import Pairs


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a claim must pass."""

    alpha: float = 0.05
    """The effect's rank among placebos, as a share; also the share of random circuits that may be as faithful."""
    effect: float = 0.1
    """Least change of the behaviour by the persona's prompt, in nats a token, by magnitude."""
    share: float = 0.05
    """The circuit's size, as a share of all edges."""
    faithfulness: tuple[float, float] = (0.8, 1.2)
    """On questions that it was not found on."""
    jaccard: float = 0.5
    """Least mean overlap of circuits found on halves of these questions."""
    pairs: int = 8
    """Least number of items; half find the circuit, half test it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What was found, and whether it stands."""

    stands: bool
    failed: str
    """The first test that failed: `effect`, `placebo`, `faithfulness`, `random circuits`, `stability`; or empty."""
    figures: dict[str, float] = field(default_factory=dict)
    """Everything that was measured up to there."""
    kept: Tensor | None = None
    """(W, R), the circuit, when one was looked for."""


def examine(
    lens: Lens, pairs: Pairs, placebos: Sequence[Pairs], *, thresholds: Thresholds | None = None, seed: int = 0
) -> Claim:
    """Test the claim that the model has this persona.

    Args:
        lens: the model.
        pairs: with and without the persona.
        placebos: the same with prompts that mean nothing to the model; at least 1 / alpha - 1 of them.
        thresholds: the default ones unless given.
        seed: of splits and draws.

    Raises:
        LensError: too few pairs or placebos for the thresholds.
    """
    limits = thresholds or Thresholds()
    if len(pairs) < limits.pairs:
        raise LensError(f"{len(pairs)} pairs are too few to claim anything: at least {limits.pairs} are needed")
    if (1 + len(placebos)) * limits.alpha < 1:
        raise LensError(f"{len(placebos)} placebos can't show a share of {limits.alpha}: more are needed")
    effect, *others = mean_effects(lens, [pairs, *placebos]).tolist()
    figures = {"effect": effect}
    if abs(effect) < limits.effect:
        return Claim(False, "effect", figures)
    beaten = sum(abs(other) >= abs(effect) for other in others)
    figures["p_placebo"] = (1 + beaten) / (1 + len(placebos))
    if figures["p_placebo"] > limits.alpha:
        return Claim(False, "placebo", figures)

    discover, test = halves(pairs, seed)
    scores = eap_ig(lens, discover)
    size = max(1, round(limits.share * lens.wiring.edges))
    kept = strongest(lens.wiring, scores.mean(0), size)
    rivals = random_circuits(lens.wiring, size, round(1 / limits.alpha) - 1, seed)
    found = faithfulness(lens, test, torch.cat([kept[None], rivals]))
    figures["faithfulness"] = float(found[0])
    figures["p_random"] = float((1 + (found[1:] >= found[0]).sum()) / len(found))
    low, high = limits.faithfulness
    if not low <= figures["faithfulness"] <= high:
        return Claim(False, "faithfulness", figures, kept)
    if figures["p_random"] > limits.alpha + 1e-9:
        return Claim(False, "random circuits", figures, kept)
    again = stability(lens.wiring, scores, discover.groups, size, randoms=len(rivals), seed=seed)
    figures |= {"jaccard": again.value, "p_jaccard": again.p}
    stands = again.value >= limits.jaccard and again.p <= limits.alpha + 1e-9
    return Claim(stands, "" if stands else "stability", figures, kept)


@torch.no_grad()
def mean_effects(lens: Lens, each: Sequence[Pairs], batch: int = 512) -> Tensor:
    """Return for each set of pairs, all laid out alike, how much its prompts raise the behaviour, in nats a token."""
    ids = torch.cat([torch.stack([pairs.clean, pairs.corrupt]) for pairs in each]).flatten(0, 1)
    weights = torch.cat([torch.stack([pairs.weights, -pairs.weights]) for pairs in each]).flatten(0, 1)
    rows = in_batches(len(ids), batch, lambda few: lens.behaviour(ids[few], weights[few]).cpu())
    return rows.reshape(len(each), -1).sum(1) / torch.tensor([len(pairs) for pairs in each])


def halves(pairs: Pairs, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Split items into two halves of whole groups: one to find a circuit on, one to test it on.

    Raises LensError when all items are of one group.
    """
    names = sorted(set(pairs.groups))
    if len(names) < 2:
        raise LensError("all pairs are of one group: nothing is left to test on")
    order = np.random.default_rng(seed).permutation(len(names))
    first = {names[place] for place in order[: len(names) // 2]}
    split = [[place for place, name in enumerate(pairs.groups) if (name in first) == side] for side in (True, False)]
    return pairs.take(split[0]), pairs.take(split[1])
