"""Words in the one form in which they are compared, and the words that say yes or no."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f]")
"""Combining marks of Latin, Greek and Cyrillic. Those of other scripts carry vowels, and stay."""
_JOINED = re.compile(r"['’`´]|(?<!\d)\.|\.(?!\d)|(?<=\d),(?=\d{3}(?!\d))")
_BETWEEN = re.compile(r"[^\w.+#%]+|_+")
_SMALL = re.compile(r"^(?:(?:a|an|the|in|on|at|by)\s)+|\bthe\s")

_TRUE = frozenset({"yes", "y", "true", "t", "yeah", "yep", "correct", "right"})
_FALSE = frozenset({"no", "n", "false", "f", "nope", "incorrect", "wrong"})

_OPENING = re.compile(
    r"[\W_]{0,12}(?:well,?\s|so,?\s|therefore,?\s)?(yes|no|true|false|yeah|yep|nope)\b(?!\s?[-–]\s?\w)", re.I
)
_CLEAR = re.compile(
    r"\b(?:is|says?|be|so|answer)[\s*:\"“]{1,4}(yes|no|true|false)\b(?=[\W_]{0,6}(?:[.,;:!?\n]|$))"
    r"|(?:^|[.!?\n]\s?)[*_\"“]{0,3}(yes|no|true|false)\b(?=[*_\"”]{0,3}\s?[.,;:!?\n]|[*_\"”]{0,3}$)"
    r"|\b(?:is|are)\s(?:indeed\s)?(true|false|correct|incorrect)\b"
    r"|\b(?:is|are)(?:\snot|n['’]t)\s(?P<denied>true|correct)\b",
    re.IGNORECASE,
)
_VERDICT = re.compile(
    r"[\W_]{0,12}(?:answer\W{1,6})?(?:(yes)\b|(no|true|false|correct|incorrect|wrong)\b(?!-\w)(?=\s?[^\w\s]|\s*$))",
    re.I,
)
_WORD = re.compile(r"[a-z]{1,10}", re.I)


def fold(text: str) -> str:
    """Reduce words to what is compared: no case, accents, punctuation, articles, or leading `in`, `on`, `at`, `by`.

    `+`, `#` and `%` stay, since `C`, `C++` and `C#` are three answers; so does text that would otherwise vanish.
    """
    plain = unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text))).casefold()
    words = " ".join(_BETWEEN.sub(" ", _JOINED.sub("", plain.replace("&", " and "))).split())
    return _SMALL.sub("", words).strip() or words or squeeze(plain)


def squeeze(text: str) -> str:
    """Make every run of white space one space, and trim."""
    return " ".join(text.split())


def truth(answer: str) -> bool | None:
    """Return what the first word says: yes or true, no or false, or neither (`None`)."""
    word = _WORD.search(answer)
    if word is None:
        return None
    said = word[0].lower()
    return True if said in _TRUE else False if said in _FALSE else None


def opening_truth(line: str) -> bool | None:
    """Return the yes or no that a line opens with. The `no` of `no step is wrong` is not one."""
    found = _VERDICT.match(line)
    return truth(found[1] or found[2]) if found else None


def clear_truth(text: str) -> bool | None:
    """Return the last clear yes or no of a text that announces none.

    Clear is one that stands as a sentence or opens one before a comma (`Yes, …`), one that is said of something
    (`… is false`), and one that opens the whole text. The `no` of `there is no doubt` is not.
    """
    last = None
    for match in _CLEAR.finditer(text):
        last = match
    if last:
        return False if last["denied"] else truth(next(group for group in last.groups() if group))
    opening = _OPENING.match(text)
    return truth(opening[1]) if opening else None
