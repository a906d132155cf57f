r"""Where a text announces its answer, and how sure it says it is.

Voices are asked to end with a line `Answer: …`; weak models also write `The answer is …`, `\boxed{…}` or `#### …`, and
some announce an answer, find a mistake and announce another: the last announcement counts. What a voice says of its
confidence is taken out first, so that `Confidence: 80%` is never read as the number 80.

Every pattern here is linear in the text: repetition is bounded, and runs of white space are collapsed beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_TEXT = 40_000
"""Characters read of a text, counted from its end, where answers stand."""

MAX_ANSWER = 2_000
"""Bound on the length of an answer, in characters. A longer text or program is cut there; a longer number is none."""

_MAX_MARKERS = 16
"""Announcements looked at, from the last backwards, before a text is read as if it had none."""

_BLANKS = re.compile(r"[^\S\n]+")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))

_LEAD = r"(?:my|our|the|final|correct|right|best|short)"
_IS = r"(?:is|are|was|be|equals|remains|becomes)"

_MARKER = re.compile(
    rf"""
      \\(?P<box>boxed|fbox)\s?\{{
    | ^\#\#\#\#\s?(?=[-+−$€£]{{0,2}}\.?\d)(?!\d{{1,3}}[.)]\s)
    | (?<![’']s\s)(?<!their\s)(?<!your\s)(?<!this\s)(?<!other\s)(?<!previous\s)(?<![’']s\sfinal\s)
      \banswer(?:\s{_IS})?[*_]{{0,3}}\s?(?::|=(?!=))
    | ^[>#*_ -]{{0,8}}answer\s{_IS}\b
    | (?<![’']s\s)(?<!their\s)(?<!your\s)
      \b{_LEAD}\s(?:\w{{1,20}}\s){{0,2}}answer\s(?:[^.:?!\n]{{0,80}}?\s)??{_IS}\b
      (?!\s(?:not|n[’']t|correct|incorrect|wrong|based|because|clear|clearly\s(?:not|wrong)|given\sby|unknown)\b)
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)

_HEADING = re.compile(
    rf"^[>#*_ \t-]{{0,8}}(?:{_LEAD}[ \t]){{0,3}}answer(?:[ \t]{_IS})?[*_]{{0,3}}[ \t]?:[*_]{{0,3}}",
    re.IGNORECASE | re.MULTILINE,
)

_SHORTHAND = re.compile(r"^[>#*_ -]{0,8}A:[*_]{0,3}\s", re.MULTILINE)

_PLACEHOLDER = re.compile(r"(?:\.{2,}|…|_+|<[^>\n]{0,80}>|\[(?:your|the|final|insert|answer)\b[^\]\n]{0,80}\])$", re.I)

_AMOUNT = r"(?P<{0}>\d{{1,3}}(?:\.\d{{1,6}})?|\.\d{{1,6}})"
_CONFIDENCE = re.compile(
    rf"""
      [(\[]?[*_]{{0,3}}\bconfidence(?:\s(?:level|score|rating|in\s(?:my|this|the)\sanswer))?[*_]{{0,3}}\s?(?::|=|is\b|of\b)?
      [*_]{{0,3}}\s{{0,4}}(?:about\s|around\s|~)?{_AMOUNT.format("said")}(?!\d|\.\d)
      (?:\s?(?P<percent>%|percent\b|per\scent\b)|\s?/\s?(?P<scale>\d{{1,3}})(?!\d)|\sout\sof\s(?P<of>\d{{1,3}})(?!\d))?
      [*_]{{0,3}}[)\]]?\.?
    | \b(?:i\s?[’']?a?m\s)?(?:about\s)?{_AMOUNT.format("sure")}\s?(?:%|percent)\s(?:confident|sure|certain)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def tail(text: str) -> str:
    """Return the part of a text that is read: its last `MAX_TEXT` characters, with plain line ends."""
    return text[-MAX_TEXT:].replace("\r\n", "\n").replace("\r", "\n")


def tidy(text: str) -> str:
    """Collapse white space: single spaces, no blank lines, nothing invisible, lines trimmed."""
    plain = _BLANKS.sub(" ", tail(text).translate(_INVISIBLE))
    return "\n".join(line for line in (raw.strip() for raw in plain.split("\n")) if line)


def without_confidence(text: str) -> str:
    """Take out what the text says of its own confidence. Lines that said nothing else go too."""
    return "\n".join(_kept_lines(text)) if _CONFIDENCE.search(text) else text


def _kept_lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        left = _CONFIDENCE.sub("", line)
        if left == line or left.strip(" \t*_-.,;"):
            yield left.rstrip()


def stated_confidence(text: str) -> float | None:
    """Read how sure a text says it is; the last statement counts.

    `Confidence: 80%`, `confidence: 0.8`, `Confidence: 8/10` and `I am 80% sure` all give 0.8. A bare number above 1 is
    read as a percentage from 11 on; between 1 and 10 it is anyone's guess which scale is meant, and gives `None`.

    Returns:
        A probability in 0 … 1; `None` when the text says nothing, or nothing that can be one.
    """
    found: float | None = None
    for match in _CONFIDENCE.finditer(tidy(text)):
        found = _probability(match)
    return found


def _probability(match: re.Match[str]) -> float | None:
    said = float(match["said"] or match["sure"])
    scale = match["scale"] or match["of"]
    if scale:
        said = said / int(scale) if int(scale) else -1.0
    elif match["percent"] or match["sure"] or said > 10:
        said /= 100
    return said if 0 <= said <= 1 else None


def announced(text: str, *, shorthand: bool = True) -> Iterator[str]:
    """Yield what follows each announcement of an answer, from the last backwards, down to the end of its line.

    Args:
        text: Tidy text. An announcement that ends its line is taken to announce the next one.
        shorthand: Whether a line `A: …` announces one; where choices have letters, it doesn't.

    Yields:
        Non-empty strings; of a box, what is in it. A placeholder such as `<your answer>` is passed over.
    """
    marks = [*_MARKER.finditer(text), *(_SHORTHAND.finditer(text) if shorthand else ())]
    for mark in sorted(marks, key=re.Match.end)[: -_MAX_MARKERS - 1 : -1]:
        said = _boxed(text, mark.end()) if mark.groupdict().get("box") else _line(text[mark.end() :])
        if said and not _PLACEHOLDER.fullmatch(said):
            yield said


def heading(text: str) -> str | None:
    """Return all that follows the last line that opens with `Answer:`, or `None` where there is no such line."""
    last = None
    for match in _HEADING.finditer(text):
        if text[match.end() :].strip():
            last = match
    return text[last.end() :].strip() if last else None


def _line(rest: str) -> str:
    return rest.lstrip(" \n*:=`")[:MAX_ANSWER].partition("\n")[0].strip()


def _boxed(text: str, start: int) -> str:
    """Return what stands in the braces that were opened just before `start`; of an unclosed box, its first line."""
    depth = 1
    for place in range(start, min(len(text), start + MAX_ANSWER)):
        if text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return text[start:place].strip()
    return text[start:].partition("\n")[0].strip()
