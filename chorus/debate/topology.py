"""Who hears whom: a SPEC and the seats make a graph.

A topology is a `networkx.DiGraph` over seat names; its edge `u -> v` means *v hears u*, and the edge attribute
`visibility` says how much of u's turn v is shown (`full` where it is not set). Nodes and edges stand in the order of
the seats, so that one SPEC, one cast and one seed always give the same graph, whatever order a file had them in.
Every graph that leaves this file has passed `check`. Unrolled over rounds it is a DAG of turns, which is what runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import networkx as nx

from chorus.debate import graph_file, shapes
from chorus.errors import TopologyError
from chorus.types import Visibility

SeatGraph: TypeAlias = "nx.DiGraph[str]"
"""Seat names as nodes; `u -> v` means v hears u."""

TurnGraph: TypeAlias = "nx.DiGraph[tuple[int, str]]"
"""`(round, seat)` as nodes, rounds from 1; an edge runs from the turn heard to the turn that hears it."""

MAX_SEATS = 64
"""A larger chorus is refused: its prompts would hold more voices than any context window holds."""

MAX_ROUNDS = 32
"""More rounds are refused: each one adds every turn to every prompt."""

_SEAT = re.compile(r"\w[\w.-]{0,99}")


def build(spec: str, seats: Sequence[str], *, seed: int = 0) -> SeatGraph:
    """Make the graph that a SPEC describes over the seats.

    Args:
        spec: A name of `shapes.SHAPES` with its options (`ring`, `small-world:k=2,p=0.2`, `layers:3,2,1`), or the path
            of a `.graphml` or `.json` file (see `graph_file`). Every named SPEC also takes `visibility=` with `full`,
            `answer` or `summary`, for all its edges: `complete:visibility=answer`.
        seats: Names of the seats in the plan's order. One seat is legal for every named SPEC and gives no edges.
        seed: Makes `small-world` and `regular` repeatable.

    Raises:
        TopologyError: The SPEC is unknown or ill-formed, doesn't fit the seats, or its file can't be read.
    """
    if is_file(spec):
        return from_graph(graph_file.read(spec), seats)
    shape, options = shapes.parse(spec)
    _check_seats(seats)
    pairs = shape.pairs(len(seats), options, Random(seed)) if len(seats) > 1 else ()
    return from_edges(seats, ((seats[u], seats[v], options.visibility) for u, v in pairs))


def from_graph(graph: nx.Graph[Any], seats: Sequence[str]) -> SeatGraph:
    """Take any networkx graph over the seats: undirected edges run both ways, `visibility` is `full` unless given.

    Raises:
        TopologyError: As `check`; also for a multigraph.
    """
    if graph.is_multigraph():
        raise TopologyError("a topology has at most one edge from one seat to another: this graph is a multigraph")
    _check_seats(seats)
    _check_names(graph, seats)
    edges = [(u, v, data.get("visibility", "full")) for u, v, data in graph.edges(data=True)]
    if not graph.is_directed():
        edges += [(v, u, visibility) for u, v, visibility in edges]
    return from_edges(seats, edges)


def from_edges(seats: Sequence[str], edges: Iterable[tuple[str, str, Any]]) -> SeatGraph:
    """Make a graph of `(u, v, visibility)` edges, as a plan holds them.

    Raises:
        TopologyError: As `check`.
    """
    place = {seat: index for index, seat in enumerate(seats)}
    end = len(place)
    graph: SeatGraph = nx.DiGraph()
    graph.add_nodes_from(seats)
    for u, v, visibility in sorted(edges, key=lambda edge: (place.get(edge[0], end), place.get(edge[1], end))):
        graph.add_edge(u, v, visibility=visibility)
    check(graph, seats)
    return graph


def edges_of(graph: SeatGraph) -> tuple[tuple[str, str, Visibility], ...]:
    """Return the `(u, v, visibility)` edges in the order of the seats, as a plan holds them."""
    return tuple(graph.edges(data="visibility", default="full"))


def check(graph: SeatGraph, seats: Sequence[str]) -> None:
    """Refuse a graph that voices can't sit on.

    Raises:
        TopologyError: No seats, too many, ill-named or repeated ones; nodes that aren't the seats; a graph without
            directions; a seat that hears itself; a visibility that doesn't exist; or, in a graph with edges, a seat
            that neither hears nor is heard.
    """
    _check_seats(seats)
    if not graph.is_directed() or graph.is_multigraph():
        raise TopologyError("a topology is a networkx.DiGraph; from_graph makes one of another graph")
    _check_names(graph, seats)
    for u, v, visibility in graph.edges(data="visibility", default="full"):
        if u == v:
            raise TopologyError(f"seat {u} hears itself; its own last turn is always shown to it, without an edge")
        if visibility not in shapes.VISIBILITIES:
            raise TopologyError(
                f"edge {u} -> {v}: visibility {visibility!r} is none of {', '.join(shapes.VISIBILITIES)}"
            )
    alone = [seat for seat, degree in graph.degree() if degree == 0]
    if alone and graph.number_of_edges():
        raise TopologyError(
            f"{_some(alone)} neither hear nor are heard, while others do: give them an edge, or use the topology none"
        )


def unroll(graph: SeatGraph, rounds: int) -> TurnGraph:
    """Unroll a topology over rounds into the DAG of its turns.

    Turn `(r, v)` hears `(r-1, u)` for each edge `u -> v`, with that edge's visibility, and its own `(r-1, v)` in full.
    Round 1 hears nobody. Nodes run by round, then by seat; what a turn hears stands in the order of the seats.

    Raises:
        TopologyError: `rounds` is not from 1 to 32.
    """
    if not 1 <= rounds <= MAX_ROUNDS:
        raise TopologyError(f"{rounds} rounds: a debate has from 1 to {MAX_ROUNDS}")
    turns: TurnGraph = nx.DiGraph()
    turns.add_nodes_from((number, seat) for number in range(1, rounds + 1) for seat in graph)
    heard = [
        (u, v, visibility)
        for u in graph
        for v, visibility in ((u, "full"), *((v, data.get("visibility", "full")) for v, data in graph.adj[u].items()))
    ]
    turns.add_edges_from(
        ((number - 1, u), (number, v), {"visibility": visibility})
        for number in range(2, rounds + 1)
        for u, v, visibility in heard
    )
    return turns


def turn_id(round_: int, seat: str) -> str:
    """Return a turn's id, `ROUND.SEAT`."""
    return f"{round_}.{seat}"


