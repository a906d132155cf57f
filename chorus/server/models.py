"""The models that the server lists: each is a way of answering, not a set of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from chorus.checkpoints import baked
from chorus.config import Settings
from chorus.engines.registry import split_spec
from chorus.errors import ConfigError
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
    engine: str = ""
    """SPEC of the engine of a baked checkpoint; empty for the server's own."""


_WAYS = (
    Way("chorus", "debate", "The voices debate along a graph, then decide."),
    Way("chorus-vote", "vote", "The voices answer apart from each other and vote."),
    Way("chorus-inner", "inner", "One model writes all voices in one call."),
    Way("chorus-solo", "solo", "One voice alone: the cheapest, for titles, tags and the like."),
)
_GATE = Way("chorus-gate", "debate", "A few voices first; all of them only where those don't agree.", gate=True)


def ways(settings: Settings, checkpoints: Sequence[str] = ()) -> Mapping[str, Way]:
    """Return the ways of answering by name.

    The gate is one of them where a calibration file says when it may close. A baked checkpoint answers in two: by
    itself, under the name of its folder, and with its voices heard, under that name and `-inner`.

    Args:
        settings: the server's.
        checkpoints: engine SPECs of baked ones.

    Raises:
        ConfigError: one of these is no folder with a run card, or its name is taken.
        CheckpointError: its run card can't be read.
    """
    gated = (_GATE,) if settings.calibration else ()
    known = {way.id: way for way in (*_WAYS, *gated)}
    for spec in checkpoints:
        for one in _baked(spec):
            if one.id in known:
                raise ConfigError(f"two models would be named {one.id!r}: name the folder of {spec} otherwise")
            known[one.id] = one
    return MappingProxyType(known)


def _baked(spec: str) -> tuple[Way, Way]:
    rest = Path(split_spec(spec)[1]).resolve()
    folder = rest if rest.is_dir() else rest.parent  # of a script that plays a checkpoint
    if baked.read(folder) is None:
        raise ConfigError(f"{folder} has no {baked.RUN_CARD} of an export: it is no checkpoint that was baked")
    return (
        Way(folder.name, "solo", "A model that the chorus was baked into, in its own words.", engine=spec),
        Way(f"{folder.name}-inner", "inner", "The same model, its inner voices heard.", engine=spec),
    )


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
