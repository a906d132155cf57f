"""A probability read out of what a voice says. Anything may come in; what is none is counted, and nothing raises."""

from __future__ import annotations

import math
import re
from typing import Literal

Fault = Literal["unparsed", "outside"]
"""`unparsed`: there is no number; `outside`: there is one, and it is no probability."""

_NUMBER = r"[-+]?(?:\d{1,12}(?:[.,]\d{1,12})?|\.\d{1,12})"
_FORMS = re.compile(
    rf"(?P<percent>{_NUMBER})\s?(?:%|per\s?cent\b)"
    rf"|(?P<part>\d{{1,9}})\s?(?:/|in|out of)\s?(?P<whole>\d{{1,9}})"
    rf"|(?P<plain>{_NUMBER})",
    re.IGNORECASE,
)
_MARK = re.compile(r"(?:answer|probability|confidence)\s*(?:is|=|:)?\s*\**\s*", re.IGNORECASE)


def probability(text: str) -> float | Fault:
    """Return the probability that a text states, in [0, 1], or why there is none.

    What follows the last `Answer:` (or `probability`) counts, else the last number of the text. `70%`, `0.7`, `7/10`,
    `7 in 10` and `70` are all 0.7, since percent are asked for; a bare number up to 1 is taken as it stands.
    """
    tail = text[-4000:]
    marks = list(_MARK.finditer(tail))
    found = None
    for mark in reversed(marks):
        found = _FORMS.search(tail, mark.end())
        if found and found.start() - mark.end() < 40:
            break
        found = None
    if found is None:
        every = list(_FORMS.finditer(tail))
        found = every[-1] if every else None
    if found is None:
        return "unparsed"
    value = _value(found)
    return value if 0 <= value <= 1 else "outside"


def _value(found: re.Match[str]) -> float:
    if found["percent"]:
        return float(found["percent"].replace(",", ".")) / 100
    if found["part"]:
        whole = int(found["whole"])
        return int(found["part"]) / whole if whole else math.inf
    value = float(found["plain"].replace(",", "."))
    return value / 100 if value > 1 else value
