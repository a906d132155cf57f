"""What has been said so far, and who hears which of it.

The floor holds the debate graph unrolled over its rounds, and the turn that each node became. Turn `(r, v)` hears
`(r-1, u)` for each edge `u -> v`, and its own `(r-1, v)`; what a seat heard in earlier rounds it still has before it,
so that its prompts only ever grow at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import networkx as nx

from chorus.debate import grade, topology
from chorus.debate.prompts import Heard
from chorus.types import Plan, Question, Turn, Visibility

Node = tuple[int, str]
"""A turn's place: round and seat."""


@functools.lru_cache(maxsize=64)  # many debates at once mostly share one plan, and a graph is most of what each holds
def _unrolled(
    seats: tuple[str, ...], edges: tuple[tuple[str, str, Visibility], ...], rounds: int
) -> topology.TurnGraph:
    """Return the DAG of turns of a plan. It is frozen: debates of one plan share it."""
    turns: topology.TurnGraph = nx.freeze(topology.unroll(topology.from_edges(seats, edges), rounds))
    return turns


class Floor:
    """The turns of one debate, by place. Turns are added once and never change."""

    def __init__(self, plan: Plan, question: Question) -> None:
        self._plan = plan
        self._question = question
        self._order = {seat.seat: index for index, seat in enumerate(plan.seats)}
        self._edges: dict[tuple[str, str], Visibility] = {(u, v): seen for u, v, seen in plan.edges}
        # A seat sees its own earlier turns as fully as the fullest of the others': half a page of its own words
        # between one-word answers would drown them.
        self._own = {seat: self._fullest(seat) for seat in self._order}
        self.dag = _unrolled(tuple(self._order), plan.edges, plan.rounds)
        self._turns: dict[Node, Turn] = {}
        self._sorted: tuple[Turn, ...] | None = None

    def add(self, turn: Turn) -> None:
        """Put a turn, done or not, in its place."""
        self._turns[turn.round, turn.seat] = turn
        self._sorted = None

    def __contains__(self, node: Node) -> bool:
        return node in self._turns

    @property
    def turns(self) -> tuple[Turn, ...]:
        """By round, then by seat in the plan's order."""
        if self._sorted is None:
            last = len(self._order)
            places = sorted(self._turns, key=lambda node: (node[0], self._order.get(node[1], last), node[1]))
            self._sorted = tuple(self._turns[place] for place in places)
        return self._sorted

    def unspoken(self) -> topology.TurnGraph:
        """Return the part of the DAG that has no turns yet: all of it, unless the debate goes on from a record."""
        if not self._turns:
            return self.dag
        rest: topology.TurnGraph = self.dag.subgraph(node for node in self.dag if node not in self._turns)
        return rest

    def speeches(self) -> list[Turn]:
        """Return the turns that were spoken to their end and are put to the vote, oldest first."""
        return [turn for turn in self.turns if turn.kind == "speech" and turn.status == "done"]

    def heard(self, node: Node) -> list[Heard]:
        """Return what lies before a seat when it speaks: all it heard, this round and earlier, oldest first."""
        return [heard for earlier in range(1, node[0]) for heard in self._reaching(node[1], earlier)]

    def newly_heard(self, node: Node) -> tuple[str, ...]:
        """Return the ids of the turns of the round before that reach this one along the graph."""
        return tuple(heard.turn.id for heard in self._reaching(node[1], node[0] - 1))

    def place_after(self, last: int, seat: str) -> Node:
        """Return the place of a turn after the last round: the first one that is still free."""
        number = last + 1
        while (number, seat) in self._turns:
            number += 1
        return number, seat

    def round_after(self, last: int) -> int:
        """Return the number of the round after the last, and after all that was said or asked later."""
        return 1 + max([last, *(number for number, _ in self._turns)])

    def previous_answer(self, node: Node) -> str | None:
        """Return the answer that the seat stood for before this turn."""
        number, seat = node
        for earlier in range(number - 1, 0, -1):
            turn = self._turns.get((earlier, seat))
            if turn and turn.status == "done" and turn.position:
                return turn.position.answer
        return None

    def answers(self, most: int | None = None) -> list[str]:
        """Return the distinct answers that seats stand for now, in a fixed order that favours none.

        Of more than `most`, those with the most seats behind them.
        """
        newest: dict[str, str] = {
            turn.seat: turn.position.answer for turn in self.speeches() if turn.position is not None
        }
        said = list(newest.values())
        groups = grade.classes(said, self._plan.kind, self._question.choices)
        spelled = sorted((-len(group), min(said[index] for index in group)) for group in groups)
        return sorted(answer for _, answer in spelled[:most])

    def _reaching(self, seat: str, number: int) -> Iterator[Heard]:
        """Yield the finished speeches of a round that reach a seat, by speaker in the plan's order."""
        for speaker in self._order:
            visibility = self._own[seat] if speaker == seat else self._edges.get((speaker, seat))
            turn = self._turns.get((number, speaker)) if visibility else None
            if turn and visibility and turn.kind == "speech" and turn.status == "done":
                yield Heard(turn, visibility)

    def _fullest(self, seat: str) -> Visibility:
        heard = {visibility for (_, hearer), visibility in self._edges.items() if hearer == seat}
        return next((visibility for visibility in ("full", "summary", "answer") if visibility in heard), "full")
