"""Can the persona be read from activations, and is that more than reading the words?

A probe is a logistic regression, tested on questions, or on wordings of the prompt, that it was not trained on. Its AUROC
alone says little, so others stand beside it: with control labels, which are swapped at random within groups, what such a
probe makes of nothing (selectivity is what it has beyond that; unlike in Hewitt & Liang 2019 no question is met again in
the test, so it can't say what is memorised); from surface features what the text gives away; and from an untrained model
what the architecture gives. p-values of many layers and personas go through Holm together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp.errors import LensError

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
Interval = tuple[float, float]

FOLDS = 5
DRAWS = 1000
"""Of groups, for an interval."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found, with its nulls. Intervals are of 95 %, by drawing groups anew."""

    auroc: float
    interval: Interval
    null: tuple[float, ...]
    """AUROC of random relabellings."""
    selectivity: float
    """AUROC less the mean of that of the same probe on control labels."""
    surface: dict[str, float]
    """AUROC from each kind of surface feature."""
    gain: float
    """AUROC less the best from surface features."""
    gain_interval: Interval
    p: float
    """Share of random relabellings at least as good, counting the true one. Not yet corrected: see `holm`."""
    untrained: float | None
    """AUROC on an untrained model's activations; None when there were none."""
    untrained_interval: Interval | None
    """Of the difference to it."""


def probe(
    features: Array,
    labels: Array,
    groups: Sequence[str],
    *,
    held: Sequence[str] | None = None,
    surface: Mapping[str, Array] | None = None,
    untrained: Array | None = None,
    permutations: int = 100,
    seed: int = 0,
) -> Probe:
    """Probe activations (N, D) for a binary label (N,).

    Args:
        features: what is probed.
        labels: 1 with the persona, 0 without.
        groups: one a row. Labels are swapped and rows drawn by whole groups: questions.
        held: one a row: rows of one kind, such as a wording of the prompt, are trained on or tested on together. None
            means the groups.
        surface: other features of the same rows, (N, F) each: bag of words, embeddings alone, length alone.
        untrained: (N, D), the same activations of a model with random weights.
        permutations: random relabellings.
        seed: of relabellings and draws.

    Raises:
        LensError: fewer groups than folds, or a group that lacks one of the labels.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    kinds = codes if held is None else np.unique(np.asarray(held), return_inverse=True)[1]
    count = int(codes.max()) + 1
    if (fewest := min(count, int(kinds.max()) + 1)) < FOLDS:
        raise LensError(f"{fewest} different questions are too few for a probe: at least {FOLDS} are needed")
    if any(len(set(labels[codes == code])) < 2 for code in range(count)):
        raise LensError("each question must be there with the persona and without it")
    generator = np.random.default_rng(seed)

    def shuffled() -> Array:
        swapped = generator.random(count) < 0.5
        return np.where(swapped[codes], 1 - labels, labels)

    scorer = held_out(features, kinds)
    controls = [shuffled() for _ in range(permutations)]
    null = [_area(scorer(each), each) for each in controls]
    weights = np.stack(
        [np.bincount(drawn, minlength=count) for drawn in generator.integers(count, size=(DRAWS, count))]
    )
    rows = np.concatenate([np.ones((1, len(labels))), weights[:, codes]])  # First the rows as they are.

    def areas(scores: Array) -> Array:
        return _areas(scores, labels, rows)

    own = areas(scorer(labels))
    others = {name: areas(held_out(each, kinds)(labels)) for name, each in (surface or {}).items()}
    best = max(others.values(), key=lambda each: float(each[0]), default=np.full(len(rows), 0.5))
    blank = None if untrained is None else areas(held_out(untrained, kinds)(labels))
    found = float(own[0])
    return Probe(
        found,
        _middle(own[1:]),
        tuple(null),
        found - float(np.mean(null)) if null else found - 0.5,
        {name: float(each[0]) for name, each in others.items()},
        found - float(best[0]),
        _middle((own - best)[1:]),
        (1 + sum(each >= found for each in null)) / (1 + permutations),
        None if blank is None else float(blank[0]),
        None if blank is None else _middle((own - blank)[1:]),
    )


def held_out(features: Array, kinds: Codes) -> Callable[[Array], Array]:
    """Return what gives rows (N,) scores for labels (N,), each by a probe that saw no row of its kind.

    What doesn't hang on the labels is done once. A penalised probe lies in the space of the rows that it is fitted on,
    so turning features into as many coordinates as there are such rows changes no score.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    parts = []
    for fitted, tested in GroupKFold(FOLDS).split(features, groups=kinds):
        scaler = StandardScaler().fit(features[fitted])
        near, far = scaler.transform(features[fitted]), scaler.transform(features[tested])
        if near.shape[1] > len(near):
            turn = np.linalg.svd(near, full_matrices=False)[2].T
            near, far = near @ turn, far @ turn
        parts.append((fitted, tested, near, far))

    def scores(labels: Array) -> Array:
        found = np.empty(len(labels))
        for fitted, tested, near, far in parts:
            model = LogisticRegression(C=0.1, max_iter=500, tol=1e-6).fit(near, labels[fitted])
            found[tested] = model.decision_function(far)
        return found

    return scores


def auroc(features: Array, labels: Array, codes: Codes) -> float:
    """Return the AUROC of held-out scores, each row scored by a probe that saw none of its group."""
    return _area(held_out(features, codes)(labels), labels)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number by Holm's step-down method (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    return dict(zip(p, map(float, multipletests(list(p.values()), method="holm")[1]), strict=True))


def _area(scores: Array, labels: Array) -> float:
    return float(_areas(scores, labels, np.ones((1, len(labels))))[0])


def _areas(scores: Array, labels: Array, weights: Array) -> Array:
    """Return the AUROC (draws,) for each weighting (draws, N) of the rows: the share of pairs in the right order."""
    on, off = labels == 1, labels == 0
    ahead = np.sign(scores[on][:, None] - scores[off]) / 2 + 0.5  # A tie is half right.
    right = np.einsum("dp,pn,dn->d", weights[:, on], ahead, weights[:, off], optimize=True)
    found: Array = right / (weights[:, on].sum(1) * weights[:, off].sum(1))
    return found


def _middle(values: Array) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
