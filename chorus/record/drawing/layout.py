"""Where the turns of a debate stand in its picture, and which arrows run between them.

Columns are rounds, then ballots, checks (an answer a column), rulings and syntheses; rows are seats, in the plan's order.
A closing turn belongs to no seat and stands half-way down. Invariants:

- an arrow is drawn for each turn heard, unless that turn was also heard by way of another that was heard; from one
  round to the next nothing can be left out by this rule, so a debate's own arrows are all there;
- where many seats hear the same many seats, their arrows run together through one point: each line into it leads on
  along each line out of it (a confluent drawing; Dickerson et al., "Confluent Drawings", 2003).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from chorus.record.drawing.labels import ems, percent, shortened
from chorus.record.drawing.strokes import Point
from chorus.record.drawing.words import stage, stage_name
from chorus.types import Answer, Turn

FONT = 13
"""Size of the letters, in pixels."""

BOLD = 1.1
"""How much wider bold letters are."""

BOX_HEIGHT = 28
MARGIN = 16
HEADINGS = 30
"""Room above the rows for the names of the columns, in pixels."""

MAX_LABEL = 16
"""Longest label in a box, in letters."""

MAX_NAME = 24
"""Longest seat name beside a row, in letters."""

BUNDLE_FROM = 6
"""From this many speakers to this many hearers arrows are run together; fewer can be followed one by one."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Arrows that run together: from all its speakers to all its hearers."""

    knot: Point
    speakers: tuple[str, ...]
    hearers: tuple[str, ...]


class Layout:
    """The places of one debate's turns, in pixels. `top` is what is left free above, for a heading."""

    def __init__(self, answer: Answer, top: float) -> None:
        turns = answer.turns
        self.turns = {turn.id: turn for turn in turns}
        self.heard = needed(turns)
        self.labels = {turn.id: label(turn) for turn in turns}
        seats = dict.fromkeys((*(seat.seat for seat in answer.plan.seats), *(t.seat for t in turns if not _closes(t))))
        self.seats = {seat: index for index, seat in enumerate(seats)}
        self.names = {seat: shortened(seat, MAX_NAME) for seat in seats}
        self.columns = {key: index for index, key in enumerate(sorted({stage(turn) for turn in turns}))}
        self.box_width = max(60.0, _longest(self.labels) * BOLD + 20)
        self.gap = min(150.0, 56.0 + 5.0 * len(seats))
        self.row_height = 46 if len(seats) <= 12 else 38
        self.left = MARGIN + _longest(self.names) + 14
        self.width = self.column(len(self.columns)) - self.box_width / 2 - self.gap * bool(self.columns) + MARGIN
        self.top = top
        self.bottom = top + HEADINGS + len(seats) * self.row_height
        self.bundles = self._bundles()
        self.trunk = {hearer: bundle for bundle in self.bundles for hearer in bundle.hearers}

    @property
    def faint(self) -> float:
        """Opacity of arrows that run singly: the more there are in a gap, the less each shows."""
        singly = sum(len(heard) for hearer, heard in self.heard.items() if hearer not in self.trunk)
        return max(0.22, min(0.5, 15 * max(1, len(self.columns) - 1) / (singly + 1)))

    def row(self, seat: str) -> float:
        """Return the middle of a seat's row."""
        return self.top + HEADINGS + (self.seats[seat] + 0.5) * self.row_height

    def column(self, index: int) -> float:
        """Return the middle of a column."""
        return self.left + index * (self.box_width + self.gap) + self.box_width / 2

    def heading(self, index: int) -> str:
        """Return what stands above a column."""
        return next(stage_name(key) for key, at in self.columns.items() if at == index)

    def at(self, turn: Turn) -> Point:
        """Return the middle of a turn's box."""
        x = self.column(self.columns[stage(turn)])
        return x, (self.top + HEADINGS + self.bottom) / 2 if _closes(turn) else self.row(turn.seat)

    def _bundles(self) -> list[Bundle]:
        """Find the hearers that heard the very same speakers of the column before; each such set is one bundle."""
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for hearer, heard in self.heard.items():
            alike[tuple(heard)].append(hearer)
        bundles = []
        for speakers, hearers in alike.items():
            if len(speakers) < BUNDLE_FROM or len(hearers) < BUNDLE_FROM:
                continue
            ends = [self.at(self.turns[turn]) for turn in (*speakers, *hearers)]
            right = max(x for x, _ in ends[: len(speakers)])
            left = min(x for x, _ in ends[len(speakers) :])
            if left > right:
                knot = ((left + right) / 2, sum(y for _, y in ends) / len(ends))
                bundles.append(Bundle(knot, speakers, tuple(hearers)))
        return bundles


def label(turn: Turn) -> str:
    """Return the words in a turn's box: its answer, or why it has none; of a check how likely the answer is right."""
    if turn.status != "done":
        return turn.status
    if turn.position is None:
        return "no answer"
    right = turn.position.confidence if turn.kind == "check" else None
    return (shortened(turn.position.answer, MAX_LABEL) or "(blank)") + ("" if right is None else f": {percent(right)}")


def needed(turns: Sequence[Turn]) -> dict[str, list[str]]:
    """Return what each turn heard, less what it also heard by way of another turn: the transitive reduction.

    A record whose turns hear each other in a circle, which no debate makes, is left as it is.
    """
    bit = {turn.id: 1 << index for index, turn in enumerate(turns)}
    heard = {turn.id: [one for one in dict.fromkeys(turn.heard) if one in bit and one != turn.id] for turn in turns}
    try:
        order = tuple(TopologicalSorter(heard).static_order())
    except CycleError:
        return heard
    reach: dict[str, int] = {}  # of each turn: the turns it knows of, as a bit set
    for turn in order:
        behind = 0
        for one in heard[turn]:
            behind |= reach[one]
        reach[turn] = behind
        for one in heard[turn]:
            reach[turn] |= bit[one]
        heard[turn] = [one for one in heard[turn] if not behind & bit[one]]
    return heard


def _closes(turn: Turn) -> bool:
    return turn.kind in ("ruling", "synthesis")


def _longest(texts: Mapping[str, str]) -> float:
    return max(map(ems, texts.values()), default=0.0) * FONT
