"""Answers that have parts: programs in fences, and lists.

A program is compared by its lines, and never run. A list is compared in order, since the order is what many ask for
(`sort …`, `the first five …`); where it is free, two orders of the same items count as two answers.
"""

from __future__ import annotations

import re
import textwrap

from chorus.debate.grading.words import squeeze

_FENCE = re.compile(r"^[ \t]{0,8}(?:```|~~~)", re.MULTILINE)
_BULLET = re.compile(r"(?:[-*•+–]|\(?[0-9]{1,3}[.)]|\(?[a-z][.)])\s+")
_JOINER = re.compile(r"(?:and|or|&)\s+", re.IGNORECASE)
_BETWEEN_TWO = re.compile(r"\s(?:and|&)\s", re.IGNORECASE)
_NUMBERS = re.compile(r"[-+0-9./% ]+")


def last_fence(text: str) -> str | None:
    """Return what stands in the last fenced block, without the language's name; a fence left open runs to the end."""
    marks = [match.start() for match in _FENCE.finditer(text)]
    if not marks:
        return None
    # Fences come in pairs; an odd one out was opened last and cut short.
    opening, closing = (marks[-1], None) if len(marks) % 2 else (marks[-2], marks[-1])
    inside = text[opening:closing].partition("\n")[2].strip("\n")
    return inside if inside.strip() else None


def plain_code(text: str) -> str:
    """Reduce a program to what is compared: its lines without fences, common indent, trailing space or outer blanks."""
    body = last_fence(text) or text
    lines = textwrap.dedent(body.replace("\r\n", "\n").expandtabs(4)).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def is_bullet(line: str) -> bool:
    """Say whether a line begins as an item of a bulleted or numbered list."""
    return _BULLET.match(line.strip()) is not None


def bullets(text: str) -> list[str]:
    """Return the items of the last run of bulleted or numbered lines; empty when no two lines are."""
    run: list[str] = []
    last: list[str] = []
    for line in [*text.split("\n"), ""]:
        match = _BULLET.match(line.strip())
        if match:
            run.append(line.strip()[match.end() :].strip())
        elif run:
            last, run = (run if len(run) > 1 else last), []
    return [item for item in last if item]


def joined(items: list[str]) -> str:
    """Write items as one line that `items_of` takes apart again: commas, or semicolons where items have commas."""
    return ("; " if any("," in item for item in items) else ", ").join(squeeze(item) for item in items)


def items_of(answer: str) -> list[str]:
    """Take a list apart: at line ends, else semicolons, else commas, else `and`, else at spaces between numbers."""
    body = answer.strip().rstrip(".").strip("[](){}<> \t\n")
    if "\n" in body:
        parts = [_BULLET.sub("", line.strip(), count=1) for line in body.split("\n")]
    elif ";" in body:
        parts = body.split(";")
    elif "," in body:
        # `1,000, 2,000` has two items and `1,2,3` has three: a comma with a space behind it is the stronger one.
        parts = re.split(r",\s+" if re.search(r",\s", body) else ",", body)
        parts[-1:] = _BETWEEN_TWO.split(parts[-1])
    elif _NUMBERS.fullmatch(body):
        parts = body.split()
    else:
        parts = _BETWEEN_TWO.split(body)
    return [item for item in (_JOINER.sub("", part.strip(), count=1).strip(" \"'“”‘’`*") for part in parts) if item]
