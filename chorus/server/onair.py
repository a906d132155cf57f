"""A debate as one text to be read along: which voice is on air.

Voices speak at the same time, a stream of `reasoning` is one line of text. The first voice to say a word goes on air at
once, and its words go out as they come. Whoever speaks meanwhile is held back, and follows when the voice on air has
ended, in the order in which they began. Invariants: nothing that was said is lost; a voice is never interrupted by
another; each begins with its mark, `[skeptic, round 1] `.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chorus.record import events
from chorus.record.events import Event


@dataclass(frozen=True, slots=True)
class Said:
    """The next words of the voice on air."""

    voice: int
    """Which voice, in the order in which they go on air; the first is 0."""
    text: str
    opens: bool = False
    """Whether it goes on air with these words, which then begin with its mark."""


def as_one(said: Iterable[Said]) -> str:
    """Return what is said next as one running text, a blank line between two voices."""
    return "".join(f"\n\n{one.text}" if one.opens and one.voice else one.text for one in said)


@dataclass(slots=True)
class _Voice:
    """One turn as far as it has been heard."""

    mark: str
    held: str = ""
    """What it said and is not out yet."""
    ended: bool = False


class OnAir:
    """Turns the events of one debate into text. `take` returns what is to be read now, often nothing."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}
        """Those that have something to say still, by turn, in the order in which they began."""
        self._on_air: _Voice | None = None
        self._opened = 0
        """How many have gone on air."""

    def take(self, event: Event) -> list[Said]:
        """Return what this event adds to the text."""
        if isinstance(event, events.TurnStarted):
            place = f"round {event.round}" if event.kind == "speech" else event.kind
            self._voices.setdefault(event.turn, _Voice(f"[{event.seat}, {place}] "))
        elif isinstance(event, events.TurnDelta):
            return self._say(event.turn, event.text)
        elif isinstance(event, events.TurnRetried):
            return self._say(event.turn, f"\n(broken off, and begun again: {event.reason})\n")
        elif isinstance(event, events.TurnFinished):
            return self._end(event.turn.id, "")
        elif isinstance(event, events.TurnFailed):
            return self._end(event.turn.id, f"\n(failed: {event.turn.reason})")
        elif isinstance(event, events.TurnCancelled):
            return self._end(event.turn.id, f"\n(stopped: {event.turn.reason})")
        elif isinstance(event, events.Decided):
            return self._rest()
        return []

    def _say(self, turn: str, text: str) -> list[Said]:
        voice = self._voices.get(turn)
        if voice is None or not text:
            return []
        if self._on_air is None:
            self._on_air = voice
            return [self._open(voice, text)]
        if self._on_air is voice:
            return [Said(self._opened - 1, text)]
        voice.held += text
        return []

    def _end(self, turn: str, closing: str) -> list[Said]:
        # An inner chorus ends turns that never began: its voices, whose words went out as the one call wrote them.
        voice = self._voices.get(turn)
        if voice is None:
            return []
        said = self._say(turn, closing)
        voice.ended = True
        if self._on_air is voice:
            said += self._hand_over()
        return said

    def _hand_over(self) -> list[Said]:
        """The voice on air has ended: let the others follow, up to the first that is still speaking."""
        said = []
        while self._on_air is None or self._on_air.ended:
            self._voices = {turn: one for turn, one in self._voices.items() if one.held or not one.ended}
            self._on_air = next((one for one in self._voices.values() if one.held), None)
            if self._on_air is None:
                break
            said.append(self._open(self._on_air))
        return said

    def _open(self, voice: _Voice, text: str = "") -> Said:
        """Put a voice on air, with what it said before."""
        said = Said(self._opened, voice.mark + voice.held + text, opens=True)
        self._opened += 1
        voice.held = ""
        return said

    def _rest(self) -> list[Said]:
        """Return everything that is still held back."""
        said = [self._open(voice) for voice in self._voices.values() if voice.held]
        self._voices.clear()
        self._on_air = None
        return said
