"""A debate to look at, and its graph to take elsewhere.

`svg` draws who heard whom, `html` lays the whole debate out, `graph` gives its turns to networkx, and `draw` writes any
of these to a file. All of it is made from the record alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import networkx as nx

from chorus import whole_file
from chorus.errors import ConfigError, NotSaved
from chorus.record.drawing.labels import clean, shortened
from chorus.record.drawing.page import html, page
from chorus.record.drawing.stances import Stances
from chorus.record.drawing.svg import svg
from chorus.types import Answer, Turn

__all__ = ["SUFFIXES", "draw", "graph", "html", "svg"]


def graph(answer: Answer) -> nx.DiGraph[str]:
    """Return the graph of a debate's turns.

    Returns:
        A node for each turn, in the record's order, named by its id, with `persona`, `seat`, `round`, `kind`, `status`,
        and, where there is one, `answer`, `confidence` and `flipped_from`. An edge from each turn to every turn that
        heard it, with the `visibility` at which it was heard. The graph's own attributes are the `question`, the
        `status` and `confidence` of the debate, and its `answer`, where there is one.
    """
    made: nx.DiGraph[str] = nx.DiGraph(
        question=answer.question.text,
        status=answer.status,
        confidence=answer.confidence,
        **_given(answer=answer.answer),
    )
    seen = {(u, v): visibility for u, v, visibility in answer.plan.edges}
    turns = {turn.id: turn for turn in answer.turns}
    made.add_nodes_from((turn.id, _attributes(turn)) for turn in answer.turns)
    made.add_edges_from(
        (one, turn.id, {"visibility": seen.get((turns[one].seat, turn.seat), "full")})
        for turn in answer.turns
        for one in turn.heard
        if one in turns
    )
    return made


def draw(answer: Answer, path: str | Path) -> None:
    """Write a debate to a file, as its suffix says: `.svg`, `.html`, `.graphml` or `.dot` (for Graphviz).

    Raises:
        ConfigError: The suffix is none of these.
        NotSaved: The file can't be written (a full disk, a missing folder or right). What stood there stands there still.
    """
    write = _WRITERS.get(Path(path).suffix.lower())
    if write is None:
        raise ConfigError(f"can't draw a debate as {str(path)!r}: its name should end in {', '.join(SUFFIXES)}")
    content = write(answer)
    try:
        whole_file.put(Path(path), content)
    except (OSError, ValueError) as error:
        raise NotSaved(f"can't draw the debate to {path}: {getattr(error, 'strerror', None) or error}") from error


def _attributes(turn: Turn) -> dict[str, Any]:
    position = turn.position
    return {
        "persona": turn.persona,
        "seat": turn.seat,
        "round": turn.round,
        "kind": turn.kind,
        "status": turn.status,
        **_given(
            answer=position and position.answer,
            confidence=position and position.confidence,
            flipped_from=turn.flipped_from,
        ),
    }


def _given(**values: Any) -> dict[str, Any]:
    """Leave out what is None: GraphML has no such value."""
    return {name: value for name, value in values.items() if value is not None}


def _standalone(answer: Answer) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg(answer)}\n'


def _graphml(answer: Answer) -> str:
    """GraphML in which every text can stand in XML."""
    made = graph(answer)
    for data in (made.graph, *made.nodes.values(), *made.edges.values()):
        data.update({name: clean(value) for name, value in data.items() if isinstance(value, str)})
    made = nx.relabel_nodes(made, {node: clean(node) for node in made})
    content = BytesIO()
    nx.write_graphml(made, content)
    return content.getvalue().decode()


def _dot(answer: Answer) -> str:
    """Graphviz, with the drawing's colours; rounds run from left to right."""
    stances = Stances(answer)
    lines = ["digraph {", "rankdir=LR", 'node [shape=box, style="rounded,filled", fillcolor=white]']
    for turn in answer.turns:
        stance = stances.of(turn)
        said = shortened(turn.position.answer, 40) if turn.position else "no answer"
        label = _quoted(f"{turn.id}\n{said if turn.status == 'done' else turn.status}")
        paint = f', fillcolor="{stance.colour.fill}", fontcolor="{stance.colour.text}"' if stance else ""
        lines.append(f"{_quoted(turn.id)} [label={label}{paint}]")
    lines += [f"{_quoted(one)} -> {_quoted(other)}" for one, other in graph(answer).edges]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


_WRITERS: Mapping[str, Callable[[Answer], str]] = MappingProxyType(
    {".svg": _standalone, ".html": page, ".graphml": _graphml, ".dot": _dot}
)

SUFFIXES = tuple(_WRITERS)
"""Endings of the names of files that `draw` can write."""
