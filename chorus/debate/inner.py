"""The inner chorus: one model writes all voices in one context, in one call; here its text is taken apart again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from chorus.types import Plan, SeatPlan
from personas.persona import Persona

MAX_VOICES = 256
"""Turns beyond this many are left in the text and not taken apart."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice's turn in the dialogue. A seat's first is of round 1, its next of round 2 …"""

    seat: SeatPlan
    round: int
    text: str


def voices(text: str, plan: Plan, personas: Mapping[str, Persona]) -> list[Voice]:
    """Return the turns of a dialogue written as `Name: …` lines, in the order in which they were spoken.

    A voice is known by its persona's name, its id or its seat, in any case, with or without Markdown stars, a bullet
    or a mark such as `[1.skeptic]`. Text before the first voice belongs to nobody; the closing `Answer:` line does not
    belong to the voice before it.
    """
    seats = {}
    for seat in reversed(plan.seats):
        for name in (personas[seat.persona].name, seat.persona, seat.seat):
            seats[name.casefold()] = seat
    names = "|".join(re.escape(name) for name in sorted(seats, key=len, reverse=True))
    opening = re.compile(
        rf"^[ \t>*_#-]{{0,8}}(?:\d{{1,3}}\.[ \t]?)?\[?(?:\d{{1,3}}\.)?(?P<name>{names})\]?[*_]{{0,2}}[ \t]?:[*_]{{0,2}}",
        re.IGNORECASE | re.MULTILINE,
    )
    found = list(opening.finditer(text))[:MAX_VOICES]
    ends = [match.start() for match in found[1:]] + [len(text)]
    count: Counter[str] = Counter()
    spoken = []
    for match, end in zip(found, ends, strict=True):
        seat = seats[match["name"].casefold()]
        said = text[match.end() : end]
        if end == len(text):
            said = re.split(r"^[ \t*_#]{0,8}(?:final )?answer[*_]{0,2}[ \t]?:", said, flags=re.I | re.M)[0]
        if said.strip():
            count[seat.seat] += 1
            spoken.append(Voice(seat, count[seat.seat], said.strip()))
    return spoken
