"""From a debate to rows to train on: four ways of saying what it came to, each with the prompt that asks for it.

| form | style | the completion |
|---|---|---|
| `plain` | answer | the answer alone |
| `rationale` | answer | the words of the winner who was surest at the end, and the answer |
| `dialogue` | chorus | every turn, dissent and corrected mistakes kept, and the answer |
| `compressed` | chorus | the shortest words that still give each turn's answer, held positions left out; and the answer |

A dialogue is written so that `debate.inner` takes it apart again into the same turns; one that can't be is no row.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from chorus.debate import grade
from chorus.debate.prompts import plain
from chorus.distill import marks
from chorus.distill.cast import Cast
from chorus.distill.styles import Style, messages
from chorus.types import Answer, Frozen, Message, Turn

Form = Literal["plain", "rationale", "dialogue", "compressed"]

STYLE_OF: dict[Form, Style] = {"plain": "answer", "rationale": "answer", "dialogue": "chorus", "compressed": "chorus"}

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_CLOSING = re.compile(r"^[ \t>*_#-]{0,8}(?:final[ \t]{1,4})?answer[*_]{0,3}[ \t]{0,4}[:：].*", re.I | re.M)


class Said(Frozen):
    """One turn of a written dialogue."""

    name: str
    text: str


class Row(Frozen):
    """One example: a prompt, and what the model should say to it."""

    id: str
    """The question's id and the form."""
    form: Form
    style: Style
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    turns: tuple[Said, ...] = ()
    """Of a dialogue, who says what; the completion is written from them."""
    right: bool | None
    """The marks of the debate that it comes from, see `Mark`."""
    contested: bool
    flips: int


def rows(record: Answer, cast: Cast) -> Iterator[Row]:
    """Yield the rows that a debate gives: none when it came to nothing, fewer when a form can't be made of it."""
    if record.answer is None:
        return
    mark = marks.mark(record)
    marked = {"right": mark.right, "contested": mark.contested, "flips": mark.flips}
    names = {card.id: card.name for card in cast.personas}
    spoken = [turn for turn in record.turns if turn.kind == "speech" and turn.status == "done" and turn.text.strip()]

    def row(form: Form, text: str, turns: tuple[Said, ...] = ()) -> Row:
        return Row(
            id=f"{record.question.id}#{form}",
            form=form,
            style=STYLE_OF[form],
            prompt=messages(record.question, STYLE_OF[form]),
            completion=(Message(role="assistant", content=text),),
            turns=turns,
            **marked,
        )

    yield row("plain", _closing(record.answer))
    if reason := _rationale(record, spoken):
        yield row("rationale", f"{reason}\n{_closing(record.answer)}")
    written: dict[Form, list[tuple[Turn, str]]] = {
        "dialogue": _whole(spoken),
        "compressed": _compressed(spoken, record),
    }
    for form, kept in written.items():
        turns = tuple(Said(name=names[turn.persona], text=text) for turn, text in kept)
        text = dialogue(turns, record.answer)
        if turns and [(said.name, said.text) for said in turns] == read(text, cast):
            yield row(form, text, turns)


def dialogue(turns: Sequence[Said], answer: str) -> str:
    """Write a dialogue: a line `Name: …` for every turn, and the answer in a line that closes it."""
    return "\n".join([*(f"{said.name}: {said.text}" for said in turns), _closing(answer)])


def read(text: str, cast: Cast) -> list[tuple[str, str]]:
    """Return who says what in a written dialogue, as `(name, text)` in order."""
    names = {card.id: card.name for card in cast.personas}
    return [(names[voice.seat.persona], voice.text) for voice in cast.voices(text)]


def shuffled(row: Row, seed: int) -> Row:
    """Return a dialogue with its names dealt anew to every turn: the control in which a name says nothing.

    Rows of one voice come back as they are.
    """
    if not row.turns:
        return row
    draw = random.Random(f"{seed}:{row.id}")
    names = [said.name for said in row.turns]
    draw.shuffle(names)
    turns = tuple(said.model_copy(update={"name": name}) for said, name in zip(row.turns, names, strict=True))
    closing = row.completion[0].content.rpartition("\n")[2]
    text = "\n".join([*(f"{said.name}: {said.text}" for said in turns), closing])
    return row.model_copy(update={"turns": turns, "completion": (Message(role="assistant", content=text),)})


def _closing(answer: str) -> str:
    return f"Answer: {plain(answer)}"


def _rationale(record: Answer, spoken: Sequence[Turn]) -> str:
    """Return the words of the surest voice among the winners, without its own closing line."""
    winners = {seat for support in record.decision.support[:1] for seat in support.seats}
    last = {turn.seat: turn for turn in spoken if turn.seat in winners and turn.position}
    if not last:
        return ""
    surest = max(last.values(), key=lambda turn: (turn.position.confidence or 0.0) if turn.position else 0.0)
    return _clean(_CLOSING.sub("", surest.text))


def _whole(spoken: Sequence[Turn]) -> list[tuple[Turn, str]]:
    """Return every turn with its words: on one line, so that none of them can be taken for another voice's."""
    return [(turn, _line(turn.text)) for turn in spoken]


def _compressed(spoken: Sequence[Turn], record: Answer) -> list[tuple[Turn, str]]:
    """Return the turns that brought something new, each in the shortest words that give its answer."""
    kept: list[tuple[Turn, str]] = []
    for turn in spoken:
        first = all(other.seat != turn.seat for other, _ in kept)
        if turn.position and (first or turn.flipped_from is not None):
            kept.append((turn, _shortest(turn.text, turn.position.answer, record)))
    return kept


def _shortest(text: str, answer: str, record: Answer) -> str:
    """Return the shortest sentence of a text that says why, and by itself still gives its answer."""
    kind, choices = record.plan.kind, grade.infer_choices(record.question)
    sentences = [_line(part) for part in _SENTENCE.split(text) if part.strip()]
    for sentence in sorted(sentences, key=len):
        found = grade.extract(sentence, kind, choices)
        if len(sentence) > len(answer) + 10 and found is not None and grade.same(found, answer, kind, choices):
            return sentence
    return f"The answer is {_line(answer)}."


def _line(text: str) -> str:
    return " ".join(plain(text).split())


def _clean(text: str) -> str:
    return "\n".join(line.strip() for line in plain(text).split("\n") if line.strip())
