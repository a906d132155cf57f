"""The decision: positions go in, one outcome with its support and its dissent comes out.

Pure functions over turns, called after every turn for the live support and once more at the end. `sides` groups the
positions, a rule gives each side a weight in its own unit, and `verdict` makes the decision of it: support, confidence,
dissent. The tie rule is `sides.best_first`. The order of the turns and of the seats changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import fsum
from types import MappingProxyType

from chorus.debate import checked, guarded, ranked
from chorus.debate.sides import Standing, position_of, stand
from chorus.debate.verdict import clip, dissent, outcome, unlike
from chorus.errors import ConfigError
from chorus.types import AnswerKind, Decision, Plan, Question, Support, Turn, TurnKind

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

    @property
    def asks_every_voice(self) -> bool:
        """Whether every voice is asked about the answers on the table; where all agree, none is."""
        return self.needs in ("ballot", "check")


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
        usable ruling, no synthesis, no check, no unanimity) falls back to plurality and says so in `note`.

    Raises:
        ConfigError: There is no such rule.
    """
    return rule(name).count(stand(question, kind, turns, seats))


def electorate(plan: Plan, turns: Sequence[Turn]) -> list[str]:
    """Return the seats that have a vote: all, unless the gate answered and the others were never asked."""
    seats = [seat.seat for seat in plan.seats]
    if plan.gate is None:
        return seats
    asked = {turn.seat for turn in turns if turn.kind == "speech"}
    return [seat for seat in seats if seat in plan.gate.seats] if asked <= set(plan.gate.seats) else seats


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

    Only `plurality` and `weighted` can be settled early. A seat has cast its vote once it has a turn in the final
    round, done or not (one that failed or was cancelled leaves its earlier position standing); each of the others may
    add one vote of weight 1 to any answer. A lead that could still become a tie does not settle anything.

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
    return outcome(standing, name, _votes(standing), "votes", note=note)


def _weighted(standing: Standing) -> Decision:
    return outcome(standing, "weighted", _weights(standing), "confidence")


def _surest(standing: Standing) -> Decision:
    """The one most confident voice is taken at its word: how many others agree with it counts for nothing."""
    if not _known(standing):
        return _plurality(standing, "surest", "no voice said how sure it is: decided by plurality")
    surest = [max(turn.position.confidence or 0.0 for turn in side.turns if turn.position) for side in standing.sides]
    return outcome(standing, "surest", surest, "confidence", voters=len(standing.seats), sure=surest.__getitem__)


def _borda(standing: Standing) -> Decision:
    ballots, note = _ballots(standing)
    points = ranked.borda(ballots, len(standing.sides))
    return outcome(standing, "borda", points, "points", note=note, voters=len(ballots))


def _schulze(standing: Standing) -> Decision:
    """Numbers of wins say nothing of how close each win was, so the confidence is that of the closest comparison."""
    ballots, note = _ballots(standing)
    options = len(standing.sides)

    def sure(winner: int) -> float:
        return ranked.preferred(ballots, options, winner)

    beaten = ranked.schulze(ballots, options)
    return outcome(standing, "schulze", beaten, "answers beaten", note=note, voters=len(ballots), sure=sure)


def _unanimity(standing: Standing) -> Decision:
    note = "the voices did not all agree: decided by plurality" if len(standing.sides) > 1 else None
    return _plurality(standing, "unanimity", note)


def _judge(standing: Standing) -> Decision:
    """The ruling stands even where no voice held its answer; the table shows the votes, the judge's answer first."""
    positions = [position for turn in standing.done("ruling") if (position := position_of(turn))]
    if not positions:
        return _plurality(standing, "judge", "there is no usable ruling: decided by plurality")
    position, votes = positions[-1], _plurality(standing, "judge")
    place = standing.find(position.answer)
    answer = position.answer if place is None else standing.sides[place].answer
    held = [row for row in votes.support if row.answer == answer]
    row = held[0] if held else Support(answer=answer, weight=0.0, share=0.0, seats=())
    losing = tuple(other for other in votes.support if other is not row)
    share = row.share * standing.participation
    return Decision(
        rule="judge",
        answer=answer,
        confidence=clip(share if position.confidence is None else position.confidence),
        support=(row, *losing),
        dissent=dissent(standing, losing[0]) if losing else None,
        note="no voice held the judge's answer" if place is None else None,
    )


