"""The JSON schemas that a guided engine decodes positions, ballots and checks by.

Reasons come before the answer, so that they can bear on it, and the answer is held to the kind that the question wants.
Strings are bounded where they can be: a small model that is stuck would fill the whole turn with one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chorus.types import LETTERS, AnswerKind

MAX_REASONING = 4000
"""The reasoning's bound in the schema, in characters; longer ones aren't bounded, as grammars grow with it."""

_ANSWERS: dict[AnswerKind, dict[str, Any]] = {
    "number": {"type": "string", "pattern": r"^-?[0-9]{1,15}(\.[0-9]{1,9}|/[0-9]{1,9})?$"},
    "yesno": {"type": "string", "enum": ["yes", "no"]},
    "expression": {"type": "string", "maxLength": 300},
    "short": {"type": "string", "maxLength": 200},
}
"""What the answer may look like, by kind; the others are any string."""


def schema(kind: AnswerKind, choices: Sequence[str], max_tokens: int) -> str:
    """Return the JSON schema of a position.

    Args:
        kind: what sort of answer the question wants; it bounds the answer.
        choices: the options of a multiple-choice question; the answer is one of their letters.
        max_tokens: bound on the turn. Two characters a token are left to the reasoning, about half of what fits, so
            that the answer after it is not cut off.
    """
    answer = _ANSWERS.get(kind, {"type": "string"})
    if kind == "choice" and choices:
        answer = {"type": "string", "enum": list(LETTERS[: len(choices)])}
    fields = {
        "reasoning": _reasoning(max_tokens),
        "answer": answer,
        "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
    }
    return _object(fields)


def ballot_schema(answers: int) -> str:
    """Return the JSON schema of a ballot: the letters of that many answers, at most 26, best first."""
    letters = list(LETTERS[:answers])
    ranking = {"type": "array", "items": {"enum": letters}, "minItems": len(letters), "maxItems": len(letters)}
    return _object({"ranking": ranking})


def check_schema(max_tokens: int | None) -> str:
    """Return the JSON schema of a check: yes or no, and reasons before it where there is room for them, in tokens."""
    fields = {} if max_tokens is None else {"reasoning": _reasoning(max_tokens)}
    return _object({**fields, "answer": _ANSWERS["yesno"]})


def _reasoning(max_tokens: int) -> dict[str, Any]:
    return {"type": "string", **({"maxLength": 2 * max_tokens} if 2 * max_tokens <= MAX_REASONING else {})}


def _object(fields: dict[str, Any]) -> str:
    return json.dumps({"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False})
