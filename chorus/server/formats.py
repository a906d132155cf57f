"""The format that an answer was asked for in, and whether a text keeps to it.

The schema comes from a stranger: it may name no other document, and its patterns are matched within a bound. The answer
comes from a model: of what surrounds its JSON, a code fence is forgiven where the engine could not be guided.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs

from chorus.server.problems import Refusal
from chorus.server.requests import JsonFormat, ResponseFormat, SchemaFormat

MAX_SCHEMA_CHARS = 50_000
MAX_BACKTRACKS = 100_000
ANY_OBJECT: dict[str, Any] = {"type": "object"}

_FENCE = re.compile(r"\A\s*```[a-z]*\s*\n(.*?)\n?\s*```\s*\Z", re.S)


class Format:
    """A JSON schema that the answer must fit. Raises Refusal when it is none."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = json.dumps(schema, ensure_ascii=False)
        """As text."""
        if len(self.schema) > MAX_SCHEMA_CHARS:
            raise _refused(f"is longer than {MAX_SCHEMA_CHARS:,} characters")
        try:
            bounds = jsonschema_rs.FancyRegexOptions(backtrack_limit=MAX_BACKTRACKS)
            self._validator = jsonschema_rs.validator_for(schema, pattern_options=bounds, retriever=_no_other_document)
        except (ValueError, RecursionError) as error:
            raise _refused(str(error).partition("\n")[0]) from None

    def complaint(self, text: str) -> str | None:
        """Return why a text doesn't fit the schema, in a few words; None when it fits."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            return f"it is no JSON: {error}"
        first = next(self._validator.iter_errors(value), None)
        if first is None:
            return None
        where = "/".join(str(part) for part in first.instance_path)
        return f"{first.message[:300]}{f' (at {where})' if where else ''}"


def format_of(asked: ResponseFormat | None) -> Format | None:
    """Return the format of a request; None for plain text. Raises Refusal when its schema is none."""
    if isinstance(asked, JsonFormat):
        return Format(ANY_OBJECT)
    if isinstance(asked, SchemaFormat):
        return Format(asked.json_schema.schema_)
    return None


def unwrapped(text: str) -> str:
    """Return a text without the code fence that models like to put around JSON."""
    fenced = _FENCE.match(text)
    return (fenced.group(1) if fenced else text).strip()


def _no_other_document(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:100]}, and only to itself it may")


def _refused(why: str) -> Refusal:
    return Refusal(
        f"the JSON schema can't be used: {why}", param="response_format.json_schema.schema", code="invalid_schema"
    )
