"""A JSON object read while it is being written: the words of one string as they come, and where each field stood.

Guided decoding gives JSON that is sound but may be cut off at any place, so every field that was begun counts, finished
or not. Only the top level matters; deeper values are kept as they were written. Each character of a field remembers
which character of the text it came from: that is how a field's tokens are found. Any text may come in, and none raises;
time is linear in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chorus.types import well_formed

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_State = Literal["before", "key", "colon", "value", "string", "bare", "after", "done", "lost"]


@dataclass(slots=True)
class Field:
    """One field's value: the string, or what stood there of another kind, as written."""

    characters: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Of each character, where in the text it ends."""
    whole: bool = False
    """Whether its end was seen."""
    quoted: bool = True
    """Whether it is a string."""

    @property
    def text(self) -> str:
        """The value. Half a surrogate pair is mended."""
        return well_formed("".join(self.characters))


@dataclass(slots=True)
class JsonReading:
    """What has been read so far. `fields` holds the top level, in order; of a repeated name the last."""

    fields: dict[str, Field] = field(default_factory=dict)
    _state: _State = "before"
    _at: int = 0
    _name: Field = field(default_factory=Field)
    _value: Field = field(default_factory=Field)
    _escape: str = ""
    _depth: int = 0
    _in_string: bool = False

    @property
    def lost(self) -> bool:
        """Whether the text turned out to be no JSON object."""
        return self._state == "lost"

    @property
    def done(self) -> bool:
        """Whether the object was closed; what comes after it doesn't count."""
        return self._state == "done"

    def feed(self, piece: str) -> None:
        """Read on."""
        for character in piece:
            self._at += 1
            if self._state in ("done", "lost"):
                return
            if self._state in ("key", "string"):
                self._in_quotes(character)
            elif self._state == "bare":
                self._in_bare(character)
            else:
                self._between(character)

    def _between(self, character: str) -> None:
        """Read what stands between names and values."""
        if character.isspace():
            return
        state, self._state = self._state, "lost"
        if state == "before" and character == "{":
            self._state = "after"
        elif state == "after" and character == '"':
            self._name, self._state = Field(), "key"
        elif state == "after" and character in ",}":
            self._state = "done" if character == "}" else "after"
        elif state == "colon" and character == ":":
            self._state = "value"
        elif state == "value":
            self._value = self.fields[self._name.text] = Field(quoted=character == '"')
            self._state = "string" if character == '"' else "bare"
            if character != '"':
                self._depth, self._in_string = 0, False
                self._in_bare(character)

    def _in_quotes(self, character: str) -> None:
        into = self._name if self._state == "key" else self._value
        if self._escape:
            self._escape += character
            self._unescape(into)
        elif character == "\\":
            self._escape = character
        elif character == '"':
            into.whole = True
            self._state = "colon" if self._state == "key" else "after"
        else:
            self._add(into, character)

    def _unescape(self, into: Field) -> None:
        kind, digits = self._escape[1], self._escape[2:]
        if kind != "u":
            self._add(into, _ESCAPES.get(kind, kind))
        elif digits and digits[-1] not in "0123456789abcdefABCDEF":
            self._state = "lost"
        elif len(digits) == 4:
            self._add(into, chr(int(digits, 16)))
        else:
            return
        self._escape = ""

    def _add(self, into: Field, character: str) -> None:
        before = into.characters[-1] if into.characters else ""
        if "\ud800" <= before <= "\udbff" and "\udc00" <= character <= "\udfff":
            character = (before + character).encode("utf-16", "surrogatepass").decode("utf-16")
            into.characters.pop()
            into.places.pop()
        into.characters.append(character)
        into.places.append(self._at)

    def _in_bare(self, character: str) -> None:
        """Read a number, a word, or a whole list or object, as it is written."""
        if self._in_string:
            self._in_string = character != '"' or self._escape == "\\"
            self._escape = "\\" if character == "\\" and not self._escape else ""
        elif not self._depth and (character in ",}" or character.isspace()):
            self._value.whole, self._state = True, "after"
            if not character.isspace():
                self._between(character)
            return
        else:
            self._in_string = character == '"'
            self._depth += (character in "[{") - (character in "]}")
        self._add(self._value, character)
