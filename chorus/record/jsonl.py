"""A record as one line of JSON: the whole of it (`schema: 1`), without a line break."""

from __future__ import annotations

import json

from pydantic import ValidationError

from chorus.errors import RecordError
from chorus.types import SCHEMA, Answer


def dumps(answer: Answer) -> str:
    """Return the line."""
    return answer.model_dump_json(by_alias=True)


def loads(line: str | bytes, where: str = "the record") -> Answer:
    """Return the record that a line holds. Raises RecordError, saying where and why it is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise RecordError(f"{where}: not JSON; if the file was cut off there, remove that line") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise RecordError(f"{where}: not a debate's record (no `schema`)")
    if data["schema"] != SCHEMA:
        raise RecordError(f"{where}: schema {data['schema']!r}; this version reads schema {SCHEMA}")
    try:
        return Answer.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{where}: {field}: {first['msg']}") from None
