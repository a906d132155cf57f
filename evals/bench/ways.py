"""The ways of holding one debate that are measured against each other, and what is measured of each.

Five seats, three rounds. What differs between two ways is what their fields say and nothing else: the cast, the words,
the questions and the length of every turn are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CAST = "decomposer,estimator,formalist,skeptic,tester"
SEATS = tuple(CAST.split(","))
ROUNDS = 3
SPREAD = 0.5
"""Coefficient of variation of the lengths in the part `uneven`."""

Part = Literal["even", "uneven"]
"""Whether all turns are equally long, or as unlike as real ones are."""

SERIAL, CONCURRENT, OURS = "serial, persona first", "concurrent, persona first", "ours, dataflow"
LIMIT, BATCH = "engine limit: same calls, same order", "engine limit: all calls at once"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of holding the debate."""

    name: str
    topology: str = "complete"
    layout: str = "shared"
    concurrency: int = 64
    """Calls that one debate may have in flight."""
    barrier: bool = False
    """Whether a round waits for the whole round before it."""
    decision: str = "borda"
    """Ranked rules hear everybody, and ask for no ballot where all agree: nothing ends early."""

    @property
    def may_stop(self) -> bool:
        """Whether turns may be left out once the outcome stands."""
        return self.decision != "borda"


EVEN = (
    Way(SERIAL, layout="system", concurrency=1),
    Way(CONCURRENT, layout="system"),
    Way("ours, barrier", barrier=True),
    Way(OURS),
    Way("ours, sparse: regular:d=2", topology="regular:d=2"),
    Way("ours, sparse: ring", topology="ring"),
    Way("ours, early stop", decision="plurality"),
)

TOPOLOGIES = ("complete", "regular:d=2", "layers:2,2,1", "ring")
UNEVEN = (
    *(Way(f"barrier, {spec}", topology=spec, barrier=True) for spec in TOPOLOGIES),
    *(Way(f"dataflow, {spec}", topology=spec) for spec in TOPOLOGIES),
    Way("dataflow, complete, early stop", decision="plurality"),
)

PARTS: dict[Part, tuple[Way, ...]] = {"even": EVEN, "uneven": UNEVEN}


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement. Tokens are the server's own count, those of aborted turns included."""

    part: Part
    way: str
    debates: int
    """At once."""
    repeat: int
    wall_s: float
    """From the first question to the last answer."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    calls: int
    """Sent to the engine, cancelled ones included."""
    first_token_s: float | None = None
    """From the start to a debate's first token, median over the debates; None for a replay, which is not streamed."""
    p50_s: float | None = None
    p95_s: float | None = None
    """Of the turns' latency, from the call to its end."""

    @property
    def key(self) -> tuple[Part, str, int, int]:
        """Names the measurement."""
        return self.part, self.way, self.debates, self.repeat

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that were not in the prefix cache."""
        return self.prompt_tokens - self.cached_tokens


def asked(number: int) -> str:
    """Return the question of a debate; each number has its own."""
    return f"What is {7 + number} * {8 + 3 * number}?"
