"""The decision: positions go in, one outcome with its support and its dissent comes out.

Pure functions over turns. A rule gives each side a weight in its own unit; what follows is the same for all: the
sides in order with their shares, the winner's confidence (its share, times the share of seats that took a position at
all), the strongest losing position in its own words, and how a tie was broken (the rule is `sides.best_first`). The
order of the turns and of the seats changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import fsum
from types import MappingProxyType

from chorus.debate import grade, ranked
from chorus.debate.sides import Side, Standing, best_first, position_of, stand
from chorus.errors import ConfigError
from chorus.types import AnswerKind, Decision, Dissent, Question, Support, Turn, TurnKind

CONFIDENCE_POWER = 4
"""A vote weighs its confidence to this power. Of the powers tried on the packaged model, weighting by the fourth power
of the mean token probability turned most of its right answers into right decisions."""

_SLACK = 1e-9
"""What a lead must exceed beyond the votes to come: more than rounding can move."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to decide."""

    name: str
    summary: str
    """One line for help texts."""
    unit: str
    """What a `Support.weight` counts under this rule."""
    needs: TurnKind | None
    """The kind of turn that has to be asked for before deciding; `None` when the speeches are enough."""
    count: Callable[[Standing], Decision] = field(repr=False)


def rule(name: str) -> Rule:
    """Return the rule of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in RULES:
        near = get_close_matches(name.lower(), RULES, n=2)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ConfigError(f"unknown decision rule {name[:80]!r}{hint} Known: {', '.join(RULES)}")
    return RULES[name]


def decide(name: str, question: Question, kind: AnswerKind, turns: Sequence[Turn], seats: Sequence[str]) -> Decision:
    """Decide over the newest position of every seat.

    Args:
        name: One of `RULES`.
        question: What was asked; its choices tell which answers are the same.
        kind: What sort of answer is compared.
        turns: The debate's turns in any order, unfinished debates included.
        seats: The seats that have a vote. One whose newest turn failed or gave no answer keeps its earlier position.

    Returns:
        The decision; its answer is `None` when there is nothing to decide over. A rule that lacks what it needs (no
        usable ruling, no synthesis, no unanimity) falls back to plurality and says so in `note`.

    Raises:
        ConfigError: There is no such rule.
    """
    return rule(name).count(stand(question, kind, turns, seats))


def unanimous(question: Question, kind: AnswerKind, turns: Sequence[Turn], seats: Sequence[str], round_: int) -> bool:
    """Tell whether every seat holds a position by this round, and all hold the same answer.

    Stricter than the rule `unanimity`, which is content with the seats that took a position: a debate should not end
    early because most of its voices have failed.
    """
    standing = stand(question, kind, [turn for turn in turns if turn.round <= round_], seats)
    return len(standing.sides) == 1 and len(standing.sides[0].turns) == len(standing.seats)


def settled(
    name: str,
    question: Question,
    kind: AnswerKind,
    turns: Sequence[Turn],
    seats: Sequence[str],
    final_round: int,
) -> bool:
    """Tell whether the winner stands, whatever the seats still to speak in the final round may say.

    Only `plurality` and `weighted` can be settled early. A seat has cast its vote once it has a turn in the final round,
    done or not (one that failed or was cancelled leaves its earlier position standing); each of the others may add one
    vote of weight 1 to any answer. A lead that could still become a tie does not settle anything.

    A voice without confidence weighs as the others do on average, which late votes can move anywhere from 0 to 1: the
    lead must hold at both ends, and as it is linear in that weight, it then holds in between.

    Raises:
        ConfigError: There is no such rule.
    """
    if rule(name).name not in ("plurality", "weighted"):
        return False
    spoken = {turn.seat for turn in turns if turn.kind == "speech" and turn.round == final_round}
    standing = stand(question, kind, turns, [seat for seat in seats if seat in spoken])
    if not standing.sides:
        return False
    tallies = [_votes(standing)] if name == "plurality" else [_weights(standing, 0.0), _weights(standing, 1.0)]
    leader = max(range(len(standing.sides)), key=tallies[0].__getitem__)
    pending = len(set(seats) - spoken)
    return all(
        tally[leader] - max((weight for i, weight in enumerate(tally) if i != leader), default=0.0) > pending + _SLACK
        for tally in tallies
    )


# ---- the rules -------------------------------------------------------------------------------------------------------


def _plurality(standing: Standing, name: str = "plurality", note: str | None = None) -> Decision:
    return _outcome(standing, name, _votes(standing), "votes", note=note)


def _weighted(standing: Standing) -> Decision:
    return _outcome(standing, "weighted", _weights(standing), "confidence^4")


def _borda(standing: Standing) -> Decision:
    ballots, note = _ballots(standing)
    return _outcome(
        standing, "borda", ranked.borda(ballots, len(standing.sides)), "points", note=note, voters=len(ballots)
    )


def _schulze(standing: Standing) -> Decision:
    """Numbers of wins say nothing of how close each win was, so the confidence is that of the closest comparison."""
    ballots, note = _ballots(standing)
    options = len(standing.sides)

    def sure(winner: int) -> float:
        return ranked.preferred(ballots, options, winner)

    weights = ranked.schulze(ballots, options) if options > 1 else [1.0] * options
    return _outcome(standing, "schulze", weights, "answers beaten", note=note, voters=len(ballots), sure=sure)


def _unanimity(standing: Standing) -> Decision:
    note = "the voices did not all agree: decided by plurality" if len(standing.sides) > 1 else None
    return _plurality(standing, "unanimity", note)


def _judge(standing: Standing) -> Decision:
    """The ruling stands even where no voice held its answer; the table shows the votes, the judge's answer first."""
    ruling = _last_of(standing, "ruling")
    position = position_of(ruling) if ruling else None
    if position is None:
        return _plurality(standing, "judge", "there is no usable ruling: decided by plurality")
    votes = _plurality(standing, "judge")
    place = standing.find(position.answer)
    answer = position.answer if place is None else standing.sides[place].answer
    row = next(
        (row for row in votes.support if row.answer == answer), Support(answer=answer, weight=0, share=0, seats=())
    )
    losing = tuple(other for other in votes.support if other is not row)
    confidence = row.share * standing.participation if position.confidence is None else position.confidence
    return Decision(
        rule="judge",
        answer=answer,
        confidence=confidence,
        support=(row, *losing),
        dissent=_dissent(standing, losing[0]) if losing else None,
    )


