"""Words of a model made fit to stand in a drawing or a page.

What a voice wrote may hold anything: markup, control characters, marks that turn the direction of writing around, half
of a surrogate pair. Whatever passes through here is valid in XML 1.0 and in HTML, and says nothing but its letters.
"""

from __future__ import annotations

import html
import re
import unicodedata

_UNFIT = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LINE_BREAK = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_NARROW = frozenset("fijlrtI|!'.,:;()[]- ")
_WIDE = frozenset("mwMW@%…→")


def clean(text: str) -> str:
    """Return the text with newlines for all breaks, less what XML forbids and what reorders the text around it."""
    return _UNFIT.sub("", _LINE_BREAK.sub("\n", text))


def escaped(text: str) -> str:
    """Return the text, clean, for use between tags and inside quoted attributes."""
    return html.escape(clean(text))


def columns(text: str) -> int:
    """Return how long the text is, in letters; wide East Asian ones count twice, combining ones not at all."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def ems(text: str) -> float:
    """Return about how wide the text is drawn in a wide sans-serif font, as a multiple of the size of the font."""
    return sum(
        0.4 if c in _NARROW else 0.96 if c in _WIDE else 0.72 if c.isupper() else 0.63 * columns(c) for c in text
    )


def shortened(text: str, room: int) -> str:
    """Return the text, clean, on one line of at most `room` columns; what was left out is marked with `…`."""
    head = text[: room * 20]  # a bound on the work, not on the result: blanks fold
    line = " ".join(clean(head).split())
    if columns(line) <= room and len(head) == len(text):
        return line
    kept = line[: room - 1]
    while columns(kept) > room - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def percent(share: float) -> str:
    """Return a share of 1 as whole per cent: only what is certain reads 100%, only what is nothing reads 0%."""
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return ">99%"
    return "<1%" if rounded == 0 and share > 0 else f"{rounded}%"


def listed(names: list[str] | tuple[str, ...], most: int = 8) -> str:
    """List names, the first few of a long list."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shortened(name, 40) for name in names[:most]) + more
