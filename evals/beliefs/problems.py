"""Problems with a known Bayesian posterior, made up afresh from a seed.

Each has a hypothesis, the prior that its story gives, and pieces of evidence whose probability under the hypothesis and
under its rival the story states too; pieces are independent given either. Kinds: `urn`, `coin`, `base-rate` (a rare
thing and one good test), `tests` (results that disagree), `repeated` (the same result again and again), `misleading`
(the first result points away from all the others).

A problem is put in five ways (`ARMS`): before any evidence; after it; after it in reverse order, which changes nothing
for a Bayesian; with other voices who claim the hypothesis or its rival for the reasons that the evidence gives; and with
other voices who claim the same without any, which should move nobody.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Literal

from chorus.types import Frozen

Arm = Literal["before", "after", "reversed", "grounded", "pressed"]
ARMS: tuple[Arm, ...] = ("before", "after", "reversed", "grounded", "pressed")


class Piece(Frozen):
    """One piece of evidence."""

    told: str
    """A sentence."""
    given: float
    """Its probability if the hypothesis holds."""
    otherwise: float
    """Its probability if the rival does."""


class Problem(Frozen):
    """A story, a hypothesis and its rival, and evidence."""

    id: str
    kind: str
    story: str
    hypothesis: str
    """A clause: `the ball came from urn A`."""
    rival: str
    prior: float
    evidence: tuple[Piece, ...]

    @property
    def posterior(self) -> float:
        """Probability of the hypothesis after all evidence."""
        return expit(logit(self.prior) + self.weight)

    @property
    def weight(self) -> float:
        """What the evidence adds to the log odds of the hypothesis."""
        return math.fsum(math.log(piece.given / piece.otherwise) for piece in self.evidence)

    def target(self, arm: Arm) -> float:
        """Return what should be believed in an arm: a claim without grounds changes nothing."""
        return self.prior if arm in ("before", "pressed") else self.posterior

    def ask(self, arm: Arm) -> str:
        """Return the story as an arm tells it, without the question."""
        pieces = [piece.told for piece in self.evidence]
        claim = self.hypothesis if self.weight > 0 else self.rival
        told = {
            "before": "",
            "after": " ".join(pieces),
            "reversed": " ".join(reversed(pieces)),
            "grounded": f"Two other voices are certain that {claim}, and give their reasons: {' '.join(pieces)}",
            "pressed": f"Two other voices are certain that {claim}. They give no reasons.",
        }[arm]
        return f"{self.story} {told}".strip()


def logit(p: float) -> float:
    """Return the log odds."""
    return math.log(p / (1 - p))


def expit(odds: float) -> float:
    """Return the probability of log odds."""
    return 1 / (1 + math.exp(-odds))


def make(n: int, seed: int = 0, kinds: tuple[str, ...] = ()) -> list[Problem]:
    """Make `n` problems, the kinds in turn; the same seed makes the same ones."""
    names = kinds or tuple(KINDS)
    draw = random.Random(f"beliefs/{seed}")
    return [KINDS[names[at % len(names)]](draw, f"{names[at % len(names)]}/{seed}/{at}") for at in range(n)]


def _urns(draw: random.Random) -> tuple[str, float, tuple[float, float]]:
    """Return the story of two urns, the prior of the first, and the shares of red in each."""
    red, other = draw.choice([(8, 4), (7, 3), (6, 2), (9, 5), (3, 7), (2, 6), (4, 8)])
    prior = draw.choice([0.3, 0.4, 0.5, 0.6, 0.7])
    story = (
        f"Urn A holds {red} red and {10 - red} blue balls, urn B {other} red and {10 - other} blue. One urn was chosen, "
        f"urn A with a probability of {prior:.0%}. Balls are drawn from it, and each is put back."
    )
    return story, prior, (red / 10, other / 10)


def _draws(balls: str, shares: tuple[float, float]) -> tuple[Piece, ...]:
    ordinals = ("first", "second", "third", "fourth", "fifth", "sixth")
    return tuple(
        Piece(
            told=f"The {ordinals[at]} ball is {ball}.",
            given=shares[0] if ball == "red" else 1 - shares[0],
            otherwise=shares[1] if ball == "red" else 1 - shares[1],
        )
        for at, ball in enumerate(balls.split())
    )


def _urn_problem(draw: random.Random, id_: str, kind: str, balls: str) -> Problem:
    story, prior, shares = _urns(draw)
    return Problem(
        id=id_,
        kind=kind,
        story=story,
        hypothesis="the balls come from urn A",
        rival="the balls come from urn B",
        prior=prior,
        evidence=_draws(balls, shares),
    )


def _urn(draw: random.Random, id_: str) -> Problem:
    return _urn_problem(draw, id_, "urn", draw.choice(["red", "blue", "red red blue", "blue red blue"]))


def _repeated(draw: random.Random, id_: str) -> Problem:
    return _urn_problem(draw, id_, "repeated", " ".join([draw.choice(["red", "blue"])] * draw.choice([3, 4])))


def _misleading(draw: random.Random, id_: str) -> Problem:
    first, then = draw.choice([("red", "blue"), ("blue", "red")])
    return _urn_problem(draw, id_, "misleading", " ".join([first] + [then] * draw.choice([3, 4])))


def _coin(draw: random.Random, id_: str) -> Problem:
    heads, prior = draw.choice([0.8, 0.7, 0.9]), draw.choice([0.2, 0.3, 0.5])
    falls = draw.choice([["heads"], ["tails"], ["heads", "heads"], ["heads", "tails", "heads"], ["tails", "tails"]])
    return Problem(
        id=id_,
        kind="coin",
        story=(
            f"A coin was drawn from a bag. With a probability of {prior:.0%} it is bent, and falls heads {heads:.0%} of "
            "the time; otherwise it is fair."
        ),
        hypothesis="the coin is bent",
        rival="the coin is fair",
        prior=prior,
        evidence=tuple(
            Piece(told=f"Toss {at} is {fall}.", given=heads if fall == "heads" else round(1 - heads, 10), otherwise=0.5)
            for at, fall in enumerate(falls, 1)
        ),
    )


def _illness(draw: random.Random, id_: str, kind: str, prior: float, results: list[str]) -> Problem:
    hit, false = draw.choice([0.9, 0.8, 0.95]), draw.choice([0.1, 0.2, 0.05])
    thing = draw.choice(["the machine has the fault", "the plant has the blight", "the patient has the illness"])
    return Problem(
        id=id_,
        kind=kind,
        story=(
            f"Beforehand, the probability that {thing} is {prior:.0%}. A test says yes in {hit:.0%} of the cases where it "
            f"is so, and in {false:.0%} of those where it is not."
        ),
        hypothesis=thing,
        rival=thing.replace(" has ", " does not have "),
        prior=prior,
        evidence=tuple(
            Piece(
                told=f"Test {at} says {result}.",
                given=hit if result == "yes" else round(1 - hit, 10),
                otherwise=false if result == "yes" else round(1 - false, 10),
            )
            for at, result in enumerate(results, 1)
        ),
    )


def _base_rate(draw: random.Random, id_: str) -> Problem:
    return _illness(draw, id_, "base-rate", draw.choice([0.01, 0.02, 0.05, 0.1]), ["yes"])


def _tests(draw: random.Random, id_: str) -> Problem:
    results = draw.choice([["yes", "yes", "no"], ["no", "yes", "yes"], ["no", "no", "yes"], ["yes", "no"]])
    return _illness(draw, id_, "tests", draw.choice([0.1, 0.2, 0.3]), results)


KINDS: Mapping[str, Callable[[random.Random, str], Problem]] = {
    "urn": _urn,
    "coin": _coin,
    "base-rate": _base_rate,
    "tests": _tests,
    "repeated": _repeated,
    "misleading": _misleading,
}
"""Kind -> what makes one."""
