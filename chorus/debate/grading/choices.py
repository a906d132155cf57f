"""Multiple choice: the options of a question, and which of them an answer names.

Whatever way it is named in (`B`, `(b)`, `B.`, `b) Paris`, `Paris`), a choice is known by its capital letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chorus.debate.grading.numerals import value
from chorus.debate.grading.words import fold
from chorus.types import LETTERS

_MAX_CHOICE = 400
"""Bound on an inline option's length, in characters: what is longer is prose that happens to be lettered."""

_MAX_RUNS = 8
"""Places looked at, from the last backwards, where a run of options may begin."""

_STYLES = (
    re.compile(r"(?<!\w)\(([A-Za-z])\)(?!\w)"),
    re.compile(r"(?:^|(?<=\s))([A-Za-z])\)(?=\s)", re.MULTILINE),
    re.compile(r"^[ \t]{0,8}(?:[-*•][ \t])?([A-Za-z])[.:](?=\s)", re.MULTILINE),
    re.compile(r"(?:^|(?<=\s))([A-Z])[.:](?=\s)", re.MULTILINE),
)
_SEPARATOR = re.compile(r"(?:[,;]|,?\s(?:and|or))$")
_ASKS = re.compile(r"\?|\b(?:which|choose|select|pick|correct|best|options?|choices?)\b", re.IGNORECASE)

_TRIM = " \t\n*_`\"'“”‘’$"
_LONE = re.compile(r"(?:option |choice |letter |answer )?[(\[]?([A-Za-z])[)\]]?[.:,;!]?", re.IGNORECASE)
_LEADING = (
    re.compile(r"(?:(?:option|choice|letter|answer|[Oo]ption|[Cc]hoice)\s)?[*_]{0,2}[(\[]([A-Za-z])[)\]]"),
    re.compile(r"(?:(?:the\s)?(?:option|choice|letter)\s)[*_]{0,2}([A-Za-z])(?!\w)", re.IGNORECASE),
    re.compile(r"([A-Za-z])[*_]{0,2}\)"),
    re.compile(r"([A-Z])[*_]{0,2}(?:[.:,;]|\s?[-–—=]\s)"),
    re.compile(r"([a-z])[.:]\s"),
    re.compile(r"([A-Z])\s(?=because|since|as\b|is\b|for\b|and\b|\()"),
    re.compile(r"([B-HJ-Z])(?!\w|['’])"),
    re.compile(r"([AI])\s(?=[A-Z0-9])"),
)
_MENTION = re.compile(r"\(([A-Za-z])\)|(?<![\w'’.-])([A-Z])(?![\w'’-]|\.\w)")
_LETTERS_ONLY = re.compile(r"\s*(?:[0-9]{1,2}[.):])?(?:[\W_]{0,40}(?<![^\W_])[A-Za-z](?![^\W_]))+[\W_]*")
_LETTER = re.compile(r"[A-Za-z]")
_ARTICLE = re.compile(r" (?!(?:is|because|since|as|and|or)\b)[a-z]")
_REJECTED = re.compile(r"\b(?:not|isn['’]t|than)\s(?:option\s|choice\s)?[(\"“*]{0,3}$", re.IGNORECASE)


def inline_choices(text: str) -> tuple[str, ...]:
    """Read the options written into a question: `(A) x (B) y`, or lines `A) x`, `A. x`, `A: x`.

    Returns:
        The options' texts in the order of their letters, which must run from A without a gap; empty when there are
        fewer than two, or one is empty or too long to be an option.
    """
    if not _ASKS.search(text):
        return ()
    for style in _STYLES:
        found = _run(text, list(style.finditer(text)))
        if found:
            return found
    return ()


