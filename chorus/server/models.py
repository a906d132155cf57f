"""The models that the server lists: each is a way of answering, not a set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from chorus.config import Settings
from chorus.server.problems import Refusal
from chorus.types import Mode


@dataclass(frozen=True, slots=True)
class Way:
    """One way of answering."""

    id: str
    """The model's name."""
    mode: Mode
    description: str
    gate: bool = False
    """Whether the chorus is convened only where a few voices don't agree."""


_WAYS = (
    Way("chorus", "debate", "The voices debate along a graph, then decide."),
    Way("chorus-vote", "vote", "The voices answer apart from each other and vote."),
    Way("chorus-inner", "inner", "One model writes all voices in one call."),
    Way("chorus-solo", "solo", "One voice alone: the cheapest, for titles, tags and the like."),
)
_GATE = Way("chorus-gate", "debate", "A few voices first; all of them only where those don't agree.", gate=True)


def ways(settings: Settings) -> Mapping[str, Way]:
    """Return the ways of answering by name. The gate is one of them where a calibration file says when it may close."""
    gated = (_GATE,) if getattr(settings, "calibration", None) else ()
    return MappingProxyType({way.id: way for way in (*_WAYS, *gated)})


def way(known: Mapping[str, Way], model: str) -> Way:
    """Return the way of this name. Raises Refusal, 404, when there is none."""
    if model not in known:
        raise Refusal(
            f"there is no model {model[:80]!r}: choose one of {', '.join(known)}",
            status=404,
            param="model",
            code="model_not_found",
        )
    return known[model]