def seat_names(personas: Sequence[str]) -> list[str]:
    """Name a seat for each persona: its id, and `skeptic-2`, `skeptic-3` … where it sits again.

    A number that would give a seat the id of another persona of the cast is passed over.
    """
    taken, seated = set(personas), set[str]()
    names = []
    for persona in personas:
        name, number = persona, 2
        while name in seated or (name != persona and name in taken):
            name, number = f"{persona}-{number}", number + 1
        seated.add(name)
        names.append(name)
    return names


def is_file(spec: str) -> bool:
    """Tell whether a SPEC names a file rather than a shape: it ends in `.graphml` or `.json`."""
    return spec.lower().endswith(graph_file.SUFFIXES)


def seats_in(path: str | Path) -> list[tuple[str, str | None]]:
    """Read the cast that a topology file brings: each node's name and, where it has one, its `persona`, in file order.

    Raises:
        TopologyError: The file can't be read, or its nodes can't be seats.
    """
    graph = graph_file.read(path)
    _check_seats(list(graph))
    cast = [(seat, data.get("persona")) for seat, data in graph.nodes(data=True)]
    for seat, persona in cast:
        if persona is not None and not (isinstance(persona, str) and persona.strip()):
            raise TopologyError(f"{path}: the persona of {seat} is {persona!r}, which is not a persona's id")
    return cast


def _check_seats(seats: Sequence[str]) -> None:
    if not seats:
        raise TopologyError("a debate needs at least one seat")
    if len(seats) > MAX_SEATS:
        raise TopologyError(f"{len(seats)} seats: a debate has at most {MAX_SEATS}")
    twice = [seat for seat, count in Counter(seats).items() if count > 1]
    if twice:
        raise TopologyError(f"seats named twice: {_some(twice)}; a persona's second seat is SEAT-2 (see seat_names)")
    for seat in seats:
        if not isinstance(seat, str) or not _SEAT.fullmatch(seat):
            raise TopologyError(f"{seat!r:.90} can't name a seat: letters, digits, and . _ - within, at most 100")


def _check_names(graph: nx.Graph[Any], seats: Sequence[str]) -> None:
    known = set(seats)
    unknown = [str(node) for node in graph if node not in known]
    if unknown:
        raise TopologyError(f"the topology names unknown seats: {_some(unknown)}; the seats are {_some(seats)}")
    missing = [seat for seat in seats if seat not in graph]
    if missing:
        raise TopologyError(f"the topology leaves out seats: {_some(missing)}")


def _some(names: Sequence[str]) -> str:
    """List names, the first dozen of a long list."""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(f"{name:.80}" for name in names[:12]) + more
