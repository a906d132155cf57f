"""The named shapes of a debate graph, over seats numbered from 0, and the SPECs they are written as.

A shape gives the pairs `(u, v)` for which *seat v hears seat u*. It is asked only about two seats or more; it refuses
options that don't fit their number. The order of the pairs doesn't matter, the topology sorts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import accumulate, combinations, pairwise, permutations, product
from random import Random
from types import MappingProxyType
from typing import get_args

import networkx as nx

from chorus.errors import TopologyError
from chorus.types import Visibility

Pairs = Iterable[tuple[int, int]]

VISIBILITIES: tuple[str, ...] = get_args(Visibility)
_MAX_SPEC_CHARS = 500


@dataclass(frozen=True, slots=True)
class Options:
    """What stood after a SPEC's colon."""

    numbers: Mapping[str, float]
    """Named numbers, defaults filled in."""
    counts: tuple[int, ...]
    """Bare numbers, in order: the sizes of `layers`."""
    visibility: str
    """How much of a turn every edge shows."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One named SPEC."""

    usage: str
    """The SPEC with all its options, as a user would write it."""
    summary: str
    """What it looks like, in one line."""
    pairs: Callable[[int, Options, Random], Pairs]
    """Number of seats (at least 2), options, source of randomness -> who hears whom."""
    defaults: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Numbers that it takes by name; a whole default takes whole numbers only."""
    counts: bool = False
    """Whether it takes bare numbers."""


def _complete(n: int, options: Options, rng: Random) -> Pairs:
    return permutations(range(n), 2)


def _ring(n: int, options: Options, rng: Random) -> Pairs:
    return ((seat, (seat + 1) % n) for seat in range(n))


def _star(n: int, options: Options, rng: Random) -> Pairs:
    return _both_ways((0, leaf) for leaf in range(1, n))


def _chain(n: int, options: Options, rng: Random) -> Pairs:
    return pairwise(range(n))


def _tree(n: int, options: Options, rng: Random) -> Pairs:
    """A heap written backwards: counted from the last seat, seat i speaks to seat (i - 1) // b."""
    branches = int(options.numbers["b"])
    if branches < 1:
        raise TopologyError(f"tree: b={branches} should be at least 1")
    return ((seat, n - 1 - (n - 2 - seat) // branches) for seat in range(n - 1))


def _small_world(n: int, options: Options, rng: Random) -> Pairs:
    """Watts and Strogatz 1998: a ring of k neighbours, each edge rewired with probability p."""
    k, p = int(options.numbers["k"]), options.numbers["p"]
    if not 2 <= k < n or k % 2:
        raise TopologyError(f"small-world: k={k} should be even, at least 2 and below the number of seats, {n}")
    if not 0 <= p <= 1:
        raise TopologyError(f"small-world: p={p} is a probability, from 0 to 1")
    return _both_ways(nx.watts_strogatz_graph(n, k, p, seed=rng).edges)


def _regular(n: int, options: Options, rng: Random) -> Pairs:
    """Steger and Wormald 1999. Their pairing takes minutes on a dense graph, so that one is drawn by its gaps."""
    d = int(options.numbers["d"])
    if not 1 <= d < n:
        raise TopologyError(f"regular: d={d} should be at least 1 and below the number of seats, {n}")
    if n * d % 2:
        raise TopologyError(f"regular: {n} seats can't each have d={d} neighbours, as {n} x {d} is odd")
    if d <= (n - 1) // 2:
        return _both_ways(nx.random_regular_graph(d, n, seed=rng).edges)
    gaps = nx.random_regular_graph(n - 1 - d, n, seed=rng)
    return _both_ways(pair for pair in combinations(range(n), 2) if not gaps.has_edge(*pair))


def _layers(n: int, options: Options, rng: Random) -> Pairs:
    counts = options.counts
    if not counts or min(counts) < 1 or sum(counts) != n:
        sizes = ",".join(map(str, counts)) or "nothing"
        raise TopologyError(f"layers: {sizes} should be sizes of at least 1 that add up to the number of seats, {n}")
    starts = [0, *accumulate(counts)]
    layers = [range(*ends) for ends in pairwise(starts)]
    return (pair for heard, hearing in pairwise(layers) for pair in product(heard, hearing))


def _none(n: int, options: Options, rng: Random) -> Pairs:
    return ()


def _both_ways(edges: Pairs) -> Pairs:
    return (pair for u, v in edges for pair in ((u, v), (v, u)))


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "complete": Shape("complete", "everybody hears everybody", _complete),
        "ring": Shape("ring", "each seat hears the one before it, the first the last", _ring),
        "star": Shape("star", "the first seat hears all others, and they hear it", _star),
        "chain": Shape("chain", "each seat hears the one before it", _chain),
        "tree": Shape("tree:b=2", "b seats speak to one, level by level, up to the last", _tree, {"b": 2}),
        "small-world": Shape(
            "small-world:k=2,p=0.2",
            "each seat and its k nearest hear each other, some links leap",
            _small_world,
            {"k": 2, "p": 0.2},
        ),
        "regular": Shape("regular:d=2", "each seat and d others, drawn at random, hear each other", _regular, {"d": 2}),
        "layers": Shape("layers:3,2,1", "each layer of seats is heard by the whole next one", _layers, counts=True),
        "none": Shape("none", "nobody hears anybody but itself", _none),
    }
)
"""Every named SPEC, in the order that help texts list them."""


def parse(spec: str) -> tuple[Shape, Options]:
    """Read a named SPEC: `NAME` or `NAME:OPTION,OPTION`.

    Raises:
        TopologyError: The name or an option is unknown, or an option is ill-formed.
    """
    name, colon, rest = spec[:_MAX_SPEC_CHARS].strip().partition(":")
    if name not in SHAPES or len(spec) > _MAX_SPEC_CHARS:
        near = get_close_matches(name.lower(), SHAPES, n=2)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        known = ", ".join(shape.usage for shape in SHAPES.values())
        raise TopologyError(f"unknown topology {name[:80]!r}{hint} Known: {known}, or a .graphml or .json file")
    return SHAPES[name], _options(name, rest.split(",") if colon else [])


def _options(name: str, items: Sequence[str]) -> Options:
    shape = SHAPES[name]
    numbers, counts, visibility = dict(shape.defaults), [], "full"
    given = Counter[str]()
    for item in items:
        key, equals, value = (part.strip() for part in item.partition("="))
        given[key] += bool(equals)
        if shape.counts and not equals:
            counts.append(int(_number(name, item, key, int)))
        elif given[key] > 1:
            raise TopologyError(f"{name}: option {key} is given twice")
        elif key == "visibility" and value in VISIBILITIES:
            visibility = value
        elif key in numbers and equals:
            numbers[key] = _number(name, item, value, type(numbers[key]))
        else:
            raise TopologyError(
                f"{name}: can't use option {item.strip()[:80]!r}; it is written {shape.usage}, and every topology "
                f"takes visibility={'|'.join(VISIBILITIES)}"
            )
    return Options(numbers, tuple(counts), visibility)


def _number(name: str, item: str, text: str, sort: type[float]) -> float:
    try:
        return sort(text)
    except ValueError:
        what = "a whole number" if sort is int else "a number"
        raise TopologyError(f"{name}: {item.strip()[:80]!r} should hold {what}") from None
