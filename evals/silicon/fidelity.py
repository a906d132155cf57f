"""How well simulated people stand for the real ones: scores over pairs of a person and their simulation.

Of each person there is the option that they chose, and of the simulation a distribution over the options: one option
surely where it was sampled, the model's probabilities where these were read, nothing where it refused. Scores are over
the pairs that have both; refusals are a score of their own. None stands where a score can't be had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import optimize, special, stats

MIN_CELL = 20
"""People that a subgroup needs for its error to be told."""
MAX_RHO = 0.9999
"""Beyond it a correlation is taken to be 1: the table has an empty cell."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Real people and their simulations, person by person."""

    truth: Sequence[int]
    """The option that each person chose."""
    said: Sequence[Sequence[float] | None]
    """What each simulation said, as a distribution over the options; None: it refused."""
    options: int
    groups: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Trait -> each person's value of it."""

    def kept(self, where: Sequence[int] | None = None) -> tuple[Array, Array]:
        """Return the truth and what was said as one row a pair, (n, options) both, of those that have both."""
        places = range(len(self.truth)) if where is None else where
        both = [at for at in places if self.said[at] is not None]
        truth = np.eye(self.options)[[self.truth[at] for at in both]] if both else np.zeros((0, self.options))
        return truth, np.array([self.said[at] for at in both], dtype=float).reshape(len(both), self.options)

    def drawn(self, where: Sequence[int]) -> Pairs:
        """Return the pairs at these places."""
        groups = {name: [values[at] for at in where] for name, values in self.groups.items()}
        return Pairs([self.truth[at] for at in where], [self.said[at] for at in where], self.options, groups)


def marginal_error(pairs: Pairs) -> float | None:
    """Return the total variation distance between the two marginals: the share of answers that would have to move."""
    truth, said = pairs.kept()
    return None if not len(truth) else float(np.abs(truth.mean(0) - said.mean(0)).sum() / 2)


def jensen_shannon(pairs: Pairs) -> float | None:
    """Return the Jensen-Shannon divergence of the marginals in bits: 0 alike, 1 without anything in common."""
    truth, said = pairs.kept()
    if not len(truth):
        return None
    ours, theirs = truth.mean(0), said.mean(0)
    middle = (ours + theirs) / 2
    return float((stats.entropy(ours, middle, base=2) + stats.entropy(theirs, middle, base=2)) / 2)


def agreement(pairs: Pairs) -> float | None:
    """Return the share of people whose simulation says what they said (its probability of it, on average)."""
    truth, said = pairs.kept()
    return None if not len(truth) else float((truth * said).sum(1).mean())


def tetrachoric(pairs: Pairs) -> float | None:
    """Return the maximum-likelihood tetrachoric correlation of two options (Olsson 1979).

    It is the correlation of the two normal variables whose cuts would give the 2 x 2 table. Thresholds and correlation
    are as many as the table has free cells, so at the maximum the margins are met, and the cell fixes the correlation.
    An empty cell puts the maximum at 1 or -1; a constant margin leaves it undefined (None).
    """
    if pairs.options != 2:
        return None
    truth, said = pairs.kept()
    table = truth.T @ said
    total = table.sum()
    if total == 0 or min(*table.sum(0), *table.sum(1)) <= 1e-12 * total:
        return None
    table = table / total
    if min(table[0, 0], table[1, 1]) == 0:
        return -1.0
    if min(table[0, 1], table[1, 0]) == 0:
        return 1.0
    first, second = map(float, stats.norm.ppf([table[0].sum(), table[:, 0].sum()]))

    def excess(rho: float) -> float:
        return bivariate_normal(first, second, rho) - float(table[0, 0])

    if excess(-MAX_RHO) >= 0:
        return -1.0
    return 1.0 if excess(MAX_RHO) <= 0 else float(optimize.brentq(excess, -MAX_RHO, MAX_RHO, xtol=1e-6))


