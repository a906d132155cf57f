"""Text as the database keeps it: compressed, and in characters that every database takes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

from chorus.errors import StoreError
from chorus.types import well_formed


def packed(text: str) -> bytes:
    """Return text compressed."""
    return zlib.compress(well_formed(text).encode())


def unpacked(debate: str, data: bytes) -> str:
    """Return what was packed of a debate. Raises StoreError where it is damaged."""
    try:
        return zlib.decompress(data).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"the record of {debate} in the store is damaged: {error}") from error


def unpacked_lines(debate: str, data: bytes | None) -> list[str]:
    """Return the lines of a packed text, none of an empty one. Raises StoreError."""
    text = unpacked(debate, data) if data else ""
    return text.split("\n") if text else []


def storable(text: str) -> str:
    """Return text that every database takes: PostgreSQL knows no NUL. The record itself keeps every character."""
    return well_formed(text).replace("\0", "\N{REPLACEMENT CHARACTER}")


def reasons_of(reasons: Sequence[str]) -> str | None:
    """Return reasons as one text, a JSON list; None where there are none."""
    return json.dumps([storable(reason) for reason in reasons], ensure_ascii=False) if reasons else None


def reasons_in(text: str | None) -> tuple[str, ...]:
    """Return the reasons that a text holds. One that an earlier version wrote, in words, is one reason."""
    if text is None:
        return ()
    try:
        found = json.loads(text)
    except ValueError:
        return (text,)
    return tuple(map(str, found)) if isinstance(found, list) else (text,)
