"""Who hears whom: what each SPEC gives, what is refused, and how rounds unroll."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.debate import topology
from chorus.debate.shapes import SHAPES
from chorus.errors import TopologyError

GREEKS = ("analyst", "skeptic", "builder", "historian", "judge")
NAMED = [
    "complete",
    "ring",
    "star",
    "chain",
    "tree",
    "small-world:k=2,p=0.2",
    "regular:d=2",
    "layers:2,2,1",
    "none",
]


def links(graph: Any) -> set[str]:
    """Write edges by the initials of their seats: `as` means that s hears a."""
    return {u[0] + v[0] for u, v in graph.edges}


class TestShapes:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("chain", "as sb bh hj"),
            ("ring", "as sb bh hj ja"),
            ("star", "as sa ab ba ah ha aj ja"),
            ("tree", "ah sh bj hj"),
            ("tree:b=3", "ah sj bj hj"),
            ("tree:b=1", "as sb bh hj"),
            ("layers:3,1,1", "ah sh bh hj"),
            ("layers:2,3", "ab ah aj sb sh sj"),
            ("layers:5", ""),
            ("none", ""),
            ("small-world:k=2,p=0", "as sb bh hj ja sa bs hb jh aj"),
        ],
    )
    def test_who_hears_whom(self, spec: str, expected: str) -> None:
        assert links(topology.build(spec, GREEKS)) == set(expected.split())

    def test_complete_is_everybody(self) -> None:
        assert topology.build("complete", GREEKS).number_of_edges() == 20

    @pytest.mark.parametrize(
        "spec", ["star", "complete", "small-world", "small-world:k=4,p=1", "regular", "regular:d=4"]
    )
    @pytest.mark.parametrize("seed", range(5))
    def test_both_ways(self, spec: str, seed: int) -> None:
        edges = set(topology.build(spec, GREEKS, seed=seed).edges)
        assert edges == {(v, u) for u, v in edges}

    @pytest.mark.parametrize("spec", NAMED)
    def test_one_seat_is_legal_and_hears_nobody(self, spec: str) -> None:
        graph = topology.build(spec, ["solo"])
        assert list(graph) == ["solo"]
        assert graph.number_of_edges() == 0

    @pytest.mark.parametrize("spec", ["complete", "ring", "star"])
    def test_two_seats_hear_each_other(self, spec: str) -> None:
        assert links(topology.build(spec, ["a", "b"])) == {"ab", "ba"}

    @pytest.mark.parametrize("spec", ["small-world:k=4,p=0.5", "regular:d=3"])
    def test_a_seed_repeats_a_random_graph_and_another_changes_it(self, spec: str) -> None:
        seats = [f"s{number}" for number in range(12)]
        drawn = [tuple(topology.build(spec, seats, seed=seed).edges) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]

    @pytest.mark.parametrize(("seats", "degree"), [(64, 62), (64, 40), (9, 4), (64, 1), (5, 4)])
    def test_regular_gives_everybody_the_same_number_even_when_dense(self, seats: int, degree: int) -> None:
        graph = topology.build(f"regular:d={degree}", [f"s{number}" for number in range(seats)])
        assert {heard for _, heard in graph.in_degree()} == {degree}

    @pytest.mark.parametrize("usage", [shape.usage for shape in SHAPES.values()])
    def test_what_help_shows_can_be_used(self, usage: str) -> None:
        assert len(topology.build(usage, [f"s{number}" for number in range(6)])) == 6

    def test_spaces_and_option_order_do_not_matter(self) -> None:
        expected = topology.build("small-world:k=2,p=0.9", GREEKS).edges
        assert topology.build(" small-world: p = 0.9 , k = 2 ", GREEKS).edges == expected

    def test_every_named_spec_takes_a_visibility(self) -> None:
        assert {seen for *_, seen in topology.edges_of(topology.build("ring", GREEKS))} == {"full"}
        for spec in ("ring:visibility=answer", "layers:4,1,visibility=answer", "regular:visibility=answer,d=2"):
            assert {seen for *_, seen in topology.edges_of(topology.build(spec, GREEKS))} == {"answer"}


class TestRefusals:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("rign", "unknown topology 'rign'; did you mean ring"),
            ("Star", "did you mean star"),
            ("web", "Known: complete, ring, star, chain, tree:b=2, small-world:k=2,p=0.2"),
            ("", "unknown topology ''"),
            ("x" * 10_000, "unknown topology"),
            ("ring:", "can't use option ''"),
            ("ring:k=2", "can't use option 'k=2'; it is written ring, and every topology takes visibility=full"),
            ("ring:visibility=half", "can't use option 'visibility=half'"),
            ("ring:visibility", "can't use option 'visibility'"),
            ("tree:2", "can't use option '2'; it is written tree:b=2"),
            ("tree:b=0", "b=0 should be at least 1"),
            ("tree:b=2,b=3", "option b is given twice"),
            ("small-world:k=two", "'k=two' should hold a whole number"),
            ("small-world:k=2.5", "should hold a whole number"),
            ("small-world:p=often", "'p=often' should hold a number"),
            ("small-world:k=5", "k=5 should be even, at least 2 and below the number of seats, 5"),
            ("small-world:k=6", "below the number of seats"),
            ("small-world:k=3", "should be even"),
            ("small-world:k=0", "at least 2"),
            ("small-world:p=1.5", "p=1.5 is a probability"),
            ("small-world:p=nan", "p=nan is a probability"),
            ("regular:d=3", "5 x 3 is odd"),
            ("regular:d=6", "below the number of seats, 5"),
            ("regular:d=0", "at least 1"),
            ("layers", "layers: nothing should be sizes"),
            ("layers:3,1", "3,1 should be sizes of at least 1 that add up to the number of seats, 5"),
            ("layers:5,0", "at least 1"),
            ("layers:7,-2", "at least 1"),
            ("layers:3,two", "'two' should hold a whole number"),
            ("layers:4,1,d=2", "can't use option 'd=2'"),
        ],
    )
    def test_specs(self, spec: str, message: str) -> None:
        with pytest.raises(TopologyError) as caught:
            topology.build(spec, GREEKS)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 600

    @pytest.mark.parametrize(
        ("seats", "message"),
        [
            ([], "at least one seat"),
            ([f"s{number}" for number in range(65)], "65 seats: a debate has at most 64"),
            (["a", "b", "a"], "seats named twice: a"),
            (["a", ""], "'' can't name a seat"),
            (["a", "b c"], "'b c' can't name a seat"),
            (["a", "b\n"], "can't name a seat"),
            (["a", "x" * 200], "can't name a seat"),
        ],
    )
    def test_seats(self, seats: list[str], message: str) -> None:
        for spec in ("complete", "none", "small-world"):
            with pytest.raises(TopologyError, match=message):
                topology.build(spec, seats)

    @pytest.mark.parametrize(
        ("edges", "message"),
        [
            ([("a", "b", "full"), ("b", "z", "full")], "names unknown seats: z; the seats are a, b, c"),
            ([("a", "a", "full"), ("a", "b", "full")], "seat a hears itself"),
            ([("a", "b", "full")], "c neither hear nor are heard"),
            (
                [("a", "b", "full"), ("b", "c", "half")],
                "edge b -> c: visibility 'half' is none of full, answer, summary",
            ),
            ([("a", "b", "full"), ("b", "c", ["full"])], "is none of"),
        ],
    )
    def test_edges(self, edges: list[tuple[str, str, Any]], message: str) -> None:
        with pytest.raises(TopologyError) as caught:
            topology.from_edges(["a", "b", "c"], edges)
        assert message in str(caught.value)

    def test_a_graph_of_ones_own(self) -> None:
        ring = nx.cycle_graph(["a", "b", "c"], create_using=nx.DiGraph)
        topology.check(ring, ["c", "a", "b"])
        with pytest.raises(TopologyError, match="leaves out seats: d, e"):
            topology.check(ring, ["a", "b", "c", "d", "e"])
        with pytest.raises(TopologyError, match="from_graph makes one"):
            topology.check(nx.path_graph(["a", "b"]), ["a", "b"])
        with pytest.raises(TopologyError, match="multigraph"):
            topology.from_graph(nx.MultiDiGraph([("a", "b")]), ["a", "b"])

    def test_long_lists_of_names_are_cut(self) -> None:
        graph = nx.path_graph([f"s{number}" for number in range(50)], create_using=nx.DiGraph)
        with pytest.raises(TopologyError, match="s11 and 38 more; the seats are a"):
            topology.from_graph(graph, ["a"])


class TestFiles:
    def test_graphml_round_trip(self, tmp_path: Path) -> None:
        graph = nx.DiGraph()
        graph.add_node("judge", persona="skeptic")
        graph.add_edge("analyst", "judge", visibility="summary")
        graph.add_edge("builder", "judge")
        nx.write_graphml(graph, tmp_path / "court.graphml")
        spec = str(tmp_path / "court.graphml")
        built = topology.build(spec, ["analyst", "builder", "judge"])
        assert topology.edges_of(built) == (("analyst", "judge", "summary"), ("builder", "judge", "full"))
        assert topology.seats_in(spec) == [("judge", "skeptic"), ("analyst", None), ("builder", None)]

    def test_graphml_defaults_count(self, tmp_path: Path) -> None:
        spec = write(tmp_path / "court.graphml", GRAPHML.format(nodes=nodes("a", "b"), edges=edge("a", "b")))
        assert topology.edges_of(topology.build(spec, ["a", "b"])) == (("a", "b", "answer"),)

    @pytest.mark.parametrize("key", ["edges", "links"])
    def test_node_link_json(self, tmp_path: Path, key: str) -> None:
        content = {
            "directed": True,
            "nodes": [{"id": "b", "persona": "skeptic"}, {"id": "a"}],
            key: [{"source": "b", "target": "a", "visibility": "answer"}],
        }
        spec = write(tmp_path / "Court.JSON", json.dumps(content))
        assert topology.edges_of(topology.build(spec, ["a", "b"])) == (("b", "a", "answer"),)
        assert topology.seats_in(spec) == [("b", "skeptic"), ("a", None)]

    def test_undirected_edges_run_both_ways(self, tmp_path: Path) -> None:
        graph = nx.path_graph(["a", "b", "c"])
        nx.write_graphml(graph, tmp_path / "line.graphml")
        write(tmp_path / "line.json", json.dumps(nx.node_link_data(graph)))
        for name in ("line.graphml", "line.json"):
            assert links(topology.build(str(tmp_path / name), ["a", "b", "c"])) == {"ab", "ba", "bc", "cb"}

    def test_the_order_of_the_file_does_not_show(self, tmp_path: Path) -> None:
        graph = nx.DiGraph([("c", "d"), ("b", "d"), ("a", "d")])
        write(tmp_path / "t.json", json.dumps(nx.node_link_data(graph)))
        built = topology.build(str(tmp_path / "t.json"), ["a", "b", "c", "d"])
        assert list(built) == ["a", "b", "c", "d"]
        assert list(built.predecessors("d")) == ["a", "b", "c"]

    def test_seats_must_be_those_of_the_file(self, tmp_path: Path) -> None:
        spec = write(tmp_path / "t.json", json.dumps(nx.node_link_data(nx.DiGraph([("a", "b"), ("b", "c")]))))
        with pytest.raises(TopologyError, match="unknown seats: c; the seats are a, b"):
            topology.build(spec, ["a", "b"])
        with pytest.raises(TopologyError, match="leaves out seats: d"):
            topology.build(spec, ["a", "b", "c", "d"])

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("t.json", "{", "can't be read as node-link JSON"),
            ("t.json", b"\xff\x00\xff", "can't be read as node-link JSON"),
            ("t.json", "[]", "is an object with nodes and edges"),
            ("t.json", '{"nodes": []}', "a list of nodes and a list of edges"),
            ("t.json", '{"nodes": [], "edges": []}', "at least one seat"),
            ("t.json", '{"nodes": [{"id": {}}], "edges": []}', "can't be read"),
            ("t.json", '{"nodes": [7], "edges": []}', "can't be read"),
            ("t.json", '{"nodes": [{"id": "a"}], "edges": [{"source": "a"}]}', "can't be read"),
            ("t.json", '{"nodes": [{"id": 7}], "edges": []}', "7 can't name a seat"),
            ("t.json", '{"nodes": [{"id": "a", "persona": 7}], "edges": []}', "the persona of a is 7"),
            ("t.json", '{"multigraph": true, "nodes": [{"id": "a"}], "edges": []}', "a multigraph"),
            (
                "t.json",
                '{"nodes": [], "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "a"}]}',
                "draws an edge twice",
            ),
            ("t.json", "[" * 100_000, "can't be read"),
            ("t.json", " " * (1 << 20) + "{}", "larger than 1,048,576 bytes"),
            ("t.graphml", "", "can't be read as GraphML"),
            ("t.graphml", "<graphml>", "can't be read as GraphML"),
            ("t.graphml", "<html/>", "can't be read as GraphML"),
        ],
    )
    def test_faulty_files(self, tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
        spec = write(tmp_path / name, content)
        with pytest.raises(TopologyError) as caught:
            topology.seats_in(spec)
        assert message in str(caught.value)

    def test_faulty_graphml(self, tmp_path: Path) -> None:
        for inside, message in (
            (edge("a", "b") * 2, "a multigraph"),
            (edge("a", "a") + edge("a", "b"), "hears itself"),
            (edge("a", "b", "half"), "visibility 'half'"),
            ("<hyperedge/>", "can't be read as GraphML"),
        ):
            spec = write(tmp_path / "t.graphml", GRAPHML.format(nodes=nodes("a", "b"), edges=inside))
            with pytest.raises(TopologyError, match=message):
                topology.build(spec, ["a", "b"])

    def test_files_that_are_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "folder.json").mkdir()
        for spec in (str(tmp_path / "absent.json"), str(tmp_path / "folder.json"), "nul\0.graphml"):
            with pytest.raises(TopologyError, match="topology file"):
                topology.build(spec, GREEKS)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp037"])
    def test_entity_bombs_are_refused_before_they_expand(self, tmp_path: Path, encoding: str) -> None:
        laughs = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
        head = f'<?xml version="1.0" encoding="{encoding.upper()}"?>'
        bomb = f'<!DOCTYPE x [<!ENTITY e0 "ha">{laughs}]><graphml>&e9;</graphml>'
        declared = "ascii" if encoding == "cp037" else encoding  # cp037 begins where the declaration ends
        data = head.encode(declared) + bomb.encode(encoding.replace("utf-16", "utf-16-le"))
        with pytest.raises(TopologyError):
            topology.seats_in(write(tmp_path / "bomb.graphml", data))

    def test_a_document_type_alone_is_refused(self, tmp_path: Path) -> None:
        text = '<!DOCTYPE graphml SYSTEM "http://example.org/g.dtd">' + GRAPHML.format(nodes=nodes("a"), edges="")
        for encoding in ("utf-8", "utf-16"):
            with pytest.raises(TopologyError, match=r"holds a document type \(DOCTYPE\)"):
                topology.seats_in(write(tmp_path / "t.graphml", text.encode(encoding)))

    def test_deep_files_do_no_harm(self, tmp_path: Path) -> None:
        text = "<a>" * 100_000 + "</a>" * 100_000
        with pytest.raises(TopologyError):
            topology.seats_in(write(tmp_path / "deep.graphml", text))

    def test_which_specs_are_files(self) -> None:
        assert topology.is_file("a/b.graphml")
        assert topology.is_file("B.JSON")
        assert not any(topology.is_file(spec) for spec in NAMED)

    @settings(max_examples=150)
    @given(st.data())
    def test_json_of_any_sort_is_read_or_refused(self, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
        scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["a", "b", "full"])
        anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=12)
        content = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "nodes": st.lists(objects(anything), max_size=3) | anything,
                    "edges": st.lists(objects(anything), max_size=3) | anything,
                    "graph": anything,
                    "directed": anything,
                    "multigraph": anything,
                },
            )
        )
        spec = write(tmp_path_factory.mktemp("any") / "t.json", json.dumps(content))
        for use in (topology.seats_in, lambda spec: topology.build(spec, ["a", "b"])):
            assert refused(use, spec) or use(spec) is not None


class TestUnroll:
    def test_each_round_hears_the_one_before_and_itself(self) -> None:
        turns = topology.unroll(topology.build("chain:visibility=answer", ["a", "b", "c"]), 2)
        assert list(turns) == [(1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "b"), (2, "c")]
        assert list(turns.predecessors((2, "b"))) == [(1, "a"), (1, "b")]
        assert turns.edges[(1, "a"), (2, "b")]["visibility"] == "answer"
        assert turns.edges[(1, "b"), (2, "b")]["visibility"] == "full"
        assert list(turns.predecessors((1, "b"))) == []

    def test_nobody_hears_anybody_is_legal_at_any_number_of_rounds(self) -> None:
        turns = topology.unroll(topology.build("none", ["a", "b"]), 3)
        assert set(turns.edges) == {((r, seat), (r + 1, seat)) for r in (1, 2) for seat in "ab"}

    def test_an_edge_without_visibility_shows_all(self) -> None:
        turns = topology.unroll(nx.DiGraph([("a", "b")]), 2)
        assert turns.edges[(1, "a"), (2, "b")]["visibility"] == "full"

    @pytest.mark.parametrize("rounds", [0, -1, 33])
    def test_rounds_are_bounded(self, rounds: int) -> None:
        with pytest.raises(TopologyError, match="from 1 to 32"):
            topology.unroll(topology.build("ring", GREEKS), rounds)

    @given(spec=st.sampled_from(NAMED), rounds=st.integers(1, 6), seed=st.integers(0, 99))
    def test_any_topology_unrolls_into_a_dag_by_rounds(self, spec: str, rounds: int, seed: int) -> None:
        graph = topology.build(spec, GREEKS, seed=seed)
        turns = topology.unroll(graph, rounds)
        assert nx.is_directed_acyclic_graph(turns)
        assert len(turns) == rounds * len(GREEKS)
        assert turns.number_of_edges() == (rounds - 1) * (graph.number_of_edges() + len(GREEKS))
        for number, seat in turns:
            heard = list(turns.predecessors((number, seat)))
            assert all(earlier == number - 1 for earlier, _ in heard)
            assert {u for _, u in heard} == ({seat, *graph.predecessors(seat)} if number > 1 else set())
            assert [GREEKS.index(u) for _, u in heard] == sorted(GREEKS.index(u) for _, u in heard)


class TestNames:
    def test_turn_ids(self) -> None:
        assert topology.turn_id(2, "skeptic") == "2.skeptic"

    @pytest.mark.parametrize(
        ("personas", "seats"),
        [
            ("skeptic builder", "skeptic builder"),
            ("skeptic builder skeptic skeptic", "skeptic builder skeptic-2 skeptic-3"),
            ("skeptic skeptic skeptic-2", "skeptic skeptic-3 skeptic-2"),
            ("skeptic-2 skeptic skeptic skeptic-2", "skeptic-2 skeptic skeptic-3 skeptic-2-2"),
        ],
    )
    def test_a_persona_may_hold_several_seats(self, personas: str, seats: str) -> None:
        assert topology.seat_names(personas.split()) == seats.split()

    @given(st.lists(st.sampled_from(["a", "a-2", "a-3", "a-2-2", "b"]), max_size=12))
    def test_names_are_distinct_and_each_persona_keeps_its_own(self, personas: list[str]) -> None:
        names = topology.seat_names(personas)
        assert len(set(names)) == len(personas) == len(names)
        for persona in personas:
            assert names[personas.index(persona)] == persona


class TestPlans:
    @given(spec=st.sampled_from(NAMED), shuffle=st.integers(0, 99))
    def test_a_graph_survives_as_a_plans_edges(self, spec: str, shuffle: int) -> None:
        graph = topology.build(spec, GREEKS, seed=3)
        edges = list(topology.edges_of(graph))
        Random(shuffle).shuffle(edges)
        rebuilt = topology.from_edges(GREEKS, edges)
        assert topology.edges_of(rebuilt) == topology.edges_of(graph)


GRAPHML = """\
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="v" for="edge" attr.name="visibility" attr.type="string"><default>answer</default></key>
<graph edgedefault="directed">{nodes}{edges}</graph></graphml>"""


def nodes(*names: str) -> str:
    return "".join(f'<node id="{name}"/>' for name in names)


def edge(source: str, target: str, visibility: str | None = None) -> str:
    data = f'<data key="v">{visibility}</data>' if visibility else ""
    return f'<edge source="{source}" target="{target}">{data}</edge>'


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def objects(inner: Any) -> Any:
    keys: Iterable[str] = ("id", "source", "target", "visibility", "persona", "key")
    return st.dictionaries(st.sampled_from(list(keys)), inner, max_size=4)


def refused(use: Callable[[str], object], spec: str) -> bool:
    """Return whether the use was refused as it should be; any other error passes through."""
    try:
        use(spec)
    except TopologyError:
        return True
    return False