def _synthesis(standing: Standing) -> Decision:
    """The synthesis is the answer; the table shows the votes over the positions that it was made from."""
    turn = _last_of(standing, "synthesis")
    position = position_of(turn) if turn else None
    answer = position.answer if position else turn.text.strip() if turn else ""
    if not answer:
        return _plurality(standing, "synthesis", "there is no synthesis: decided by plurality")
    votes = _plurality(standing, "synthesis")
    confidence = position.confidence if position else None
    if confidence is None:
        known = _known(standing)
        confidence = fsum(known) / len(known) if known else votes.confidence
    losing = _unlike(standing, answer, votes.support)
    return Decision(
        rule="synthesis",
        answer=answer,
        confidence=_clip(confidence),
        support=votes.support,
        dissent=_dissent(standing, losing) if losing else None,
    )


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        one.name: one
        for one in (
            Rule("plurality", "one vote a seat, most votes win", "votes", None, _plurality),
            Rule("weighted", "votes weighed by confidence", "confidence^4", None, _weighted),
            Rule("borda", "ranked ballots, points for every answer ranked lower", "points", "ballot", _borda),
            Rule("schulze", "ranked ballots, answers compared two by two", "answers beaten", "ballot", _schulze),
            Rule("unanimity", "what all agree on, else plurality", "votes", None, _unanimity),
            Rule("judge", "one more voice rules after hearing all", "votes", "ruling", _judge),
            Rule("synthesis", "one more voice writes the answer out of all", "votes", "synthesis", _synthesis),
        )
    }
)
"""Every rule by name, in the order that help texts list them."""


# ---- their parts -----------------------------------------------------------------------------------------------------


