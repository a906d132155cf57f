"""Plain YAML: the part of YAML that a card may use, read so that a stranger's file can do no harm.

No tags, no anchors or aliases (hence no cycles and no exponential documents), no duplicate keys, one document, little
depth. Values are built from parser events here; no YAML constructor ever runs. Text, numbers, truth values and nothing
are told apart, and no more: a plain date stays text. Reading goes on past a fault wherever it can, to find them all.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError

Where = tuple[str | int, ...]
"""The keys and list positions that lead to a value; empty for the whole document."""

MAX_DEPTH = 6
"""Lists and mappings inside one another. A card needs three; very deep ones overflow the stack."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser, ten times faster, where there is one.


class PlainYaml:
    """One document, read once: its value, where each part stands, and what may not be there."""

    def __init__(self, text: str) -> None:
        self.value: object = None
        """Dicts, lists, text, floats, truth values and None; None too in the place of an alias."""
        self.faults: list[tuple[Where, str]] = []
        """Each construct that is refused, with the reason."""
        self.lines: dict[Where, int] = {}
        """The line on which each value begins, from 1."""
        self.aliases: set[Where] = set()
        """Where an alias stood, and so nothing is known of the value."""
        self.broken = False
        """The text is not YAML to its end, so nothing can be said about what is missing."""
        self._loader = _LOADER(text)
        try:
            self._document()
        except yaml.YAMLError as error:
            self.broken = True
            self.faults.append(((), _syntax(error)))
        finally:
            self._loader.dispose()

    def _document(self) -> None:
        self._loader.get_event()  # The stream starts.
        if self._loader.check_event(yaml.DocumentStartEvent):
            self._loader.get_event()
            self.value = self._value(())
            self._loader.get_event()  # The document ends.
        if not self._loader.check_event(yaml.StreamEndEvent):
            self._refuse((), "holds several documents; a file is one card", self._loader.peek_event())

    def _value(self, where: Where) -> object:
        event = self._loader.get_event()
        self.lines[where] = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self.aliases.add(where)
            self._refuse(
                where, f"repeats another value (*{event.anchor}); aliases are not allowed, write it out", event
            )
            return None
        if event.anchor is not None:
            self._refuse(where, f"has an anchor (&{event.anchor}); anchors are not allowed", event)
        if event.tag is not None:
            self._refuse(where, f"has a YAML tag ({event.tag}); tags are not allowed", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if len(where) >= MAX_DEPTH:
            raise ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)
        return self._list(where) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(where)

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        kind = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit).rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return event.value.lower() in ("yes", "true", "on")
        if kind in ("int", "float"):
            try:
                return float(event.value)
            except ValueError:  # YAML 1.1 also takes other bases and clock times for numbers; no card needs those.
                return event.value
        return event.value

    def _list(self, where: Where) -> list[object]:
        items: list[object] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append(self._value((*where, len(items))))
        self._loader.get_event()
        return items

    def _mapping(self, where: Where) -> dict[str, object]:
        fields: dict[str, object] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            event = self._loader.peek_event()
            plain = isinstance(event, yaml.ScalarEvent)
            key = event.value if plain else "?"
            self._value((*where, key))  # The key itself; read as a value so that tags and anchors on it are found.
            value = self._value((*where, key))
            if not plain:
                self._refuse(where, "has a key that is not plain text", event)
            elif key in fields:
                self._refuse((*where, key), "is given twice", event)
            else:
                fields[key] = value
        self._loader.get_event()
        return fields

    def _refuse(self, where: Where, reason: str, event: Any) -> None:
        self.faults.append((where, f"{reason} (line {event.start_mark.line + 1})"))


def _syntax(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be parsed"
    mark = getattr(error, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"is not plain YAML: {problem}{place}"
