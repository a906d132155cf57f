"""Which of its numbers a text answers with.

The operands of a sum that the text leaves unfinished (`7 * 8`) are no answer; what follows its `=` is. Where the text
announces nothing, a number that it concludes with (`= 56`, `is 56`, a sentence that is only `56`) counts before one
that merely comes last.
"""

from __future__ import annotations

import re

from chorus.debate.grading.numerals import Numeral, numerals, rewrite

_OPERATOR = r"(?:[-+/×÷^]|\*{1,2}|x|times|plus|minus|over|multiplied by|divided by)"
_AFTER = re.compile(rf" ?[a-z]? ?{_OPERATOR} ?[(\[$]? ?-?[0-9]", re.IGNORECASE)
_BEFORE = re.compile(rf"[0-9)%] ?[a-z]? ?{_OPERATOR} ?[(\[$]? ?-?$", re.IGNORECASE)
_CUE = re.compile(
    r"(?:[=≈]|\b(?:is|are|was|be|equals?|equal to|gives?|makes?|gets?|got|total of|leaves|result:|total:|answer:))"
    r"(?: (?:about|approximately|around|roughly|exactly|only|just|now|simply|therefore|thus|equal to|a total of)){0,2}"
    r" ?[:$€£¥(\[\"“]{0,2} ?[-+]?$",
    re.IGNORECASE,
)
_OPENS = re.compile(r"(?:^|\n|[.!?:] )[$€£¥]?[-+]?$")
_CLOSES = re.compile(r"[.!]?(?:$|\n| [A-Z])")
_SUBJECT = re.compile(r" (?:[a-z]{1,20} )?(?:is|are) (?:the|my)\b", re.IGNORECASE)
_ENUMERATOR = re.compile(r"^(?:step )?([0-9]{1,3})[.):] (?=\S)|\bstep ([0-9]{1,3})\b", re.IGNORECASE | re.MULTILINE)

_WINDOW = 48
"""Characters before a number in which a cue is looked for."""

_MAX_LOOKED_AT = 256
"""Numbers looked at, from the last backwards."""


def announced_number(said: str) -> str | None:
    """Return the number that stands behind `Answer:`, or `None` when it is left as a sum."""
    text = rewrite(said)
    found = numerals(text)
    if not found:
        return None
    first = found[0]
    if any(letter.isalpha() for letter in text[: first.start]):
        return concluded_number(said)
    if not _AFTER.match(text, first.end):
        return first.text
    results = (n for n in found if _CUE.search(_before(text, n)) and not _AFTER.match(text, n.end))
    return next((n.text for n in results), None)


def concluded_number(said: str) -> str | None:
    """Return the number that a text without announcement concludes with, or `None`."""
    text = _without_steps(rewrite(said))
    free = [n for n in numerals(text)[-_MAX_LOOKED_AT:] if not _operand(text, n)]
    concluding = [n for n in free if _CUE.search(_before(text, n)) or _alone(text, n)]
    subjects = [n for n in free if _SUBJECT.match(text, n.end)]
    best = concluding or subjects or free
    return best[-1].text if best else None


def _operand(text: str, number: Numeral) -> bool:
    if _AFTER.match(text, number.end):
        return True
    return bool(_BEFORE.search(_before(text, number)))


def _alone(text: str, number: Numeral) -> bool:
    return bool(_OPENS.search(_before(text, number)) and _CLOSES.match(text, number.end))


def _before(text: str, number: Numeral) -> str:
    return text[max(0, number.start - _WINDOW) : number.start]


def _without_steps(text: str) -> str:
    """Drop the numbers of numbered lines: those that count 1, 2, 3 …"""
    expected = 1

    def drop(match: re.Match[str]) -> str:
        nonlocal expected
        if int(match[1] or match[2]) not in (expected - 1, expected):
            return match[0]
        expected = max(expected, int(match[1] or match[2]) + 1)
        return ""

    return _ENUMERATOR.sub(drop, text)
