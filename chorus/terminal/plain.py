"""A debate as lines of text, for pipes, logs and terminals that can do no more.

Invariant: only the first line of a turn starts at the left edge, so no voice can write a line that looks like
another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from chorus.record.events import (
    Convened,
    Decided,
    Event,
    Noted,
    TurnCancelled,
    TurnFailed,
    TurnFinished,
    TurnRetried,
)
from chorus.terminal.words import clean, one_line, plan_line, speaker, stand, summary
from chorus.types import Answer, Plan, Turn

_SIMPLER = str.maketrans({"·": "-", "…": "...", "“": '"', "”": '"'})
"""Our own signs, for streams that can't encode them."""


class PlainView:
    """Prints each turn as it ends, in the order of the events, then the summary.

    Args:
        stream: where to print; characters that it can't encode are spelt out.
        names: display names by persona id.
    """

    def __init__(self, stream: TextIO, names: Mapping[str, str] | None = None) -> None:
        self._stream = stream
        self._names = names or {}
        self._plan: Plan | None = None
        self._voices = 0
        self._noted: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave nothing to do: everything was printed as it came."""

    def show(self, event: Event) -> None:
        """Print what the event tells."""
        match event:
            case Convened():
                self._plan = event.plan
                self._print(f"Question: {one_line(event.question.text, 500)}")
                self._print(plan_line(event.plan))
            case TurnRetried():
                reason = one_line(event.reason, 500)
                self._print(f"[{one_line(event.turn)}] attempt {event.attempt} failed, trying again: {reason}")
            case TurnFinished():
                self._print(self._finished(event.turn))
            case TurnFailed() | TurnCancelled():
                self._print(f"{self._head(event.turn)} {event.turn.status}: {one_line(event.turn.reason or '', 500)}")
            case Noted():
                self._noted.add(one_line(event.note, 1000))
                self._print(f"Note: {one_line(event.note, 1000)}")
            case Decided():
                self._summary(event.answer)

    def _head(self, turn: Turn) -> str:
        return f"[{one_line(turn.id)}] {speaker(turn.persona, turn.kind, self._names, self._plan)}"

    def _finished(self, turn: Turn) -> str:
        said = clean(turn.text.strip())
        self._voices += turn.kind == "speech"
        if turn.kind == "ruling" and self._plan and self._plan.mode == "inner" and self._voices:
            said = "(the whole conversation above)"
        outcome = "" if turn.kind == "synthesis" else f"=> {stand(turn)}"
        if turn.flipped_from is not None:
            outcome += f" (changed from {one_line(turn.flipped_from, 60)})"
        # An answer after several lines would be lost at the end of the last.
        between = "\n" if "\n" in said else " "
        return f"{self._head(turn)}: {said}{between}{outcome}".rstrip().replace("\n", "\n    ")

    def _summary(self, answer: Answer) -> None:
        self._print("")
        for row in summary(answer):
            if row.label != "Note" or row.text not in self._noted:
                self._print(str(row))

    def _print(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            line = line.translate(_SIMPLER).encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(line + "\n")
        self._stream.flush()
