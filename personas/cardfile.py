"""One card file: bytes in, a `Persona` or every fault in it out; and back to YAML.

A file longer than 64 KiB is refused before it is parsed, and no more than that of it is ever read.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from personas.persona import Fault, Persona, PersonaError
from personas.plainyaml import PlainYaml, Where

MAX_BYTES = 64 * 1024
"""A card is a page of text; this is forty."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FIELDS = tuple(Persona.model_fields)

# What pydantic finds, in the words of someone who writes cards. Limits come from pydantic's own context.
_REASONS = {
    "missing": "is missing",
    "string_too_short": "is empty",
    "string_too_long": "is too long: at most {max_length} characters",
    "too_short": "has too few items: at least {min_length}",
    "too_long": "has too many items: at most {max_length}",
    "greater_than_equal": "is too small: at least {ge:g}",
    "less_than_equal": "is too large: at most {le:g}",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must be a lowercase slug of letters, digits and hyphens, such as devils-advocate",
}
_WANTED = {"string_type": "text", "tuple_type": "a list", "float_type": "a number", "model_type": "a mapping"}
_KINDS = {bool: "a truth value", float: "a number", str: "text", list: "a list", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of one file."""

    persona: Persona | None
    """The card; `None` exactly when there are faults."""
    faults: tuple[Fault, ...]
    """Every fault in the file."""
    claimed_id: object = None
    """What stands under `id`, in a faulty card too: two files that claim one id are a fault of their own."""


def read_card(path: str | Path) -> Persona:
    """Read one card. Raises PersonaError with every fault found in the file."""
    reading = examine(Path(path))
    if reading.persona is None:
        raise PersonaError(reading.faults)
    return reading.persona


def dump_card(persona: Persona) -> str:
    """Write a card as YAML that `read_card` reads back to an equal persona. Fields at their default are left out."""
    card = persona.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)


def examine(path: Path) -> Reading:
    """Read one card, collecting faults instead of raising."""
    file = str(path)
    text, refusal = _read_text(path)
    if refusal:
        return Reading(None, (Fault(file, "(file)", refusal),))
    document = PlainYaml(text)
    found = tuple(Fault(file, _dotted(where), reason) for where, reason in document.faults)
    if document.broken:
        return Reading(None, found)
    fields = document.value
    if fields is None:
        return Reading(None, found or (Fault(file, "(file)", "is empty"),))
    if not isinstance(fields, dict):
        reason = f"must be a mapping of fields (id: …, name: …), not {_KINDS[type(fields)]}"
        return Reading(None, (*found, Fault(file, "(file)", reason)))
    try:
        persona = Persona.model_validate(fields)
    except ValidationError as error:
        return Reading(None, found + _schema_faults(error, document, file), fields.get("id"))
    return Reading(None if found else persona, found, persona.id)


def _read_text(path: Path) -> tuple[str, str]:
    """Return `(text, "")`, or `("", why not)`."""
    if not os.path.isfile(path):  # A pipe would block, a device might never end.
        return "", "is not a regular file" if os.path.lexists(path) else "does not exist"
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        return "", f"can't be read: {error.strerror}"
    if len(data) > MAX_BYTES:
        return "", f"is {size:,} bytes long; a card is at most {MAX_BYTES:,}"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", f"is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        return "", f"holds the control character U+{ord(found.group()):04X} (line {line})"
    return text, ""


def _schema_faults(error: ValidationError, document: PlainYaml, file: str) -> tuple[Fault, ...]:
    faults = []
    for detail in error.errors(include_url=False):
        where = detail["loc"]
        if where in document.aliases:  # Refused already; what it would have stood for is unknown.
            continue
        line = f" (line {document.lines[where]})" if where in document.lines else ""
        faults.append(Fault(file, _dotted(where), _plain_words(detail) + line))
    return tuple(faults)


def _plain_words(detail: ErrorDetails) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown_field(detail["loc"])
    if kind in _REASONS:
        return _REASONS[kind].format(**detail.get("ctx", {}))
    if given is None:
        return "is empty"
    if kind in _WANTED:
        hint = "; put it in quotes" if kind == "string_type" and isinstance(given, bool | float) else ""
        return f"must be {_WANTED[kind]}, not {_KINDS[type(given)]}{hint}"
    return detail["msg"]


def _unknown_field(where: Where) -> str:
    close = difflib.get_close_matches(str(where[-1]), _FIELDS, n=1) if len(where) == 1 else []
    return "is not a field of a card" + (f"; did you mean {close[0]}?" if close else "")


def _dotted(where: Where) -> str:
    return ".".join(_shown(part) for part in where) or "(file)"


def _shown(part: str | int) -> str:
    """Quote a key that could be taken for a path, and cut one that would fill the screen."""
    text = str(part)
    if text.replace("-", "").replace("_", "").isalnum() and len(text) <= 40:
        return text
    return repr(text if len(text) <= 40 else text[:39] + "…")
