"""Orders in which a transcript could stand in a seat's prompt, to be compared by `prefix_order`.

An order takes the turns that a seat has heard, as the chorus lists them (by round, then by seat in the plan), with the
plan and the seat, and returns the same turns in its own order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from chorus.debate.prompts import Heard
from chorus.types import Plan

Order = Callable[[Sequence[Heard], Plan, str], Sequence[Heard]]


def by_round(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """Round after round, within each the seats in the plan's order: what the chorus does."""
    return heard


def by_seat(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """Seat after seat, each with all its turns: a conversation sorted by speaker."""
    places = _places(plan)
    return sorted(heard, key=lambda one: places[one.turn.seat])


def newest_first(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """The last round first: what is fresh stands before what is old."""
    return sorted(heard, key=lambda one: -one.turn.round)


def own_last(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """What others said, round after round, then one's own turns."""
    return sorted(heard, key=lambda one: one.turn.seat == seat)


def own_last_each_round(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """Round after round, and in each one's own turn last."""
    return sorted(heard, key=lambda one: (one.turn.round, one.turn.seat == seat))


def most_heard_first(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """Round after round, and in each the turns that most seats hear first."""
    hearers, places = Counter(speaker for speaker, _, _ in plan.edges), _places(plan)
    return sorted(heard, key=lambda one: (one.turn.round, -hearers[one.turn.seat], places[one.turn.seat]))


def shared_first(heard: Sequence[Heard], plan: Plan, seat: str) -> Sequence[Heard]:
    """Round after round, and in each an order of its own for every seat, by which groups of seats begin alike.

    The order is greedy: the speaker whom most seats hear comes first for all of those; they and the rest are then ordered
    among themselves. This is how a frequent-pattern tree is built (Han, Pei and Yin 2000), to share the longest beginnings.
    """
    places = _places(plan)
    hears = {one.seat: {one.seat} for one in plan.seats}
    for speaker, hearer, _ in plan.edges:
        hears[hearer].add(speaker)
    order = _greedily(hears, places)[seat]
    return sorted(heard, key=lambda one: (one.turn.round, order.index(one.turn.seat)))


ORDERS: Mapping[str, Order] = {
    "by round, then seat (ours)": by_round,
    "by round, most heard first": most_heard_first,
    "by round, shared beginnings first": shared_first,
    "by round, own turn last": own_last_each_round,
    "others by round, own turns last": own_last,
    "by seat, then round": by_seat,
    "newest round first": newest_first,
}


def _greedily(hears: Mapping[str, set[str]], places: Mapping[str, int]) -> dict[str, list[str]]:
    """Return each seat's order of speakers. `hears`: seat -> the speakers that are still to be placed."""
    counts = Counter(speaker for speakers in hears.values() for speaker in speakers)
    if not counts:
        return {seat: [] for seat in hears}
    first = min(counts, key=lambda speaker: (-counts[speaker], places[speaker]))
    sharing = _greedily({seat: said - {first} for seat, said in hears.items() if first in said}, places)
    others = _greedily({seat: said for seat, said in hears.items() if first not in said}, places)
    return {seat: [first, *order] for seat, order in sharing.items()} | others


def _places(plan: Plan) -> dict[str, int]:
    return {seat.seat: place for place, seat in enumerate(plan.seats)}
