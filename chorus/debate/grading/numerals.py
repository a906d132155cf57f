r"""The numbers in a text: where they stand, and their exact values.

A number may carry a sign, a currency, thousands separators, a fraction, a power of ten, `%` or a word such as
`million`; from zero to a hundred it may be a word. Values are exact fractions. `50%` is 1/2, as in mathematics, and so
not 50: if it were both, 1/2 and 50 would be one number. What is too long or too large to work with has no value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 400
"""Digits beyond which a number, or its power of ten, has no value."""

_PLACES = 6
"""Decimal places (below 1: significant digits) to which numbers that are not whole are told apart."""

_VULGAR = {sign: str(Fraction(unicodedata.numeric(sign)).limit_denominator(8)) for sign in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")

_Rewrite = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
_REWRITES: tuple[_Rewrite, ...] = (
    (re.compile(r"(?<=[0-9])(?=\s?\\[dtc]?frac\s?\{)"), " "),
    (re.compile(r"\\[dtc]?frac\s?\{\s?(-?[0-9]{1,30})\s?\}\s?\{\s?([0-9]{1,30})\s?\}"), r"\1/\2"),
    (re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]{1,6}"), lambda run: "^" + run[0].translate(_RAISED)),
    (re.compile(rf"(?<=[0-9])(?=[{''.join(_VULGAR)}])"), " "),
    (re.compile(rf"[{''.join(_VULGAR)}]"), lambda sign: _VULGAR[sign[0]]),
    (re.compile(r"[−–‐‑]"), "-"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\\(?:times|cdot)(?![a-z])"), "×"),
    (re.compile(r"\\[,!;: ]"), ""),
    # Bold, unless it stands between two numbers, where it is a power.
    (re.compile(r"\*\*(?!\s?[0-9(])|(?<![0-9)])(?<![0-9)]\s)\*\*|`"), " "),
    (re.compile(r"[^\S\n]+"), " "),
)

_DIGITS = r"(?:[0-9]{1,3}(?:[,_ ][0-9]{3}){1,12}(?![0-9])|[0-9]++)(?:\.[0-9]++)?"
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]^])(?<![0-9)]\s)(?<!\^\{{)[-+])? (?:[$€£¥]\s?)? (?P<inner>(?<=[$€£¥])-)?
    (?<![\w^])(?<!\^[-{{])(?<!\^\{{-)(?<![0-9]\.)
    (?P<core>
      (?P<whole>[0-9]{{1,9}})\ (?P<top>[0-9]{{1,9}})/(?P<under>[0-9]{{1,9}})(?![0-9/])
    | (?P<over>{_DIGITS})/(?P<below>{_DIGITS})(?![0-9/])
    | (?:(?P<times>{_DIGITS})\s?[×x*]\s?)?10\s?\^\s?\{{?(?P<power>-?[0-9]{{1,6}})(?![0-9])\}}?
    | (?P<plain>{_DIGITS}|\.[0-9]++)(?:[eE](?P<exponent>[-+]?[0-9]{{1,12}})(?![0-9]))?
    )
    (?P<percent>\s?(?:%|per\s?cent\b))? (?P<scale>\s(?:hundred|thousand|million|billion|trillion)\b)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_NAMES = [name for names in ("zero", _ONES, _TEENS) for name in names.split("|")]
_WORD = re.compile(
    rf"""
    (?<!\w)(?<!-)(?<!hundred\s)(?<!thousand\s)(?<!million\s)(?<!point\s)
    (?P<minus>(?:minus|negative)\s)?
    (?:(?P<hundred>(?:(?:one|a)\s)?hundred) | (?P<tens>{_TENS})(?:[-\s](?P<ones>{_ONES}))?
     | (?P<small>zero|{_TEENS}|{_ONES}))
    (?![-\w])(?!\s(?:and\s(?:a|one|two|three)\s|point|hundred|thousand|million|billion|trillion|halves|thirds?|quarters?))
    """,
    re.VERBOSE | re.IGNORECASE,
)

_FORMULA = re.compile(r"[\\√π{}|<>≤≥!∞=]|(?<![a-z])\^|sqrt|\bpi\b")
_VARIABLE = re.compile(r"[xyznei]\b")


class Numeral(NamedTuple):
    """A number as it stands in a text."""

    start: int
    end: int
    text: str
    """As written, without currency."""
    value: Fraction | None
    """`None` when it is too long or too large, or divides by zero."""


def rewrite(text: str) -> str:
    """Write numbers plainly: ASCII minus, `1/2` for every way of setting a half, no bold, single spaces."""
    for pattern, instead in _REWRITES:
        text = pattern.sub(instead, text)
    return text


def numerals(text: str) -> list[Numeral]:
    """Find the numbers in a rewritten text, in order; number words only where there are no digits."""
    found = [
        Numeral(m.start(), m.end(), _written(m), _within(_value(m)))
        for m in _NUMBER.finditer(text)
        if len(m[0]) <= MAX_DIGITS
    ]
    return found or [Numeral(m.start(), m.end(), m[0], _word_value(m)) for m in _WORD.finditer(text)]


def value(answer: str, *, bare: bool = False) -> Fraction | None:
    """Return the value of the one number that an answer names.

    Args:
        answer: For instance `$1,000`, `56 apples`, `1/2`, `-3.5e2`, `seven`.
        bare: Whether the number must stand alone, without unit or words.

    Returns:
        The exact value; `None` when there is no number, more than one, or a formula around it (`√2`, `2x`).
    """
    text = rewrite(" ".join(answer.split()))
    found = numerals(text)
    if len(found) != 1:
        return None
    [number] = found
    around = text[: number.start] + text[number.end :]
    if _FORMULA.search(around) or _VARIABLE.match(text, number.end):
        return None
    if bare and re.search(r"[^\s$€£¥.,;:]", around):
        return None
    return number.value


def told_apart(exact: Fraction) -> Fraction:
    """Round a number to what it is compared by.

    Whole numbers are compared exactly, others to six decimal places, and below 1 to six significant digits, so that
    0.333333 is 1/3. Being a function of the number alone, this keeps equality transitive.
    """
    if exact.denominator == 1:
        return exact
    places, size = _PLACES, abs(exact)
    while size * 10 < 1:
        size *= 10
        places += 1
    return round(exact, places)


def _written(match: re.Match[str]) -> str:
    sign = "-" if "-" in (match["sign"], match["inner"]) else ""
    return sign + match["core"] + (match["percent"] or "") + (match["scale"] or "")


def _value(match: re.Match[str]) -> Fraction | None:
    size = _size(match)
    if size is None:
        return None
    if match["percent"]:
        size /= 100
    if match["scale"]:
        size *= 10 ** _SCALES[match["scale"].strip().lower()]
    return -size if "-" in (match["sign"], match["inner"]) else size


def _size(match: re.Match[str]) -> Fraction | None:
    if match["whole"]:
        under = int(match["under"])
        return int(match["whole"]) + Fraction(int(match["top"]), under) if under else None
    if match["over"]:
        below = _digits(match["below"])
        return _digits(match["over"]) / below if below else None
    power = int(match["power"] or match["exponent"] or 0)
    if abs(power) > MAX_DIGITS:
        return None
    return _digits(match["times"] or match["plain"] or "1") * Fraction(10) ** power


def _digits(text: str) -> Fraction:
    return Fraction(re.sub(r"[,_ ]", "", text))


def _within(exact: Fraction | None) -> Fraction | None:
    # Rounding a number below 1 walks through its leading zeros; this bounds the walk.
    limit = 10**MAX_DIGITS
    return exact if exact is not None and (exact == 0 or 1 / Fraction(limit) <= abs(exact) <= limit) else None


def _word_value(match: re.Match[str]) -> Fraction:
    if match["hundred"]:
        size = 100
    elif match["small"]:
        size = _NAMES.index(match["small"].lower())
    else:
        size = 20 + 10 * _TENS.split("|").index(match["tens"].lower())
        size += _NAMES.index(match["ones"].lower()) if match["ones"] else 0
    return Fraction(-size if match["minus"] else size)
