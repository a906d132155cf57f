"""The inner chorus: one model writes all voices in one context, in one call; here its text is taken apart again.

Any text may come in, and none raises. A voice's words go to its seat: the first time it speaks is its turn of round 1,
the next of round 2; what it says after the plan's last round is part of its last turn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from chorus.types import Plan, SeatPlan
from personas.persona import Persona

MAX_VOICES = 256
"""Turns beyond this many are left in the text and not taken apart."""

_CLOSING = re.compile(
    r"^[ \t>*_#-]{0,8}(?:final[ \t]{1,4})?answer[*_]{0,3}[ \t]{0,4}[:：]", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice's turn in the dialogue."""

    seat: SeatPlan
    round: int
    text: str
    start: int
    """Where in the dialogue it begins."""
    end: int
    """Where it ends. Where several of the voice's turns became one, others' words stand in between."""


def voices(text: str, plan: Plan, personas: Mapping[str, Persona]) -> list[Voice]:
    """Return the turns of a dialogue written as `Name: …` lines, in the order in which they were begun.

    A voice is known by its persona's name, its id or its seat, in any case, with or without Markdown stars, a bullet,
    a heading's marks, a number, a remark in parentheses, or as a mark such as `[1.skeptic]`. Seats that share a name
    take turns. Text before the first voice belongs to nobody; the closing `Answer:` line does not belong to the voice
    before it.
    """
    named = _named(plan, personas)
    found = list(_opening([name for name, _ in named]).finditer(text))[:MAX_VOICES]
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    count: Counter[str] = Counter()
    spoken: dict[tuple[int, str], Voice] = {}
    for match, end in zip(found, ends, strict=True):
        said = text[match.end() : end]
        said = (_without_closing(said) if end == len(text) else said).strip()
        if said:
            start = text.index(said, match.end())
            until = start + len(said)
            seat = min(_seats(match["mark"] or match["name"], named), key=lambda seat: count[seat.seat])
            count[seat.seat] += 1
            place = min(count[seat.seat], plan.rounds), seat.seat
            if earlier := spoken.get(place):
                said, start = f"{earlier.text}\n{said}", earlier.start
            spoken[place] = Voice(seat, place[0], said, start, until)
    return list(spoken.values())


def _named(plan: Plan, personas: Mapping[str, Persona]) -> list[tuple[str, SeatPlan]]:
    """Return what each seat may be called, long names first: `skeptic-2` is not `skeptic`."""
    named = [(name, seat) for seat in plan.seats for name in {personas[seat.persona].name, seat.persona, seat.seat}]
    return sorted(named, key=lambda one: (-len(one[0]), one[0]))


def _seats(found: str, named: list[tuple[str, SeatPlan]]) -> list[SeatPlan]:
    # Asked of the regex again: it knows more spellings of a letter than `casefold` does.
    return [seat for name, seat in named if re.fullmatch(re.escape(name), found, re.IGNORECASE)]


def _opening(names: list[str]) -> re.Pattern[str]:
    """Return what begins a voice's turn, at the start of a line."""
    anyone = "|".join(dict.fromkeys(re.escape(name) for name in names))
    return re.compile(
        rf"""
        ^[ \t>*_\#-]{{0,8}}                          # quotation, bullet, heading, stars
        (?:\d{{1,3}}[.)][ \t]?)?[*_]{{0,3}}           # a number, and stars again
        (?:
            \[(?:\d{{1,3}}\.)?(?P<mark>{anyone})\]   # [1.skeptic], with or without a colon
            [*_]{{0,3}}[ \t]{{0,4}}[:：]?
          | (?P<name>{anyone})
            [*_]{{0,3}}(?:[ \t]?\([^()\n]{{1,40}}\))?[*_]{{0,3}}
            [ \t]{{0,4}}(?:[:：—]|$)                   # a colon, or the name alone on its line
        )
        [*_]{{0,3}}
        """,
        re.IGNORECASE | re.MULTILINE | re.VERBOSE,
    )


def _without_closing(said: str) -> str:
    """Return the last voice's words without the answer that closes the conversation."""
    closings = list(_CLOSING.finditer(said))
    return said[: closings[-1].start()] if closings else said