def _run(text: str, marks: Sequence[re.Match[str]]) -> tuple[str, ...]:
    """Return the texts of the last unbroken run of lettered options, or nothing."""
    starts = [place for place, mark in enumerate(marks) if mark[1] in "Aa"]
    for start in reversed(starts[-_MAX_RUNS:]):
        run = _lettered(marks[start:])
        ends = [mark.start() for mark in run[1:]] + [len(text)]
        texts = [text[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]
        # The last option ends with its line: instructions may follow.
        texts[-1] = texts[-1].partition("\n")[0].rstrip("?")
        options = tuple(_SEPARATOR.sub("", option).strip() for option in texts)
        if len(options) > 1 and all(0 < len(option) <= _MAX_CHOICE for option in options):
            return options
    return ()


def _lettered(marks: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    run: list[re.Match[str]] = []
    for mark in marks:
        wanted = LETTERS[len(run)] if len(run) < len(LETTERS) else ""
        if mark[1] == (wanted if marks[0][1] == "A" else wanted.lower()):
            run.append(mark)
    return run


def letter_of(answer: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the choice that an answer names, or `None`.

    A letter within range counts first, then the text of a choice, then a letter with more behind it, then the one
    choice whose text occurs in the answer. Where a letter and a text disagree (`B) Paris`), the letter counts.

    Args:
        answer: A short answer, such as stands behind `Answer:`.
        choices: The options; empty when only letters are known, and then any letter will do.
    """
    said = answer.strip(_TRIM)
    allowed = LETTERS[: len(choices)] if choices else LETTERS
    if (lone := _LONE.fullmatch(said)) and lone[1].upper() in allowed:
        return lone[1].upper()
    if (place := _same_text(said, choices)) is not None:
        return LETTERS[place]
    for pattern in _LEADING:
        if (match := pattern.match(said)) and match[1].upper() in allowed:
            return match[1].upper()
    return _contained(said, choices)


def last_choice(text: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the choice that a text without announcement names last, by letter or by text.

    A choice that is named as rejected (`not Paris`, `rather than B`) is passed over.
    """
    allowed = LETTERS[: len(choices)] if choices else LETTERS
    found = [
        (mark.end(), (mark[1] or mark[2]).upper())
        for mark in _MENTION.finditer(text)
        if (mark[1] or mark[2]).upper() in allowed and not _article(text, mark) and not _rejected(text, mark.start())
    ]
    lowered = text.lower()
    for place, choice in enumerate(choices[: len(LETTERS)]):
        if (at := _last_mention(lowered, choice.strip(_TRIM + ".").lower(), text)) >= 0:
            found.append((at + len(choice), LETTERS[place]))
    return max(found)[1] if found else None


def ranked_choices(text: str, choices: Sequence[str]) -> list[str]:
    """Return the letters that a ranking names, best first, each once.

    A line of letters alone (`B, A, C`, `B > A`, one letter a line) counts before letters among words, and those before
    the choices' own texts in the order in which they are first named. Choices may be missing.
    """
    allowed = LETTERS[: len(choices)]
    lines = [line for line in text.split("\n") if _LETTERS_ONLY.fullmatch(line)]
    said = [mark.upper() for line in lines for mark in _LETTER.findall(line)] or [
        (mark[1] or mark[2]).upper() for mark in _MENTION.finditer(text) if not _article(text, mark)
    ]
    if found := list(dict.fromkeys(mark for mark in said if mark in allowed)):
        return found
    lowered = text.lower()
    places = [
        (_first_mention(lowered, choice.strip().lower()), mark) for mark, choice in zip(allowed, choices, strict=False)
    ]
    return [mark for at, mark in sorted(places) if at >= 0]


def _first_mention(lowered: str, wanted: str) -> int:
    match = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", lowered) if wanted else None
    return match.start() if match else -1


def _article(text: str, mark: re.Match[str]) -> bool:
    """Tell `A` and `I` as words from `A` and `I` as letters of choices."""
    return mark[2] in ("A", "I") and bool(_ARTICLE.match(text, mark.end()))


def _rejected(text: str, start: int) -> bool:
    return bool(_REJECTED.search(text[max(0, start - 24) : start]))


def _last_mention(lowered: str, wanted: str, text: str) -> int:
    """Return where the words `wanted` stand last, whole and not rejected; -1 when nowhere. Looks at 16 places."""
    at = len(lowered)
    for _ in range(16 if wanted else 0):
        at = lowered.rfind(wanted, 0, at + len(wanted) - 1) if at else -1
        if at < 0:
            return -1
        around = lowered[at - 1 : at] + lowered[at + len(wanted) : at + len(wanted) + 1]
        if not any(letter.isalnum() for letter in around) and not _rejected(text, at):
            return at
    return -1


def _same_text(said: str, choices: Sequence[str]) -> int | None:
    folded, number = fold(said), value(said, bare=True)
    for place, choice in enumerate(choices[: len(LETTERS)]):
        if fold(choice) == folded or (number is not None and value(choice, bare=True) == number):
            return place
    return None


def _contained(said: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the one choice whose words occur; of one that contains another, the longer."""
    folded = f" {fold(said)} "
    options = [fold(choice) for choice in choices[: len(LETTERS)]]
    hits = {words for words in options if words and f" {words} " in folded}
    longest = [words for words in hits if not any(words != other and words in other for other in hits)]
    return LETTERS[options.index(longest[0])] if len(longest) == 1 else None
