r"""Positions stated as JSON, made plain words again; `position_schema` has the schema that guided voices are held to.

    {"reasoning": "7 times 8 is 56.", "answer": "56", "confidence": 90}

is streamed, recorded and heard by others as what a voice says when it is asked for text:

    7 times 8 is 56.
    Answer: 56
    Confidence: 90%

so that grading, confidence and the other voices' prompts need no second way. The reasoning is streamed as it is written.
Where the engine is not guided the prompt alone asks for JSON, and what comes is read as well as it can be, then repaired,
then taken as plain text. Invariants:

- any text may come in, and none raises;
- what was streamed is the beginning of the final text;
- the final text's tokens are those of the JSON, without its syntax: a confidence read off them is that of the words.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chorus.debate.json_reading import Field, JsonReading
from chorus.engines.base import Completion, TokenLogprob
from chorus.types import well_formed

MAX_PREFACE = 200
"""Characters before the JSON that wait for it to begin (```` ```json ````, `Sure, here it is:`); what talks longer is plain
text."""

MAX_REPAIR = 20_000
"""Characters of broken JSON that are repaired. Repair may take more than linear time."""

UNREADABLE = "wrote no JSON that could be read"
UNFINISHED = "ended its JSON before its answer"

_NUMBER = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})\s*(%?)\s*")


def ballot_text(text: str) -> str:
    """Return a ballot's letters as a voice would write them; text that is no such JSON as it is."""
    ranking = _loads(text).get("ranking")
    if isinstance(ranking, list) and ranking and all(isinstance(letter, str) for letter in ranking):
        return well_formed(", ".join(ranking))
    return text


@dataclass(frozen=True, slots=True)
class Stated:
    """A voice's words as they go into the record."""

    completion: Completion
    """With the words in place of the JSON."""
    trouble: str | None
    """What was wrong with the JSON, in words; `None` when it held an answer."""


class Listener:
    """Hears one position being written, and passes its words on. `say` takes each new piece of them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._raw = ""
        self._said = ""
        self._start: int | None = None
        """Where the JSON begins."""
        self._plain = False
        self._reading = JsonReading()
        self._streamed: Field | None = None
        self._heard = 0

    def take(self, piece: str) -> None:
        """Hear the next piece of what the voice writes."""
        self._raw += piece
        if self._plain:
            self._pass_on(self._raw)
        elif self._start is not None:
            self._read(piece)
        elif (start := self._raw.find("{")) >= 0:
            self._start = start
            self._read(self._raw[start:])
        elif len(self._raw) > MAX_PREFACE:
            self._plain = True
            self._pass_on(self._raw)

    def finish(self, completion: Completion) -> Stated:
        """Return what was said, once the voice has ended; what had not been passed on is passed on now."""
        if self._plain:
            return Stated(completion, UNREADABLE)
        fields = {} if self._start is None else self._fields()
        reasoning, answer, sure = (fields.get(name, Field()) for name in ("reasoning", "answer", "confidence"))
        if not reasoning.text.startswith(self._said):
            reasoning = Field(list(self._said))
        words = _Words()
        words.add("", reasoning)
        words.add("\nAnswer: " if reasoning.characters else "Answer: ", answer)
        if answer.characters:
            words.add("\nConfidence: ", _percent(sure))
        text = words.text
        if not text.strip():
            self._pass_on(completion.text)
            return Stated(completion, UNREADABLE)
        self._pass_on(text)
        said = dataclasses.replace(
            completion, text=text, logprobs=words.logprobs(completion.logprobs, self._start or 0)
        )
        return Stated(said, None if answer.characters else UNFINISHED)

    def _read(self, piece: str) -> None:
        self._reading.feed(piece)
        self._streamed = self._streamed or self._reading.fields.get("reasoning")
        if self._streamed and self._streamed.quoted:
            characters = self._streamed.characters
            # The first half of a surrogate pair waits for the second.
            waits = bool(characters) and "\ud800" <= characters[-1] <= "\udbff" and not self._streamed.whole
            new = well_formed("".join(characters[self._heard : len(characters) - waits]))
            if (self._said + new).strip():  # blanks alone may turn out to be all that there is, and no position
                self._heard += len(new)
                self._pass_on(self._said + new)

    def _pass_on(self, text: str) -> None:
        if len(text) > len(self._said):
            self._say(text[len(self._said) :])
            self._said = text

    def _fields(self) -> dict[str, Field]:
        """Return the fields as they were read, or as repair makes them."""
        read = {name.strip().casefold(): _trimmed(name, one) for name, one in self._reading.fields.items()}
        if "answer" in read and read["answer"].characters and not self._reading.lost:
            return read
        repaired = {
            name: Field(list(_spelled(value)))
            for name, value in _loads(self._raw[self._start :]).items()
            if name in ("reasoning", "answer", "confidence")
        }
        return repaired if "answer" in repaired or not read else read


@dataclass(slots=True)
class _Words:
    """The words of a position, and of each of their characters where in the JSON it ends; 0 where nobody knows."""

    text: str = ""
    places: list[int] = dataclasses.field(default_factory=list)

    def add(self, before: str, part: Field) -> None:
        """Add a field behind some words of our own, which count as part of its first character."""
        if part.characters:
            places = part.places or [0] * len(part.characters)
            self.text += before + part.text
            self.places += [places[0]] * len(before) + places

    def logprobs(self, tokens: Sequence[TokenLogprob], start: int) -> tuple[TokenLogprob, ...]:
        """Return the JSON's tokens cut to these words; joined they give `text`. `start` is where the JSON began."""
        if not tokens or not all(self.places) or len(self.places) != len(self.text):
            return ()
        cut: list[TokenLogprob] = []
        at, end = 0, 0
        for token in tokens:
            end += len(token.token)
            begin = at
            while at < len(self.places) and self.places[at] + start <= end:
                at += 1
            if at > begin:
                cut.append(TokenLogprob(self.text[begin:at], token.logprob))
        return tuple(cut) if at == len(self.text) else ()


def _loads(text: str) -> dict[str, Any]:
    """Return the first object that can be made of a text; empty when none can."""
    start = text.find("{")
    if start < 0:
        return {}
    import json_repair

    try:
        found = json_repair.loads(text[start : start + MAX_REPAIR])
    except Exception:  # noqa: BLE001 - whatever it stumbles over in a model's text, there is no JSON then
        return {}
    if isinstance(found, list):
        found = next((one for one in found if isinstance(one, dict)), {})
    return {str(name).strip().casefold(): value for name, value in found.items()} if isinstance(found, dict) else {}


def _spelled(value: Any) -> str:
    """Return a value as a voice would write it."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return well_formed(", ".join(value))
    if value is None:
        return ""
    try:
        return well_formed(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return ""


def _trimmed(name: str, one: Field) -> Field:
    """Return a field without white space around it; a value that is no string, as a voice would write it."""
    if name.strip().casefold() == "reasoning" and one.quoted:
        return one  # it was streamed as it stands
    if not one.quoted and one.text[:1] in ("[", "{", "n"):
        try:
            return Field(list(_spelled(json.loads(one.text))))
        except (ValueError, RecursionError):
            return Field()
    text = one.text
    if len(text) != len(one.characters):
        return Field(list(text.strip()))
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return Field(list(text[begin:end]), one.places[begin:end])


def _percent(sure: Field) -> Field:
    """Return a confidence as a percentage; empty when it is none. A share such as 0.8 is 80%, as 1.0 is 100%."""
    match = _NUMBER.fullmatch(sure.text)
    if not match:
        return Field()
    said = float(match[1])
    share = said if "." in match[1] and said <= 1 and not match[2] else said / 100
    if not math.isfinite(share) or share > 1:
        return Field()
    text = f"{round(100 * share)}%"
    return Field(list(text), sure.places[-1:] * len(text))
