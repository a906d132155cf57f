"""A topology from a file: GraphML, or node-link JSON as networkx and D3 write it.

Nodes are seat names and may carry a `persona`; edges may carry a `visibility`. What is read may come from anywhere, so
the file is bounded, a document type (the door to entity expansion) is refused before any XML is expanded, and an edge
drawn twice is refused rather than merged. Whether the nodes can be seats is `topology.check`'s business.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

import networkx as nx

from chorus.errors import TopologyError

SUFFIXES = (".graphml", ".json")
"""Endings, in lower case, by which a SPEC is known to be a file."""

MAX_FILE_BYTES = 1 << 20
"""Larger files are refused: 64 seats with every edge take a tenth of it."""

_FAULTS = (
    nx.NetworkXException,
    expat.ExpatError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What the parsers raise on files that are not what they should be; ElementTree's ParseError is a SyntaxError."""


def read(path: str | Path) -> nx.Graph[Any]:
    """Read a graph, directed or not, with its nodes and edges in file order.

    Raises:
        TopologyError: The file can't be read, is too large, isn't a graph of its kind, has a document type or is a
            multigraph.
    """
    data = _bytes(path)
    xml = str(path).lower().endswith(".graphml")
    try:
        graph = _graphml(data) if xml else _node_link(data)
    except _FAULTS as error:
        kind = "GraphML" if xml else "node-link JSON"
        raise TopologyError(f"{path} can't be read as {kind}: {error!s:.200}") from error
    except TopologyError as error:
        raise TopologyError(f"{path}: {error}") from None
    if graph.is_multigraph():
        raise TopologyError(f"{path}: a multigraph; a topology has at most one edge from one seat to another")
    return graph


def _bytes(path: str | Path) -> bytes:
    try:
        if not Path(path).is_file():
            raise TopologyError(f"topology file {path} is not there, or is no plain file")
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise TopologyError(f"topology file {path} can't be read: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise TopologyError(f"topology file {path} is larger than {MAX_FILE_BYTES:,} bytes")
    return data


def _graphml(data: bytes) -> nx.Graph[Any]:
    """Parse GraphML. networkx leaves the defaults of edges and nodes aside; they are filled in here."""
    _refuse_document_type(data)
    graph = nx.read_graphml(BytesIO(data))
    for values, default in (
        (dict(graph.nodes(data=True)).values(), graph.graph.get("node_default", {})),
        ((edge for _, _, edge in graph.edges(data=True)), graph.graph.get("edge_default", {})),
    ):
        for own in values:
            own.update({**default, **own})
    return graph


def _refuse_document_type(data: bytes) -> None:
    """Parse once with a parser that stops where a document type begins, whatever the file's encoding.

    Entities can be declared nowhere else, and ElementTree, which networkx reads with, would expand them.
    """

    def stop(*_: object) -> NoReturn:
        raise TopologyError("holds a document type (DOCTYPE), which is refused; GraphML needs none")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = stop
    parser.Parse(data, True)


def _node_link(data: bytes) -> nx.Graph[Any]:
    """Parse node-link JSON; edges stand under `edges`, or `links` as D3 and older networkx have it."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise TopologyError("holds no graph: node-link JSON is an object with nodes and edges")
    edges = "links" if "links" in content and "edges" not in content else "edges"
    if not isinstance(content.get("nodes"), list) or not isinstance(content.get(edges), list):
        raise TopologyError("holds no graph: node-link JSON has a list of nodes and a list of edges")
    graph = nx.node_link_graph(content, multigraph=False, edges=edges)
    if not graph.is_multigraph() and graph.number_of_edges() < len(content[edges]):
        raise TopologyError("draws an edge twice; a topology has at most one from one seat to another")
    return graph
