"""A debate drawn: who heard whom, who stood for which answer, who changed it.

One SVG without scripts, links or fonts of its own. It takes the colour of the text around it where it is part of a
page, and follows the reader's light or dark setting where it is a file. Arrows into a turn light up under the pointer.
"""

from __future__ import annotations

from chorus.record.drawing.key import key
from chorus.record.drawing.labels import ems, escaped, shortened
from chorus.record.drawing.layout import BOX_HEIGHT, FONT, MARGIN, Layout
from chorus.record.drawing.stances import Stances
from chorus.record.drawing.strokes import RING, Head, bow, cross, curve, filled, head, hint, line, ring
from chorus.record.drawing.words import describe, told
from chorus.record.drawing.words import heading as heading_of
from chorus.types import Answer, Turn

MIN_WIDTH = 440.0
"""Room for the heading and the key beside small debates, in pixels."""

# `:root` is the drawing only where it is a file of its own; inside a page, the page's text colour holds.
_STYLE = (
    "svg.gc-svg:root{color-scheme:light dark;color:#1f2328}"
    "@media(prefers-color-scheme:dark){svg.gc-svg:root{color:#e6edf3}}"
    ".gc-svg .gc-turn:hover .gc-heard{stroke-opacity:1;stroke-width:2}"
)
_FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"


def svg(answer: Answer, *, heading: bool = True) -> str:
    """Draw a debate.

    Args:
        answer: The record of any debate, one that was cut or failed too.
        heading: Whether the question and the outcome stand above the drawing; a page that shows them needs none.

    Returns:
        An `<svg>` element, valid as a file and inside HTML. It is labelled and described for those who can't see it.
    """
    stances = Stances(answer)
    lines = heading_of(answer) if heading else []
    layout = Layout(answer, top=26 + 18 * len(lines) if lines else 4)
    width = max(layout.width, MIN_WIDTH)
    faint = layout.faint
    below, height = key(layout, stances, width)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gc-svg" role="img" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" color="currentColor" fill="currentColor" font-family="{_FONTS}" '
        f'font-size="{FONT}">',
        f"{hint(shortened(answer.question.text, 200))}<desc>{escaped(describe(answer))}</desc>",
        f"<style>{_STYLE}</style>",
        _heading(lines, width),
        _frame(layout),
        _trunks(layout),
        # The last column first: arrows then pass behind the boxes of the columns before theirs.
        *(_turn(turn, layout, stances, faint) for turn in reversed(answer.turns)),
        below,
        "</svg>",
    ]
    return "".join(parts)


# ---- the parts, back to front ----------------------------------------------------------------------------------------


def _heading(lines: list[str], width: float) -> str:
    if not lines:
        return ""
    room = int((width - 2 * MARGIN) / (FONT * 0.58))
    question, *others = lines
    below = (
        f'<text x="{MARGIN}" y="{46 + 18 * index}" fill-opacity=".7">{escaped(shortened(line, room))}</text>'
        for index, line in enumerate(others)
    )
    return (
        f'<text x="{MARGIN}" y="26" font-size="15" font-weight="600">'
        f"{escaped(shortened(question, int(room * 0.78)))}</text>{''.join(below)}"
    )


def _frame(layout: Layout) -> str:
    """The names of rows and columns."""
    heads = (
        f'<text x="{layout.column(index):.1f}" y="{layout.top + 18:.0f}">{layout.heading(index)}</text>'
        for index in layout.columns.values()
    )
    names = (
        f"<g>{hint(seat) if name != seat else ''}"
        f'<text x="{layout.left - 14:.1f}" y="{layout.row(seat):.1f}" dy=".35em">{escaped(name)}</text></g>'
        for seat, name in layout.names.items()
    )
    return (
        f'<g text-anchor="middle" font-size="11" fill-opacity=".65">{"".join(heads)}</g>'
        f'<g text-anchor="end">{"".join(names)}</g>'
    )


def _trunks(layout: Layout) -> str:
    """The speakers' halves of arrows that run together."""
    paths = []
    for bundle in layout.bundles:
        for speaker in bundle.speakers:
            x, y = layout.at(layout.turns[speaker])
            paths.append(curve((x + layout.box_width / 2, y), bundle.knot))
    return line("".join(paths), 0.45)


