"""What a viewer needs to know of a debate that is under way: each seat's newest turn, the support, the news.

Invariant: it can be told of any events in any order. A replayed debate has turns that never started and never grew, an
inner chorus has voices that all finish at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from chorus.record.events import (
    Convened,
    Decided,
    Event,
    Noted,
    SupportMoved,
    TurnCancelled,
    TurnDelta,
    TurnFailed,
    TurnFinished,
    TurnRetried,
    TurnStarted,
)
from chorus.terminal.words import heard_line, one_line, speaker
from chorus.types import Answer, Plan, Question, Support, Turn, TurnKind

TAIL_CHARS = 8_000
"""So much of a growing turn is kept: more than a screen can hold."""

COLOURS = ("green", "magenta", "yellow", "cyan", "blue")
"""Of the answers, in the order in which they came up; red is for faults."""

CellStatus = Literal["waiting", "speaking", "retrying", "done", "failed", "cancelled"]
Mark = Literal["flipped", "failed", "cancelled", "retrying", "note"]


@dataclass(slots=True)
class Cell:
    """A seat, and how far its newest turn has come."""

    seat: str
    persona: str
    status: CellStatus = "waiting"
    id: str = ""
    round: int = 0
    kind: TurnKind = "speech"
    heard: tuple[str, ...] = ()
    text: str = ""
    """The end of what was said so far."""
    trouble: str = ""
    """Why the turn failed, was cancelled or is tried again."""
    turn: Turn | None = None
    """The turn, once it has ended."""


class Stage:
    """The debate as a viewer sees it now.

    Args:
        names: display names by persona id.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self.plan: Plan | None = None
        self.question: Question | None = None
        self.cells: dict[str, Cell] = {}
        self.support: tuple[Support, ...] = ()
        self.news: deque[tuple[Mark, str]] = deque(maxlen=8)
        self.ended: list[Turn] = []
        """Turns in the order in which they ended."""
        self.answer: Answer | None = None
        self._colours: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """Bring the stage up to date."""
        match event:
            case Convened():
                self.plan, self.question = event.plan, event.question
                self.cells = {seat.seat: Cell(seat.seat, seat.persona) for seat in event.plan.seats}
            case TurnStarted():
                begun = Cell(event.seat, event.persona, "speaking", event.turn, event.round, event.kind, event.heard)
                self.cells[event.seat] = begun
            case TurnDelta() if cell := self._speaking(event.turn):
                cell.text = (cell.text + event.text)[-TAIL_CHARS:]
                cell.status = "speaking"
            case TurnRetried() if cell := self._speaking(event.turn):
                cell.status, cell.text, cell.trouble = "retrying", "", event.reason
                reason = one_line(event.reason)
                self.news.append(("retrying", f"{cell.seat}: attempt {event.attempt} failed, trying again: {reason}"))
            case TurnFinished() | TurnFailed() | TurnCancelled():
                self._end(event.turn)
            case SupportMoved():
                self._move(event.decision.support)
            case Noted():
                self.news.append(("note", one_line(event.note)))
            case Decided():
                self.answer = event.answer
                self._move(event.answer.decision.support)

    @property
    def closing_voice(self) -> Cell | None:
        """The voice that speaks for or about all of them: judge, coordinator, inner chorus."""
        return next((cell for cell in self.cells.values() if cell.kind in ("ruling", "synthesis")), None)

    def turns(self) -> Sequence[Turn]:
        """Return the turns that ended, by round and seat; once the debate is decided, all of its turns."""
        if self.answer:
            return self.answer.turns
        order = {seat: place for place, seat in enumerate(self.cells)}
        return sorted(self.ended, key=lambda turn: (turn.round, order[turn.seat]))

    def name(self, who: Cell | Turn) -> str:
        """Return the display name of who speaks, with the seat where that is not the persona's own."""
        name = speaker(who.persona, who.kind, self._names, self.plan)
        return name if who.seat == who.persona else f"{name} · {one_line(who.seat, 40)}"

    def heard(self, who: Cell | Turn) -> str:
        """Return whom a speech heard, in a few words; what closes a debate hears everybody."""
        return heard_line(who.seat, who.heard, self.plan) if who.kind == "speech" else ""

    def colour(self, answer: str) -> str:
        """Return the colour of an answer, the same for all its spellings; none for one that had no support yet."""
        return self._colours.get(answer, "")

    def _speaking(self, turn: str) -> Cell | None:
        return next((cell for cell in self.cells.values() if cell.id == turn and cell.turn is None), None)

    def _end(self, turn: Turn) -> None:
        trouble = turn.reason or ""
        text = turn.text[-TAIL_CHARS:]
        self.cells[turn.seat] = Cell(
            turn.seat, turn.persona, turn.status, turn.id, turn.round, turn.kind, turn.heard, text, trouble, turn
        )
        self.ended.append(turn)
        if turn.status != "done":
            self.news.append((turn.status, f"{turn.seat} {turn.status}: {one_line(trouble)}"))
        elif turn.flipped_from is not None and turn.position:
            before, now = one_line(turn.flipped_from, 40), one_line(turn.position.answer, 40)
            self.news.append(("flipped", f"{turn.seat} changed {before} → {now}"))

    def _move(self, support: tuple[Support, ...]) -> None:
        self.support = support
        newest = {turn.seat: turn.position.answer for turn in self.ended if turn.position and turn.kind == "speech"}
        for row in support:
            spellings = [row.answer, *(newest[seat] for seat in row.seats if seat in newest)]
            known = next((self._colours[one] for one in spellings if one in self._colours), None)
            colour = known or COLOURS[len(set(self._colours.values())) % len(COLOURS)]
            for one in spellings:
                self._colours.setdefault(one, colour)
