"""One grading of answers: what answer a text gives, and whether two answers are the same.

Votes, eval scores and rewards all call this file, so that a voice that is right in a debate is right in its score and
in its reward. The parts are in `grading`:

    wording      which kind of answer a question wants        choices      options, and which of them is meant
    markers      where a text announces its answer            numerals     numbers, and their exact values
    conclusions  which number a text comes to                 words        short answers, yes and no
    readings     the answer of each other kind                blocks       programs and lists
    equality     when two answers are the same                expressions  mathematics, within bounds (and latex)

Invariants: any string may come in, and none raises; model text is never run; time is linear in the text, but for
expressions, whose comparison has a budget; an answer is `None` or has 1 … `MAX_ANSWER` characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chorus.debate.grading.choices import inline_choices, last_choice, letter_of, ranked_choices
from chorus.debate.grading.conclusions import announced_number, concluded_number
from chorus.debate.grading.equality import classes, same
from chorus.debate.grading.markers import (
    MAX_ANSWER,
    MAX_TEXT,
    announced,
    stated_confidence,
    tail,
    tidy,
    without_confidence,
)
from chorus.debate.grading.readings import (
    announced_expression,
    announced_short,
    concluded_expression,
    concluded_short,
    read_code,
    read_list,
    read_text,
)
from chorus.debate.grading.wording import wanted_kind
from chorus.debate.grading.words import clear_truth, opening_truth, truth
from chorus.types import LETTERS, AnswerKind, Question

__all__ = [
    "MAX_ANSWER",
    "MAX_TEXT",
    "classes",
    "comparable",
    "extract",
    "infer_choices",
    "infer_kind",
    "ranking",
    "same",
    "stated_confidence",
    "verdict",
]

_Reading = Callable[[str], str | None]


def infer_kind(question: Question) -> AnswerKind:
    """Return what sort of answer a question wants.

    Its own `kind` when set; `choice` when it has choices or its text lists some; else by its wording.
    """
    return wanted_kind(question)


def infer_choices(question: Question) -> tuple[str, ...]:
    """Return the options of a question: its own, else those written into its text (`(A) x (B) y`), else none."""
    return question.choices or inline_choices(question.text)


def comparable(kind: AnswerKind) -> bool:
    """Say whether answers of this kind can be put to a vote. Two free texts say the same in too many ways."""
    return kind != "text"


def extract(text: str, kind: AnswerKind, choices: Sequence[str] = ()) -> str | None:
    r"""Return the answer that a text stands for.

    What the text announces last (`Answer: …`, `The answer is …`, `\boxed{…}`, `#### …`) counts, if it can be read as
    the kind wanted; then what it announces before that; then what it concludes with, by rules of each kind. What the
    text says of its own confidence is never part of the answer.

    Args:
        text: What a voice said. Of a longer one, the last `MAX_TEXT` characters are read.
        kind: What sort of answer the question wants.
        choices: The options of a multiple-choice question, see `infer_choices`.

    Returns:
        The answer as the voice wrote it, without units, marks or reasons: a number as it stands, a capital letter for
        a choice, `yes` or `no`, the items of a list on one line. `None` when none is found.
    """
    if kind in ("text", "code"):
        whole = without_confidence(tail(text))
        found = read_text(whole) if kind == "text" else read_code(whole)
    else:
        found = _read(without_confidence(tidy(text)), kind, choices)
    return (found or "")[:MAX_ANSWER].strip() or None


def ranking(text: str, options: Sequence[str]) -> list[str]:
    """Return the options that a ballot ranks, best first.

    Args:
        text: What a voice answered when asked for the options' letters, best first.
        options: The answers on the table, in the order of the letters that they were shown under.

    Returns:
        Some or all of the options, each once; those left out were not named. Empty when nothing can be read.
    """
    ballot = without_confidence(tidy(text))
    said = next((said for said in announced(ballot, shorthand=False) if ranked_choices(said, options)), ballot)
    return [options[LETTERS.index(letter)] for letter in ranked_choices(said, options)]


def verdict(text: str) -> bool | None:
    """Return whether a check says yes: what its last line opens with, else its first; `None` when that is neither.

    What it says on the way is passed over: `the first step is correct` is no yes.
    """
    lines = [line for line in without_confidence(tidy(text)).split("\n") if line.strip()]
    said = (opening_truth(line) for line in (*lines[-1:], *lines[:1]))
    return next((one for one in said if one is not None), None)


def _read(text: str, kind: AnswerKind, choices: Sequence[str]) -> str | None:
    if kind == "list":
        return read_list(text)
    at_marker, without_marker = _readings(kind, choices)
    for said in announced(text, shorthand=kind != "choice"):
        if found := at_marker(said):
            return found
    return without_marker(text)


def _readings(kind: AnswerKind, choices: Sequence[str]) -> tuple[_Reading, _Reading]:
    """Return how a kind is read behind an announcement, and in a text without one."""
    if kind == "number":
        return announced_number, concluded_number
    if kind == "expression":
        return announced_expression, concluded_expression
    if kind == "choice":
        return lambda said: letter_of(said, choices), lambda text: last_choice(text, choices)
    if kind == "yesno":
        return lambda said: _yes_no(truth(said)), lambda text: _yes_no(clear_truth(text))
    return announced_short, concluded_short


def _yes_no(truth_value: bool | None) -> str | None:
    return None if truth_value is None else "yes" if truth_value else "no"
