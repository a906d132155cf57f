"""How an answer of each kind is read, once it is known where the text announces it, or that it doesn't.

Where nothing is announced, a reading takes what a careful reader would, and otherwise gives `None`: a voice that can't
be understood abstains, which is better than putting a word into its mouth.
"""

from __future__ import annotations

import re

from chorus.debate.grading.blocks import bullets, is_bullet, joined, last_fence
from chorus.debate.grading.latex import to_latex
from chorus.debate.grading.markers import announced, heading

MAX_SHORT = 60
"""Characters up to which a sentence that can't be taken apart is itself a short answer."""

_QUOTES = ' \t\n*`"“”‘’'
_REASON = re.compile(r",? (?:because|since|as it|as the|which|who|so that)\b|, (?:but|so|and it)\b| [(—–]| - |;")
_END = re.compile(r"(\S{0,20})[.!?](?=\s|$|[*\"”])")
_ABBREVIATION = re.compile(r"(?:^|\W)(?:[A-Za-z]|St|Mt|Dr|Mr|Mrs|Ms|Jr|Sr|No|vs|etc|Inc|Ft|approx|U\.S)$")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_CONCLUDES = re.compile(r"^(?:so|therefore|thus|hence|in conclusion),? ", re.IGNORECASE)

_COPULA = re.compile(r"(.{1,200}?) (?:is|was|are|were|would be) (?!not\b)(.+)", re.IGNORECASE)
_AGENT = re.compile(r"(?:\w{1,20} )?\w{1,20}(?:ed|en|wn|un|lt|de|ut) (?:in|on|at|by) (.+)")
_DID = re.compile(
    r"((?:[A-Z][\w.'’-]{0,30} ?){1,5}) "
    r"(?:wrote|painted|invented|discovered|composed|directed|founded|created|developed|designed|built|won|sang) "
)
_PRONOUN = re.compile(r"(?:it|this|that|he|she|they|there)$", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:the|a|an|its|one|known|located)\b", re.IGNORECASE)
_RELATION = re.compile(r"\b(?:of|for|in|to)\b", re.IGNORECASE)
_SUPERLATIVE = re.compile(r"\b(?:most|first|last|only|largest|\w{2,12}[aeiou]?[b-df-hj-np-tv-z]est)\b", re.IGNORECASE)

_SPAN = re.compile(r"\$\$?([^$\n]{1,400})\$\$?|\\\((.{1,400}?)\\\)|\\\[([^\]]{1,400}?)\\\]")
_BEFORE_MATHS = re.compile(r"(?:\b(?:is|are|gives|get|equals|becomes|to|as)\b:?|:)\s")
_LIST_BEGINS = re.compile(r"(?:\b(?:are|is|be|include)\b:?|:)\s")
_QUOTED = re.compile(r"""\s{0,8}["“]([^"“”\n]{1,200})["”]""")
"""A quotation that a line begins with: whatever is said after it is said about it."""
_ASIDE = re.compile(r" \([^()\n]{0,200}\)\.?$")


def announced_short(said: str) -> str | None:
    """Read a short answer at the head of a line: without reasons, quotes, or the sentence built around it."""
    if (quoted := _QUOTED.match(said)) and quoted[1].strip(_QUOTES):
        said = quoted[1]
    sentence = _first_sentence(said)
    return _clean(_stated(sentence) or sentence)


def concluded_short(text: str) -> str | None:
    """Read a short answer from a text that announces none.

    The last span set in bold, else the sentence that concludes (`So …`), else the first sentence. Of a sentence that
    describes something and names it (`The capital of France is Paris`), the name; else the sentence, where it is short.
    """
    bold = [span for span in _BOLD.findall(text) if not span.rstrip().endswith(":")]
    if bold:
        return announced_short(bold[-1])
    lines = text.split("\n")
    concluding = [_CONCLUDES.sub("", line) for line in lines if _CONCLUDES.match(line)]
    sentence = _first_sentence((concluding or lines)[-1 if concluding else 0])
    if stated := _stated(sentence):
        return _clean(stated)
    return _clean(sentence) if len(sentence) <= MAX_SHORT else None


def _first_sentence(text: str) -> str:
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(match[1]) or match.end() == len(text):
            return text[: match.end() - 1].strip()
    return text.strip()


def _stated(sentence: str) -> str | None:
    """Return what a sentence names, where it describes something by `is` or tells who did it; else `None`."""
    if did := _DID.match(sentence):
        return did[1]
    copula = _COPULA.fullmatch(_cut(sentence))
    if copula is None:
        return None
    subject, predicate = copula[1], copula[2]
    if agent := _AGENT.fullmatch(predicate):
        return agent[1]
    if _PRONOUN.match(subject):
        return predicate
    described, describing = _description(subject), _description(predicate)
    return None if described == describing else predicate if described > describing else subject


def _description(phrase: str) -> int:
    """Weigh how much a phrase describes rather than names."""
    marks = (_ARTICLE.match(phrase), _RELATION.search(phrase), _SUPERLATIVE.search(phrase))
    return sum(mark_weight for mark, mark_weight in zip(marks, (1, 2, 2), strict=True) if mark)


def _cut(text: str) -> str:
    """Drop the reason or the aside that follows an answer."""
    reason = _REASON.search(text)
    return text[: reason.start()] if reason and text[: reason.start()].strip(_QUOTES) else text


def _clean(text: str) -> str | None:
    return _cut(text).strip(_QUOTES).rstrip(" .,:;!?*`\"”'").strip(_QUOTES) or text.strip() or None


def announced_expression(said: str) -> str | None:
    """Read an expression at the head of a line: the first span set as maths, else what stands before any reason."""
    span = _SPAN.search(said)
    if span:
        return next(group for group in span.groups() if group).strip() or None
    cut = re.split(r",? (?:because|since|as|which|so|where)\b|\.\s|\s\(because", said, maxsplit=1)[0]
    return cut.strip(" *`$").rstrip(".;,") or None


def concluded_expression(text: str) -> str | None:
    """Read an expression from a text that announces none.

    The last span set as maths, else what the last line comes to, if that can be read as maths. Of a chain `a = b = c`
    it is the last member.
    """
    spans = list(_SPAN.finditer(text))
    last_line = text.rpartition("\n")[2]
    said = next(group for group in spans[-1].groups() if group) if spans else last_line
    for begin in reversed([0, *(match.end() for match in _BEFORE_MATHS.finditer(said))][-8:]):
        found = announced_expression(said[begin:].rsplit("=", 1)[-1])
        if found and to_latex(found) and re.search(r"[0-9\\+*/^]|^[a-zA-Z]$", found):
            return found
    return None


def read_list(text: str) -> str | None:
    """Read a list: what is announced, else the last bullets, else the last line with commas; on one line."""
    head = heading(text)
    if head and bullets(head) and is_bullet(head):
        return joined(bullets(head))
    if announcement := head or next(announced(text), None):
        return _ASIDE.sub("", announcement.partition("\n")[0].strip(_QUOTES)).rstrip(". ") or None
    if items := bullets(text):
        return joined(items)
    lines = text.split("\n")
    line = next((line for line in reversed(lines) if "," in line), lines[-1])
    return _LIST_BEGINS.split(line)[-1].strip(_QUOTES).rstrip(". ") or None


def read_code(text: str) -> str | None:
    """Read a program: the last fenced block, else what follows `Answer:`, else the whole text."""
    return last_fence(text) or (heading(text) or text).strip("\n").rstrip() or None


def read_text(text: str) -> str | None:
    """Read a free answer: what follows the last line that opens with `Answer:`, else the whole text."""
    return (heading(text) or text).strip() or None
