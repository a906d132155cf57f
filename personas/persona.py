"""The persona card: who speaks, how it reasons, how it sounds.

A `Persona` can't be made wrong: its text is short, printable, on one line, and free of chat-template tokens, so any
prompt may quote it. Runs of white space count as one space, so the layout of a YAML file never changes a card's hash.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

_TEMPLATE_TOKEN = re.compile(
    r"<\|.*?\|>"  # ChatML, Llama 3, Phi, DeepSeek
    r"|\[/?INST\]|<</?SYS>>|</?s>"  # Llama 2, Mistral
    r"|<(?:start|end)_of_turn>|<(?:bos|eos)>",  # Gemma
    re.IGNORECASE,
)
_JOINERS = "\u200c\u200d"  # The invisible characters that Persian, Indic scripts and emoji are spelt with.
_TAG = re.compile(r"[^\W_]+(?:-[^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a card, a folder of cards, or a request for them."""

    file: str
    """The file or folder at fault; `library` when a name was asked for that it doesn't hold."""
    field: str
    """Where in the card, as a dotted path that counts from 0 (`method.0`); `(file)` or `(folder)` for all of it."""
    reason: str
    """What is wrong, in plain words."""

    def __str__(self) -> str:
        return ": ".join(_printable(part) for part in (self.file, self.field, self.reason))


class PersonaError(Exception):
    """Cards can't be read, or can't be found. Its message shows every fault, one a line."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


def _printable(text: str) -> str:
    """Escape what could move a terminal's cursor or break the line: file names and keys may hold anything."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _one_line(value: object) -> object:
    """Make white space single and refuse what no prompt should carry. Other types are left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    for char in value:
        if _unseen(char):
            raise PydanticCustomError("unseen", f"holds the control or invisible character U+{ord(char):04X}")
    line = " ".join(value.split())
    # NFKC, because a tokenizer's normaliser may turn full-width look-alikes into the real token.
    if found := _TEMPLATE_TOKEN.search(unicodedata.normalize("NFKC", line)):
        raise PydanticCustomError("template_token", f"holds the chat-template token {found.group()!r}")
    return line


def _unseen(char: str) -> bool:
    """Tell control characters, bidirectional overrides, zero-width marks and lone surrogates."""
    return char not in "\t\n\r" and char not in _JOINERS and unicodedata.category(char) in ("Cc", "Cf", "Cs")


def _is_tag(tag: str) -> str:
    if tag != tag.lower() or not _TAG.fullmatch(tag):
        raise PydanticCustomError("tag", "must be a lowercase word; hyphens may join several")
    return tag


def _no_repeats(tags: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({tag for tag in tags if tags.count(tag) > 1})
    if twice:
        raise PydanticCustomError("repeated", f"names {', '.join(twice)} more than once")
    return tags


def _unsigned_zero(value: float) -> float:
    """Make -0.0 into 0.0: equal cards must have equal hashes."""
    return value + 0.0


_Line = BeforeValidator(_one_line)
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
_Step = Annotated[str, StringConstraints(min_length=1, max_length=400), _Line]
_Tag = Annotated[str, StringConstraints(max_length=40), AfterValidator(_is_tag), _Line]


class SamplingOffset(BaseModel):
    """What a persona adds to the sampling that its debate runs with; the planner keeps the sum in range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Annotated[_Number, Field(ge=-1.0, le=1.0), AfterValidator(_unsigned_zero)] = 0.0
    """Added to the temperature. Keep it small: personas should differ by method, and hot small models lose accuracy."""
    top_p: Annotated[_Number, Field(ge=-1.0, le=0.0), AfterValidator(_unsigned_zero)] = 0.0
    """Added to the nucleus mass; it can only narrow it."""


class Persona(BaseModel):
    """One card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: _Id
    """Names the card in casts, seats and records: a lowercase slug of at most 40 characters."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=80), _Line]
    """What readers see."""
    summary: Annotated[str, StringConstraints(min_length=1, max_length=240), _Line]
    """What it is for, in one sentence. Shown in lists; no voice reads it."""
    method: Annotated[tuple[_Step, ...], Field(min_length=2, max_length=8)]
    """How this mind works on a problem: two to eight steps, in order, each at most 400 characters."""
    cue: Annotated[str, StringConstraints(min_length=1, max_length=120), _Line]
    """The method as one short command that even a very small model can follow."""
    voice: Annotated[str, StringConstraints(min_length=1, max_length=240), _Line]
    """How it sounds. It colours the words; the method does the work."""
    expertise: Annotated[tuple[_Tag, ...], Field(max_length=32), AfterValidator(_no_repeats)] = ()
    """Lowercase words that a question it suits is likely to be about; empty for a generalist."""
    sampling: SamplingOffset = SamplingOffset()
    """What it adds to the debate's sampling; nothing by default."""

    @property
    def sha256(self) -> str:
        """Hash of the card as canonical JSON: every field, keys sorted, no spaces, UTF-8. In hexadecimal."""
        card = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(card.encode("utf-8")).hexdigest()