def _turn(turn: Turn, layout: Layout, stances: Stances, faint: float) -> str:
    return f'<g class="gc-turn">{hint(told(turn))}{_arrows(turn, layout, faint)}{_box(turn, layout, stances)}</g>'


def _arrows(turn: Turn, layout: Layout, faint: float) -> str:
    """The arrows into one turn. Those that arrive on one side share a head."""
    own, others = "", ""
    heads: dict[Head, None] = {}
    bundle = layout.trunk.get(turn.id)
    for speaker in (layout.turns[one] for one in layout.heard[turn.id]):
        if bundle and speaker.seat != turn.seat:
            continue
        path, tip = _route(layout, speaker, turn)
        heads[tip] = None
        own, others = (own + path, others) if speaker.seat == turn.seat else (own, others + path)
    if bundle:
        x, y = layout.at(turn)
        end = (x - layout.box_width / 2 - RING * bool(turn.flipped_from), y)
        others = curve(bundle.knot, end)
        heads[end, 0] = None
    return line(others, faint) + line(own, 0.4, dashed=True) + "".join(map(head, heads))


def _route(layout: Layout, speaker: Turn, hearer: Turn) -> tuple[str, Head]:
    """Return the path from one box to another, and where and which way its head points."""
    (x1, y1), (x2, y2) = layout.at(speaker), layout.at(hearer)
    ring_width = RING * bool(hearer.flipped_from)
    half, tall = layout.box_width / 2, BOX_HEIGHT / 2 + ring_width
    before, behind = (x2 - half - ring_width, y2), (x2 + half + ring_width, y2)
    if x1 < x2:
        return curve((x1 + half, y1), before), (before, 0)
    if x1 > x2:  # only an inner chorus, where a voice may speak twice before another speaks once, looks back
        return curve((x1 - half, y1), behind), (behind, 180)
    if abs(y1 - y2) <= layout.row_height:
        down = 1 if y2 > y1 else -1
        end = (x2, y2 - down * tall)
        return f"M{x1:.1f} {y1 + down * BOX_HEIGHT / 2:.1f}V{end[1]:.1f}", (end, 90 * down)
    return bow((x1 + half, y1), behind, x1 + half + layout.gap * 0.4), (behind, 180)


def _box(turn: Turn, layout: Layout, stances: Stances) -> str:
    stance = stances.of(turn) if turn.status == "done" else None
    x, y = layout.at(turn)
    left, top, wide = x - layout.box_width / 2, y - BOX_HEIGHT / 2, layout.box_width
    if stance is None:
        return _hollow(turn, layout, left, top)
    weight = ' font-weight="700"' if stance.wins else ""
    words = (
        f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="middle" fill="{stance.colour.text}"{weight}>'
        f"{escaped(layout.labels[turn.id])}</text>"
    )
    return filled(left, top, wide, BOX_HEIGHT, 8, stance.colour.fill) + words + _flip(turn, stances, left, top, wide)


def _hollow(turn: Turn, layout: Layout, left: float, top: float) -> str:
    """The box of a turn that gave no answer; crossed where it did not come to its end."""
    x, y = layout.at(turn)
    dashes = mark = ""
    if turn.status != "done":
        x += 8
        dashes = ' stroke-dasharray="4 3"'
        mark = cross(x - ems(layout.labels[turn.id]) * FONT / 2 - 8, y)
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{layout.box_width:.1f}" height="{BOX_HEIGHT}" rx="8" '
        f'fill-opacity="0" stroke="currentColor" stroke-opacity=".55"{dashes}/>{mark}'
        f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="middle" font-style="italic" '
        f'fill-opacity=".7">{layout.labels[turn.id]}</text>'
    )


def _flip(turn: Turn, stances: Stances, left: float, top: float, wide: float) -> str:
    """The ring around a changed answer, and on it the colour of the one given up."""
    before = stances.before(turn)
    if before is None:
        return ""
    return ring(left - RING, top - RING, wide + 2 * RING, BOX_HEIGHT + 2 * RING, 10.5) + (
        f'<circle cx="{left + 2:.1f}" cy="{top - 1:.1f}" r="5" fill="{before.colour.fill}" stroke="currentColor" '
        f'stroke-width="1.6"/>'
    )
