"""What happened inside: who changed to what, what was lost, how unlike the drafts were, and whose vote helped.

Everything is counted over the outcomes of one system. A flip is a seat that held one answer and now holds another; a
turn that gives no answer leaves the seat where it was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from evals import recount, stats
from evals.outcomes import Draft, Outcome
from evals.stats import Interval


@dataclass(frozen=True, slots=True)
class Flips:
    """What the seats made of their answers in one round."""

    round: int
    kept_right: int = 0
    kept_wrong: int = 0
    """The same wrong answer as before."""
    to_right: int = 0
    """From a wrong answer to the right one."""
    to_wrong: int = 0
    """From the right answer to a wrong one."""
    among_wrong: int = 0
    """From a wrong answer to another one."""


@dataclass(frozen=True, slots=True)
class Conformity:
    """What seats did in one round that had heard most others hold another answer than theirs."""

    round: int
    outvoted: int
    """How often a seat held another answer than the one that most of those it heard held; ties count for nobody."""
    yielded: int
    """Took the answer that most held."""
    yielded_right: int
    """… and that answer was right."""
    kept: int
    """Stayed with its own."""
    elsewhere: int
    """Went to a third answer."""
    flips: int
    """All changes of mind in this round, those included that had no clear majority before them."""
    away: int
    """Changes from the answer that most held to another."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Where right answers went."""

    outcomes: int
    drafted: int
    """Outcomes with the right answer among the first drafts."""
    pooled: int
    """… or said by any voice at any time."""
    decided: int
    """Outcomes that were right in the end."""
    lost: int
    """Said by a voice and not decided for."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """How unlike the first drafts of a question are, on average."""

    drafts: float
    """First drafts a question."""
    distinct: float
    """Distinct answers among them."""
    entropy: float
    """Of the answers' shares, in bits."""
    silent: float
    """Share of first drafts without an answer."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What a persona's vote was worth: accuracy with it less accuracy without it, the vote being counted again."""

    persona: str
    right: float
    """Share of its last positions that were right."""
    gain: Interval
    """Mean over the questions, a bootstrap interval around it."""
    p: float
    """Exact, two-sided: see `stats.flip_test`."""
    holm: float
    """The same, adjusted over the personas."""

    @property
    def clear(self) -> bool:
        """Whether the adjusted test and the interval both tell it from nothing."""
        return self.holm < stats.ALPHA and 0.0 not in self.gain


def flips(outcomes: Sequence[Outcome]) -> list[Flips]:
    """Return the flip matrix of every round after the first."""
    counts: dict[int, Counter[str]] = {}
    for outcome in outcomes:
        for before, after in _moves(outcome):
            name = _move(before.side == outcome.right, after.side == outcome.right, before.side == after.side)
            counts.setdefault(after.round, Counter())[name] += 1
    return [Flips(number, **counts[number]) for number in sorted(counts)]


def conformity(outcomes: Sequence[Outcome]) -> list[Conformity]:
    """Return, for every round after the first, how seats answered to being outvoted by what they heard."""
    counts: dict[int, Counter[str]] = {}
    for outcome in outcomes:
        said = {one.turn: one for one in recount.spoken(outcome)}
        for before, after in _moves(outcome):
            seen = counts.setdefault(after.round, Counter())
            flipped = before.side != after.side
            seen["flips"] += flipped
            most = _plurality([said[one].side for one in after.heard if one in said and said[one].seat != after.seat])
            if most is not None and before.side == most:
                seen["away"] += flipped
            elif most is not None:
                seen["outvoted"] += 1
                seen["yielded"] += after.side == most
                seen["yielded_right"] += after.side == most == outcome.right
                seen["kept"] += not flipped
                seen["elsewhere"] += flipped and after.side != most
    names = ("outvoted", "yielded", "yielded_right", "kept", "elsewhere", "flips", "away")
    return [Conformity(number, *(counts[number][name] for name in names)) for number in sorted(counts)]


