"""What a reader is told, in plain words; the live view and the plain one say the same.

Invariant: what leaves here can't drive a terminal. Models, servers and files write most of the text, so all of it goes
through `clean`, or through `one_line`, which does.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chorus.record.drawing.labels import percent
from chorus.types import Answer, Dissent, Plan, Support, Turn, TurnKind

_JOINERS = "\u200c\u200d"  # The invisible characters that Persian, Indic scripts and emoji are spelt with.

_ANSWER_LINE = re.compile(r"[\s*_#>-]*(?:(?:(?:final )?answer|confidence)[\s*_]*:|\Z)", re.IGNORECASE)

_MODES = {"debate": "debate", "vote": "vote without talk", "inner": "inner chorus, one call", "solo": "solo"}

_MAX_ROWS = 12
"""Answers in the final support table; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the summary."""

    label: str
    text: str
    support: Support | None = None
    """On a row of the support table: what it shows, for views that can draw it."""

    def __str__(self) -> str:
        return f"{self.label + ':':<12}{self.text}".replace("\n", "\n" + 12 * " ")


def clean(text: str) -> str:
    """Return the text with every character that could move a cursor, recolour, ring or reorder spelt out as an escape.

    Line breaks stay; tabs become spaces.
    """
    text = text.replace("\r\n", "\n").expandtabs(4)
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _harmless(char: str) -> bool:
    if char == "\n" or char in _JOINERS:
        return True
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def one_line(text: str, limit: int = 200) -> str:
    """Return the text clean, on one line, and no longer than `limit` characters."""
    line = " ".join(clean(text[: 8 * limit]).split())
    return line if len(line) <= limit and len(text) <= 8 * limit else line[: limit - 1].rstrip() + "…"


def reasons(text: str) -> str:
    """Return a turn's words without the last lines that only give its answer, which is shown beside them."""
    lines = text.rstrip().split("\n")
    while len(lines) > 1 and _ANSWER_LINE.match(lines[-1]):
        lines.pop()
    return "\n".join(lines)


def speaker(persona: str, kind: TurnKind, names: Mapping[str, str], plan: Plan | None) -> str:
    """Return the display name of who speaks: its card's where that is known, else one made from the persona's id."""
    if plan and plan.mode == "inner" and kind == "ruling":
        return "The inner chorus"
    return one_line(names.get(persona) or f"The {persona.replace('-', ' ').title()}", 60)


def heard_line(seat: str, turns: tuple[str, ...], plan: Plan | None) -> str:
    """Return which other seats a seat heard, given the ids of their turns; empty when it heard only itself."""
    seats = tuple(name for turn in turns if (name := turn.partition(".")[2] or turn) != seat)
    if len(seats) > 2 and plan and len(seats) >= len(plan.seats) - 1:
        return f"← all {len(seats)} others"
    return f"← {seats_line(seats, 5)}" if seats else ""


def stand(turn: Turn, limit: int = 60) -> str:
    """Return what a finished turn stands for: `56 (71%)`, a ballot's ranking, or that there is no answer in it.

    A check stands for how likely the answer is right: `56 (71% right)`.

    `limit` bounds the answer, in characters.
    """
    position = turn.position
    if position is None and turn.kind == "check":
        return "no yes or no found"
    if position is None:
        return "no answer: cut at the token limit" if turn.finish == "length" else "no answer found"
    if position.ranking:
        return one_line(" > ".join(position.ranking), limit)
    right = " right" if turn.kind == "check" else ""
    sure = "" if position.confidence is None else f" ({percent(position.confidence)}{right})"
    return one_line(position.answer, limit) + sure


def seats_line(seats: tuple[str, ...], limit: int = 12) -> str:
    """Return the names of seats in a line; those beyond `limit` are counted."""
    shown = ", ".join(one_line(seat) for seat in seats[:limit])
    return f"{shown} +{len(seats) - limit}" if len(seats) > limit else shown


def plan_line(plan: Plan) -> str:
    """Return the plan in one line: mode, size, topology, rounds, rule, engine, and the cast."""
    parts = [_MODES[plan.mode]]
    if plan.mode != "solo":
        parts.append(_count(len(plan.seats), "voice"))
    if plan.mode == "debate":
        parts += [one_line(plan.topology), _count(plan.rounds, "round")]
    parts += [plan.decision, one_line(plan.engine), ", ".join(seat.seat for seat in plan.seats)]
    return " · ".join(parts)


def summary(answer: Answer) -> list[Row]:
    """Return how a debate ended: the answer, how sure, the support, the dissent, what went otherwise, and the cost."""
    several = len(answer.plan.seats) > 1
    rows = []
    if answer.status == "failed":
        rows.append(Row("Failed", one_line(answer.reason or "nothing could be decided", 1000)))
    elif answer.answer is not None:
        rows.append(Row("Answer", clean(answer.answer)))
        alone = "" if several else ", over a single voice"
        rows.append(Row("Confidence", f"{percent(answer.confidence)} (rule: {answer.decision.rule}{alone})"))
    if answer.status == "cut":
        rows.append(Row("Cut short", one_line(answer.reason or "before the plan was done", 1000)))
    if several:
        rows += _support(answer.decision.support)
        rows += _dissent(answer)
    rows += _remarks(answer)
    rows += [Row("Turns", text) for text in _turns(answer)]
    rows.append(Row("Cost", _cost(answer)))
    return rows


def _support(support: tuple[Support, ...]) -> list[Row]:
    rows = []
    for row in support[:_MAX_ROWS]:
        text = f"{one_line(row.answer, 60)}  {percent(row.share)}  {seats_line(row.seats)}".rstrip()
        rows.append(Row("Support", text, row))
    if len(support) > _MAX_ROWS:
        rows.append(Row("Support", f"and {_count(len(support) - _MAX_ROWS, 'answer')} more"))
    return rows


def _dissent(answer: Answer) -> list[Row]:
    dissent = answer.dissent
    if dissent is None:
        agreed = answer.answer is not None and len(answer.decision.support) == 1
        return [Row("Dissent", "none")] if agreed else []
    return [Row("Dissent", _dissenting(dissent))]


def _dissenting(dissent: Dissent) -> str:
    held = f"{one_line(dissent.answer, 60)} ({percent(dissent.share)}, {seats_line(dissent.seats)})"
    words = one_line(reasons(dissent.text), 300)
    return f"{held}, in {one_line(dissent.turn)}: “{words}”" if words else held


def _remarks(answer: Answer) -> list[Row]:
    tie = answer.decision.tie
    notes = dict.fromkeys(one_line(note, 1000) for note in (answer.decision.note, *answer.notes) if note)
    return ([Row("Tie", one_line(tie, 1000))] if tie else []) + [Row("Note", note) for note in notes]


def _turns(answer: Answer) -> Iterator[str]:
    """Say how the turns ended, where not all were spoken to their end."""
    ends = Counter(turn.status for turn in answer.turns)
    if len(ends) > 1 or (ends and not ends["done"]):
        yield ", ".join(f"{ends[status]} {status}" for status in ("done", "failed", "cancelled") if ends[status])


def _cost(answer: Answer) -> str:
    usage = answer.usage
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    tokens = f"{usage.prompt_tokens:,} tokens read{cached}, {usage.completion_tokens:,} written"
    return f"{_count(usage.calls, 'call')}, {tokens}, {usage.wall_s:.1f} s"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
