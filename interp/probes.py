"""Can the persona be read from activations, and is that more than reading the words?

A probe is a logistic regression, tested on groups (questions) that it was not trained on. Its AUROC alone says little, so
four others stand beside it: with control labels (Hewitt & Liang 2019) what the probe can memorise; from surface features
what the text gives away; with labels swapped at random within groups what chance gives; and from an untrained model what
the architecture gives. p-values of many layers and personas go through Holm together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp.errors import LensError

Array = NDArray[np.float64]

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found, with its nulls."""

    auroc: float
    selectivity: float
    """AUROC less that of the same probe on control labels."""
    surface: dict[str, float]
    """AUROC from each kind of surface feature."""
    gain: float
    """AUROC less the best from surface features."""
    p: float
    """Share of random relabellings at least as good, counting the true one. Not yet corrected: see `holm`."""
    untrained: float | None
    """AUROC on an untrained model's activations; None when there were none."""


def probe(
    features: Array,
    labels: Array,
    groups: Sequence[str],
    *,
    surface: Mapping[str, Array] | None = None,
    untrained: Array | None = None,
    permutations: int = 100,
    seed: int = 0,
) -> Probe:
    """Probe activations (N, D) for a binary label (N,).

    Args:
        features: what is probed.
        labels: 1 with the persona, 0 without.
        groups: one a row. A group's rows are trained on or tested on together, and labels are swapped within it.
        surface: other features of the same rows, (N, F) each: bag of words, embeddings alone, length alone.
        untrained: (N, D), the same activations of a model with random weights.
        permutations: random relabellings.
        seed: of folds and relabellings.

    Raises:
        LensError: fewer groups than folds, or a group that lacks one of the labels.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = codes.max() + 1
    if count < FOLDS:
        raise LensError(f"{count} different questions are too few for a probe: at least {FOLDS} are needed")
    if any(len(set(labels[codes == code])) < 2 for code in range(count)):
        raise LensError("each question must be there with the persona and without it")
    generator = np.random.default_rng(seed)

    def shuffled() -> Array:
        swapped = generator.random(count) < 0.5
        return np.where(swapped[codes], 1 - labels, labels)

    found = auroc(features, labels, codes)
    null = [auroc(features, shuffled(), codes) for _ in range(permutations)]
    others = {name: auroc(each, labels, codes) for name, each in (surface or {}).items()}
    return Probe(
        found,
        found - float(np.mean(null)) if null else found - 0.5,
        others,
        found - max(others.values(), default=0.5),
        (1 + sum(each >= found for each in null)) / (1 + permutations),
        None if untrained is None else auroc(untrained, labels, codes),
    )


def auroc(features: Array, labels: Array, codes: NDArray[np.intp]) -> float:
    """Return the AUROC of held-out scores, each row scored by a probe that saw none of its group."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    scores = cross_val_predict(model, features, labels, groups=codes, cv=GroupKFold(FOLDS), method="decision_function")
    return float(roc_auc_score(labels, scores))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number by Holm's step-down method (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    return dict(zip(p, map(float, multipletests(list(p.values()), method="holm")[1]), strict=True))