def _outcome(
    standing: Standing,
    name: str,
    weights: Sequence[float],
    unit: str,
    *,
    note: str | None = None,
    voters: int | None = None,
    sure: Callable[[int], float] | None = None,
) -> Decision:
    """Make the decision that the weights of the sides lead to."""
    if not standing.sides:
        return Decision(rule=name, answer=None, confidence=0.0, note="no voice took a position")
    order, tie = best_first(standing, weights, unit)
    total = fsum(weights)
    support = tuple(_row(standing.sides[i], weights[i], total) for i in order)
    taking_part = standing.participation if voters is None else voters / len(standing.seats)
    return Decision(
        rule=name,
        answer=support[0].answer,
        confidence=_clip((sure(order[0]) if sure else support[0].share) * taking_part),
        support=support,
        dissent=_dissent(standing, support[1]) if len(support) > 1 else None,
        tie=tie,
        note=note,
    )


def _row(side: Side, weight: float, total: float) -> Support:
    return Support(answer=side.answer, weight=weight, share=weight / total if total else 0.0, seats=side.seats)


def _dissent(standing: Standing, row: Support) -> Dissent:
    """Let the surest voice of a losing side speak; of voices equally sure, the first by name of the seat."""
    place = standing.find(row.answer)
    turns = standing.sides[place or 0].turns
    surest = max(turns, key=lambda turn: -1.0 if turn.position is None else turn.position.confidence or 0.0)
    return Dissent(answer=row.answer, share=row.share, seats=row.seats, turn=surest.id, text=surest.text)


def _unlike(standing: Standing, answer: str, support: Sequence[Support]) -> Support | None:
    """Return the row that a synthesis left out.

    The strongest answer that is not the synthesis's own; or, where answers can only be read, the one that has the
    smallest share of its words in common with it (Jaccard index of the two sets of words).
    """
    if grade.comparable(standing.kind):
        return next((row for row in support if not standing.same(row.answer, answer)), None)
    words = _words(answer)
    unlike = [row for row in support if _words(row.answer) != words]
    return min(unlike, key=lambda row: _overlap(words, _words(row.answer)), default=None)


def _votes(standing: Standing) -> list[float]:
    return [float(len(side.turns)) for side in standing.sides]


def _weights(standing: Standing, unknown: float | None = None) -> list[float]:
    """Sum confidence^4 over each side. A voice without confidence weighs `unknown`: the mean of the others, else 1."""
    if unknown is None:
        known = [confidence**CONFIDENCE_POWER for confidence in _known(standing)]
        unknown = fsum(known) / len(known) if known else 1.0
    return [
        fsum(
            turn.position.confidence**CONFIDENCE_POWER
            if turn.position and turn.position.confidence is not None
            else unknown
            for turn in side.turns
        )
        for side in standing.sides
    ]


def _known(standing: Standing) -> list[float]:
    """Return the confidences of all positions that have one."""
    positions = (turn.position for side in standing.sides for turn in side.turns)
    return [one.confidence for one in positions if one and one.confidence is not None]


def _ballots(standing: Standing) -> tuple[list[ranked.Ballot], str | None]:
    """Collect one ballot a seat, and a note on the seats that gave none.

    Entries that are nobody's position are passed over, and so is a second mention; what a ballot leaves out is tied
    below what it names. A seat without a usable ballot counts as ranking its own position first and the rest tied.
    """
    cast = standing.newest("ballot")
    own = {seat: place for place, side in enumerate(standing.sides) for seat in side.seats}
    ballots, silent = [], 0
    for seat in standing.seats:
        position = position_of(cast[seat]) if seat in cast else None
        places = [standing.find(entry) for entry in (position.ranking if position else None) or ()]
        named = list(dict.fromkeys(place for place in places if place is not None))
        if not named and seat not in own:
            continue
        silent += not named
        named = named or [own[seat]]
        rest = [place for place in range(len(standing.sides)) if place not in named]
        ballots.append([*([place] for place in named), *([rest] if rest else [])])
    note = (
        f"{silent} of {len(ballots)} seats gave no usable ballot: each counts for its own position" if silent else None
    )
    return ballots, note


def _last_of(standing: Standing, kind: TurnKind) -> Turn | None:
    """Return the newest finished turn of a kind, whoever spoke it."""
    return max(standing.newest(kind).values(), key=lambda turn: (turn.round, turn.id), default=None)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / max(len(a | b), 1)


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))
