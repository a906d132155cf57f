"""Which answer each turn stands for, and that answer's colour.

Two spellings are one answer where the decision counted them as one: it names, for each answer, the seats whose final
position that is. A spelling that the decision never saw, of an answer given up on the way, stands for itself. No
grading happens here, so a record looks the same whichever version of the grader reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chorus.types import Answer, Position, Support, Turn


@dataclass(frozen=True, slots=True)
class Colour:
    """A fill, and the colour in which text on it can be read."""

    fill: str
    text: str


PALETTE = (
    Colour("#0072B2", "#ffffff"),
    Colour("#E69F00", "#000000"),
    Colour("#009E73", "#000000"),
    Colour("#CC79A7", "#000000"),
    Colour("#56B4E9", "#000000"),
    Colour("#D55E00", "#000000"),
    Colour("#F0E442", "#000000"),
)
"""Okabe and Ito's colours, told apart under every common colour blindness (jfly.uni-koeln.de/color, 2008)."""

OTHER = Colour("#999999", "#000000")
"""Shared by the answers for which no colour is left."""

_CLOSED_BY = {"judge": "ruling", "synthesis": "synthesis"}
"""Under these rules the last such turn is the decision, however it spells it."""


@dataclass(frozen=True, slots=True)
class Stance:
    """One answer of the debate."""

    answer: str
    """As the decision spells it, or as it was first given."""
    colour: Colour
    support: Support | None
    """`None` when nobody stood for it in the end."""
    wins: bool
    """Whether it is the debate's answer."""


class Stances:
    """The answers of one debate: the debate's own, those with support, best first, those given up, as they came."""

    def __init__(self, answer: Answer) -> None:
        self._of_text = {one.answer: one.answer for one in answer.decision.support}
        self._of_turn: dict[str, str] = {}
        self._read_decision(answer)
        won = () if answer.answer is None else (self._spelled(answer.answer),)
        support = {one.answer: one for one in answer.decision.support}
        said = (self._named(turn, turn.position) for turn in answer.turns if turn.position)
        left = (self._spelled(turn.flipped_from) for turn in answer.turns if turn.flipped_from)
        names = dict.fromkeys((*won, *support, *said, *left))
        colours = (*PALETTE, *(OTHER for _ in names))
        self._all = {
            name: Stance(name, colour, support.get(name), name in won)
            for name, colour in zip(names, colours, strict=False)
        }

    def _read_decision(self, answer: Answer) -> None:
        """Learn from the decision which turns, and so which spellings, it counted as one answer."""
        final = {turn.seat: turn for turn in answer.turns if turn.kind == "speech" and turn.position}
        for one in answer.decision.support:
            for turn in (final[seat] for seat in one.seats if seat in final):
                self._of_turn[turn.id] = one.answer
                if turn.position:
                    self._of_text.setdefault(turn.position.answer, one.answer)
        closing = [turn for turn in answer.turns if turn.kind == _CLOSED_BY.get(answer.decision.rule) and turn.position]
        if closing and answer.answer is not None:
            self._of_turn[closing[-1].id] = answer.answer

    def __iter__(self) -> Iterator[Stance]:
        return iter(self._all.values())

    @property
    def coloured(self) -> list[Stance]:
        """The answers that have a colour of their own."""
        return list(self)[: len(PALETTE)]

    def of(self, turn: Turn) -> Stance | None:
        """Return what a turn stands for; None when no answer was found in it."""
        return self._all[self._named(turn, turn.position)] if turn.position else None

    def before(self, turn: Turn) -> Stance | None:
        """Return what a turn's seat stood for before it; None when it has not changed its mind."""
        return self.find(turn.flipped_from) if turn.flipped_from else None

    def find(self, answer: str) -> Stance | None:
        """Return the stance of an answer as somebody wrote it; None when nobody in the debate did."""
        return self._all.get(self._spelled(answer))

    def _named(self, turn: Turn, position: Position) -> str:
        return self._of_turn.get(turn.id, self._spelled(position.answer))

    def _spelled(self, answer: str) -> str:
        return self._of_text.get(answer, answer)
