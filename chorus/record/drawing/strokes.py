"""The strokes that the drawing and its key are made of, as SVG."""

from __future__ import annotations

from chorus.record.drawing.labels import escaped

RING = 3.0
"""Distance of the ring around a changed answer from its box, in pixels."""

Point = tuple[float, float]

Head = tuple[Point, int]
"""The tip of an arrow, and the degrees by which it is turned from pointing right."""


def hint(words: str) -> str:
    """Return what shows under the pointer, for the group in which it stands first."""
    return f"<title>{escaped(words)}</title>"


def curve(start: Point, end: Point) -> str:
    """Return a path that leaves and arrives level."""
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        return f"M{x1:.1f} {y1:.1f}H{x2:.1f}"
    return bow(start, end, (x1 + x2) / 2)


def bow(start: Point, end: Point, by: float) -> str:
    """Return a path that leaves and arrives level, by way of an x."""
    (x1, y1), (x2, y2) = start, end
    return f"M{x1:.1f} {y1:.1f}C{by:.1f} {y1:.1f} {by:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"


def line(path: str, opacity: float, *, dashed: bool = False) -> str:
    """Draw a path, if there is one, as the shaft of arrows."""
    if not path:
        return ""
    dashes = ' stroke-dasharray="3 3"' if dashed else ""
    return (
        f'<path class="gc-heard" d="{path}" fill="none" stroke="currentColor" stroke-opacity="{opacity:.2f}"{dashes}/>'
    )


def head(at: Head) -> str:
    """Draw the head of an arrow."""
    (x, y), degrees = at
    turned = f' transform="rotate({degrees} {x:.1f} {y:.1f})"' if degrees else ""
    return f'<path d="M{x:.1f} {y:.1f}l-7 -3.5v7z" fill-opacity=".75"{turned}/>'


def cross(x: float, y: float) -> str:
    """Draw the mark of a turn that did not come to its end."""
    return f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" stroke="currentColor" stroke-width="1.8"/>'


def ring(x: float, y: float, width: float, height: float, radius: float) -> str:
    """Draw the mark of a changed answer."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}" fill="none" '
        f'stroke="currentColor" stroke-width="1.6"/>'
    )


def filled(x: float, y: float, width: float, height: float, radius: float, fill: str) -> str:
    """Draw a box of one colour; its edge keeps pale colours visible on pale pages."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}" fill="{fill}" '
        f'stroke="currentColor" stroke-opacity=".35"/>'
    )