def bivariate_normal(a: float, b: float, rho: float) -> float:
    """Return P(X < a, Y < b) of standard normal variables with correlation `rho`, in (-1, 1), to about 1e-9.

    By Plackett's identity (1954) it is that of independent ones plus the integral of the density over the correlation,
    here over its arcsine, by Gauss and Legendre.
    """
    angle = math.asin(rho)
    theta = angle / 2 * (_NODES + 1)
    density = np.exp(-(a * a + b * b - 2 * a * b * np.sin(theta)) / (2 * np.cos(theta) ** 2))
    part = float(_WEIGHTS @ density) * angle / 2 / (2 * math.pi)
    return float(special.ndtr(a) * special.ndtr(b)) + part


def cramers_v(table: Array) -> float | None:
    """Return Cramér's V of a table of counts; None where a margin is constant."""
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape, default=0) < 2:
        return None
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    chi2 = float(((table - expected) ** 2 / expected).sum())
    return math.sqrt(chi2 / (float(table.sum()) * (min(table.shape) - 1)))


def association_gap(pairs: Pairs) -> float | None:
    """Return how far the Cramér's-V matrices of people and simulations lie apart: the mean over traits of the gap.

    The matrices hold the traits against the answer. The traits among themselves are the same in both, and are left
    out: they would only make the gap look small.
    """
    gaps = []
    for values in pairs.groups.values():
        cells = sorted({value for value in values if value is not None})
        places = [at for at, value in enumerate(values) if value is not None and pairs.said[at] is not None]
        if not places:
            continue
        member = np.array([[values[at] == cell for cell in cells] for at in places], dtype=float)
        truth, said = pairs.kept(places)
        ours, theirs = cramers_v(member.T @ truth), cramers_v(member.T @ said)
        if ours is not None:
            gaps.append(abs(ours - (theirs or 0.0)))
    return float(np.mean(gaps)) if gaps else None


def variance_ratio(pairs: Pairs) -> float | None:
    """Return how varied the simulations are as a group, over how varied people are: below 1 they are too alike.

    Variety is 1 - sum of squared shares (Gini-Simpson) of what is said.
    """
    truth, said = pairs.kept()
    if not len(truth):
        return None
    ours = 1 - float((truth.mean(0) ** 2).sum())
    return (1 - float((said.mean(0) ** 2).sum())) / ours if ours > 0 else None


def subgroups(pairs: Pairs) -> dict[str, float]:
    """Return the marginal error in every subgroup that has enough people."""
    found = {}
    for name, values in pairs.groups.items():
        for cell in sorted({value for value in values if value is not None}):
            places = [at for at, value in enumerate(values) if value == cell]
            truth, said = pairs.kept(places)
            if len(truth) >= MIN_CELL:
                found[f"{name}: {cell}"] = float(np.abs(truth.mean(0) - said.mean(0)).sum() / 2)
    return found


def worst_subgroup(pairs: Pairs) -> float | None:
    """Return the largest marginal error of any subgroup that has enough people."""
    return max(subgroups(pairs).values(), default=None)


def refusals(pairs: Pairs) -> float | None:
    """Return the share of simulations that said none of the options."""
    return sum(one is None for one in pairs.said) / len(pairs.said) if pairs.said else None


SCORES: Mapping[str, Callable[[Pairs], float | None]] = {
    "marginal error": marginal_error,
    "Jensen-Shannon (bits)": jensen_shannon,
    "agreement": agreement,
    "tetrachoric": tetrachoric,
    "Cramér's V gap": association_gap,
    "variance ratio": variance_ratio,
    "worst subgroup": worst_subgroup,
    "refusals": refusals,
}
"""Every score by its heading."""


def interval(
    pairs: Pairs, score: Callable[[Pairs], float | None], *, seed: int = 0, draws: int = 200
) -> tuple[float, float] | None:
    """Return the 95% bootstrap interval of a score over people; None where it can't be had in most draws."""
    rng, n = np.random.default_rng(seed), len(pairs.truth)
    scored = [score(pairs.drawn(list(rng.integers(0, n, n)))) for _ in range(draws)] if n else []
    found = [one for one in scored if one is not None]
    if len(found) < 0.9 * draws:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
