"""Whether two answers are the same.

For every kind but expressions an answer has a key, and answers are the same when their keys are: reflexive, symmetric
and transitive by construction. Expressions are compared pair by pair by math-verify, which is neither symmetric nor
transitive; `classes` makes it an equivalence by joining whatever is linked by a chain of equal pairs.

| kind | the same when |
|---|---|
| number | the values are (`numerals`): `56`, `56.0`, `$56`, `56 apples`; `1/2`, `0.5` and `50%`, but not `50` |
| expression | the values are, or math-verify says so, or the text is the same but for spaces |
| choice | they name the same letter |
| yesno | both say yes or true, or both no or false |
| list | the items are, one by one in order, as numbers or as short answers |
| short | the words are, without case, accents, punctuation and articles |
| code | the lines are, without common indent and trailing space |
| text | the words are, but for case and white space |

What can't be read as its kind is compared as a short answer.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence

from chorus.debate.grading.blocks import items_of, plain_code
from chorus.debate.grading.choices import letter_of
from chorus.debate.grading.expressions import Reader
from chorus.debate.grading.numerals import told_apart, value
from chorus.debate.grading.words import fold, squeeze, truth
from chorus.types import AnswerKind

Key = tuple[Hashable, ...]


def same(a: str, b: str, kind: AnswerKind, choices: Sequence[str] = ()) -> bool:
    """Say whether two answers are the same answer.

    Args:
        a: An answer, as `extract` gives it or as a question file holds it.
        b: Another. The order of the two doesn't matter.
        kind: What sort of answer the question wants.
        choices: The options of a multiple-choice question.
    """
    return len(classes([a, b], kind, choices)) == 1


def classes(answers: Sequence[str], kind: AnswerKind, choices: Sequence[str] = ()) -> list[list[int]]:
    """Put answers that are the same together.

    Returns:
        The classes as lists of indices into `answers`, both in order of first appearance. Which answers share a class
        doesn't depend on the order of `answers`.
    """
    options = tuple(choices)
    keys = [_key(answer, kind, options) for answer in answers]
    leaders = _equal_expressions(answers, keys) if kind == "expression" else {}
    found: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(leaders.get(key, key), []).append(index)
    return list(found.values())


@functools.lru_cache(maxsize=4096)  # the same few answers are compared again after every turn
def _key(answer: str, kind: AnswerKind, choices: tuple[str, ...]) -> Key:
    if kind == "number":
        return _number_key(answer)
    if kind == "expression":
        return _expression_key(answer)
    if kind == "choice" and (letter := letter_of(answer, choices)):
        return ("choice", letter)
    if kind == "yesno" and (said := truth(answer)) is not None:
        return ("yesno", said)
    if kind == "list":
        return ("list", *(_item_key(item) for item in items_of(answer)))
    if kind == "code":
        return ("code", plain_code(answer))
    if kind == "text":
        return ("text", squeeze(answer).casefold())
    return _item_key(answer)


def _number_key(answer: str) -> Key:
    number = value(answer)
    if number is None and "=" in answer:
        number = value(answer.rpartition("=")[2])
    return ("number", told_apart(number)) if number is not None else ("words", fold(answer))


def _item_key(answer: str) -> Key:
    words = fold(answer)
    number = value(answer, bare=True)
    if number is None:
        number = value(words, bare=True)  # `in 1969`
    return ("number", told_apart(number)) if number is not None else ("words", words)


def _expression_key(answer: str) -> Key:
    number = value(answer, bare=True)
    if number is not None:
        return ("number", told_apart(number))
    plain = answer.replace("\\left", "").replace("\\right", "").replace("\\dfrac", "\\frac").replace("**", "^")
    return ("expression", "".join(plain.split()).strip("$.") or squeeze(answer))


def _equal_expressions(answers: Sequence[str], keys: Sequence[Key]) -> dict[Key, Key]:
    """Map each key to that of its class.

    Keys are taken in an order of their own, not in that of the answers, so that nothing depends on who spoke first,
    not even which comparisons are still made when the reader's budget of work runs out.
    """
    spelled: dict[Key, str] = {}
    for key, answer in sorted(zip(keys, answers, strict=True), key=lambda pair: (str(pair[0]), pair[1])):
        spelled.setdefault(key, answer)
    reader = Reader()
    groups: list[list[Key]] = []
    for key, answer in spelled.items():
        equal = [group for group in groups if any(reader.same(answer, spelled[other]) for other in group)]
        groups = [group for group in groups if group not in equal] + [[key, *(k for group in equal for k in group)]]
    return {key: group[0] for group in groups for key in group}