def pool(outcomes: Sequence[Outcome]) -> Pool:
    """Return how often the right answer was among what was said, and how often it was lost."""
    drafted = pooled = lost = 0
    for outcome in outcomes:
        voices = [one for one in recount.spoken(outcome) if one.side == outcome.right]
        drafted += any(one.round == 1 for one in voices)
        pooled += bool(voices)
        lost += bool(voices) and not outcome.correct
    return Pool(len(outcomes), drafted, pooled, sum(one.correct for one in outcomes), lost)


def diversity(outcomes: Sequence[Outcome]) -> Diversity:
    """Return how unlike the first drafts are."""
    drafts = [recount.first_drafts(one) for one in outcomes]
    total = sum(map(len, drafts))
    counts = [Counter(draft.side for draft in of if draft.side is not None) for of in drafts]
    number = max(len(outcomes), 1)
    return Diversity(
        drafts=total / number,
        distinct=sum(map(len, counts)) / number,
        entropy=math.fsum(_entropy(list(count.values())) for count in counts) / number,
        silent=1 - sum(count.total() for count in counts) / total if total else 0.0,
    )


def credits(outcomes: Sequence[Outcome], seed: int = 0) -> list[Credit]:
    """Return each persona's leave-one-out credit, best first; of one with several seats, the mean over them.

    Empty where there is only one seat to leave out.
    """
    gains: dict[str, dict[tuple[str, str], list[float]]] = {}
    rights: dict[str, list[bool]] = {}
    for outcome in outcomes:
        last = recount.held(outcome)
        seats = {one.seat: one.persona for one in outcome.drafts if one.kind == "speech"}
        if len(seats) < 2:
            continue
        whole = _right(outcome, seats)
        for seat, persona in seats.items():
            without = _right(outcome, [other for other in seats if other != seat])
            gains.setdefault(persona, {}).setdefault((outcome.task, outcome.question), []).append(whole - without)
            rights.setdefault(persona, []).append(seat in last and last[seat].side == outcome.right)
    p_values = [stats.flip_test(_exact(of)) for of in gains.values()]
    found = [
        Credit(persona, sum(rights[persona]) / len(rights[persona]), stats.mean([_means(of)], seed), p, holm)
        for (persona, of), p, holm in zip(gains.items(), p_values, stats.holm(p_values), strict=True)
    ]
    return sorted(found, key=lambda one: (-one.gain.value, one.persona))


def _moves(outcome: Outcome) -> Iterator[tuple[Draft, Draft]]:
    """Yield what a seat held and what it then gave, for each later speech with an answer."""
    newest: dict[str, Draft] = {}
    for one in sorted(recount.spoken(outcome), key=lambda one: one.round):
        if one.seat in newest:
            yield newest[one.seat], one
        newest[one.seat] = one


def _move(was: bool, now: bool, same: bool) -> str:
    if same:
        return "kept_right" if now else "kept_wrong"
    return "to_right" if now else "to_wrong" if was else "among_wrong"


def _plurality(sides: Sequence[int | None]) -> int | None:
    """Return the side that more of these hold than any other; None where there is none."""
    ranked = Counter(side for side in sides if side is not None).most_common(2)
    return ranked[0][0] if ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) else None


def _entropy(counts: Sequence[int]) -> float:
    total = sum(counts)
    return -math.fsum(count / total * math.log2(count / total) for count in counts) + 0.0


def _right(outcome: Outcome, seats: Sequence[str] | dict[str, str]) -> float:
    answer = recount.decided(outcome, seats).answer
    return float(outcome.right is not None and answer == outcome.answers[outcome.right])


def _exact(of: dict[tuple[str, str], list[float]]) -> list[Fraction]:
    return [sum(map(Fraction, values), Fraction()) / len(values) for values in of.values()]


def _means(of: dict[tuple[str, str], list[float]]) -> list[float]:
    return [math.fsum(values) / len(values) for values in of.values()]