def _synthesis(standing: Standing) -> Decision:
    """The synthesis is the answer; the table shows the votes over the positions that it was made from."""
    written = [(position_of(turn), turn.text.strip()) for turn in standing.done("synthesis")]
    usable = [(position, position.answer if position else text) for position, text in written if position or text]
    if not usable:
        return _plurality(standing, "synthesis", "there is no synthesis: decided by plurality")
    position, answer = usable[-1]
    votes = _plurality(standing, "synthesis")
    confidence = position.confidence if position else None
    if confidence is None:
        known = _known(standing)
        confidence = fsum(known) / len(known) if known else votes.confidence
    left_out = unlike(standing, answer, votes.support)
    return Decision(
        rule="synthesis",
        answer=answer,
        confidence=clip(confidence),
        support=votes.support,
        dissent=dissent(standing, left_out) if left_out else None,
    )


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        one.name: one
        for one in (
            Rule("plurality", "one vote a seat, most votes win", "votes", None, _plurality),
            Rule("weighted", "votes weighed by confidence", "confidence", None, _weighted),
            Rule("surest", "the most confident voice wins", "confidence", None, _surest),
            Rule("borda", "ranked ballots, points for every answer ranked lower", "points", "ballot", _borda),
            Rule("schulze", "ranked ballots, answers compared two by two", "answers beaten", "ballot", _schulze),
            Rule("anchored", "first drafts and final positions, a vote each", "votes", None, guarded.anchored),
            Rule("capped", "no more followers than first holders count", "votes", None, guarded.capped),
            Rule("checked", "every voice checks every answer, votes don't count", "P(right)", "check", checked.checked),
            Rule("unanimity", "what all agree on, else plurality", "votes", None, _unanimity),
            Rule("judge", "one more voice rules after hearing all", "votes", "ruling", _judge),
            Rule("synthesis", "one more voice writes the answer out of all", "votes", "synthesis", _synthesis),
        )
    }
)
"""Every rule by name, in the order that help texts list them."""


# ---- their parts -----------------------------------------------------------------------------------------------------


def _votes(standing: Standing) -> list[float]:
    return [float(len(side.turns)) for side in standing.sides]


def _weights(standing: Standing, unknown: float | None = None) -> list[float]:
    """Sum the confidences of each side. A voice without one weighs `unknown`: the mean of the others, else 1.

    Not a power of them: the fourth, which sharpens what are mostly close figures, cost greedy voices five points on dev
    and gained hot ones nothing (`evals/results/dev/report.md`).
    """
    if unknown is None:
        known = _known(standing)
        unknown = fsum(known) / len(known) if known else 1.0
    return [
        fsum(
            turn.position.confidence if turn.position and turn.position.confidence is not None else unknown
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
    done = standing.done("ballot")
    cast = {turn.seat: turn.position.ranking for turn in done if turn.position and turn.position.ranking}
    own = {seat: place for place, side in enumerate(standing.sides) for seat in side.seats}
    ballots: list[ranked.Ballot] = []
    silent = 0
    for seat in standing.seats:
        places = [standing.find(entry) for entry in cast.get(seat, ())]
        named = list(dict.fromkeys(place for place in places if place is not None))
        if not named and seat in own:
            silent += 1
            named = [own[seat]]
        if named:
            rest = [place for place in range(len(standing.sides)) if place not in named]
            ballots.append([*([place] for place in named), *([rest] if rest else [])])
    note = f"{silent} of {len(ballots)} ballots are missing: those seats count for their own positions"
    return ballots, note if silent and len(standing.sides) > 1 else None
