"""The key below a drawing: what its colours and marks mean. It names only those that the drawing uses."""

from __future__ import annotations

from chorus.record.drawing.labels import ems, escaped, percent, shortened
from chorus.record.drawing.layout import BOLD, MARGIN, Layout
from chorus.record.drawing.stances import OTHER, Stances
from chorus.record.drawing.strokes import cross, filled, head, line, ring

FONT = 12
"""Size of the letters, in pixels."""

ROW = 22
"""Height of a line, in pixels."""


def key(layout: Layout, stances: Stances, width: float) -> tuple[str, float]:
    """Return the key, in lines that fit the width, and the height at which it ends."""
    x, y = float(MARGIN), layout.bottom + 14
    drawn = []
    for mark, words, bold in (*_colours(stances), *_marks(layout)):
        room = 24 + ems(words) * FONT * (BOLD if bold else 1) + 16
        if x + room > width and x > MARGIN:
            x, y = float(MARGIN), y + ROW
        weight = ' font-weight="700"' if bold else ""
        drawn.append(
            f'<g transform="translate({x:.1f} {y:.1f})">{mark}'
            f'<text x="24" y="8" dy=".35em"{weight}>{escaped(words)}</text></g>'
        )
        x += room
    return f'<g font-size="{FONT}">{"".join(drawn)}</g>', y + ROW + 6


def _colours(stances: Stances) -> list[tuple[str, str, bool]]:
    items = []
    for stance in stances.coloured:
        share = f" · {percent(stance.support.share)}" if stance.support else ""
        words = f"{shortened(stance.answer, 28)}{share}"
        items.append((filled(0, 1, 18, 14, 4, stance.colour.fill), words, stance.wins))
    if others := len(list(stances)) - len(stances.coloured):
        items.append((filled(0, 1, 18, 14, 4, OTHER.fill), f"{others} other answer{'s' * (others > 1)}", False))
    return items


def _marks(layout: Layout) -> list[tuple[str, str, bool]]:
    turns = layout.turns.values()
    own = {layout.turns[one].seat == turn.seat for turn in turns for one in layout.heard[turn.id]}
    tip = head(((18, 8), 0))
    marks = (
        (False in own, line("M0 8H13", 0.6) + tip, "heard"),
        (True in own, line("M0 8H13", 0.6, dashed=True) + tip, "own earlier turn"),
        (any(turn.flipped_from for turn in turns), ring(1, 1, 16, 14, 5), "changed its answer"),
        (any(turn.status != "done" for turn in turns), cross(9, 8), "did not speak to its end"),
    )
    return [(mark, words, False) for used, mark, words in marks if used]
