"""The models that the server lists: each is a way of answering, not a set of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from chorus.checkpoints import baked
from chorus.config import Settings
from chorus.debate import calibration
from chorus.engines.registry import split_spec
from chorus.errors import ConfigError
from chorus.server.grants import Standing, standing
from chorus.server.problems import Refusal
from chorus.types import Mode

MAX_ID = 200
"""Characters of a model's name: no request may hold more, and the store has room for no more."""


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
    standing: Standing = field(default_factory=Standing)
    """What it may do; whatever it likes unless it is a baked checkpoint."""


_WAYS = (
    Way("chorus", "debate", "The voices debate along a graph, then decide."),
    Way("chorus-vote", "vote", "The voices answer apart from each other and vote."),
    Way("chorus-inner", "inner", "One model writes all voices in one call."),
    Way("chorus-solo", "solo", "One voice alone: the cheapest, for titles, tags and the like."),
)
_GATE = Way("chorus-gate", "debate", "A few voices first; all of them only where those don't agree.", gate=True)


def ways(settings: Settings, checkpoints: Sequence[str] = (), *, allow_unaudited: bool = False) -> Mapping[str, Way]:
    """Return the ways of answering by name.

    The gate is one of them where a calibration file says when it may close. A baked checkpoint answers in two: by
    itself, under the name of its folder, and with its voices heard, under that name and `-inner`.

    Args:
        settings: the server's.
        checkpoints: engine SPECs of baked ones. The server's own engine may be one too.
        allow_unaudited: serve these without a legibility card that stands.

    Raises:
        ConfigError: one of these is no folder with a run card, is not granted to be served, or its name is taken or too
            long; the calibration file can't be read.
        CheckpointError: its run card can't be read.
    """
    gated = (_GATE,) if settings.calibration and calibration.load(settings.calibration).gate else ()
    folder = _folder(settings.engine)
    own = Standing()
    if folder and (folder / baked.RUN_CARD).is_file():
        own = standing(folder, allow_unaudited=allow_unaudited)
    found = {way.id: replace(way, standing=own) for way in (*_WAYS, *gated)}
    for spec in checkpoints:
        for one in _baked(spec, allow_unaudited):
            if len(one.id) > MAX_ID:
                raise ConfigError(
                    f"a model's name has at most {MAX_ID} characters: give the folder of {spec} a shorter one"
                )
            if one.id in found:
                raise ConfigError(f"two models would be named {one.id!r}: name the folder of {spec} otherwise")
            found[one.id] = one
    return MappingProxyType(found)


def _baked(spec: str, allow_unaudited: bool) -> tuple[Way, Way]:
    folder = _folder(spec)
    if folder is None or baked.read(folder) is None:
        raise ConfigError(
            f"{split_spec(spec)[1]} has no {baked.RUN_CARD} of an export: it is no checkpoint that was baked"
        )
    own = standing(folder, allow_unaudited=allow_unaudited)
    alone = "A model that the chorus was baked into, in its own words."
    heard = "The same model, its inner voices heard."
    return (
        Way(folder.name, "solo", alone, engine=spec, standing=own),
        Way(f"{folder.name}-inner", "inner", heard, engine=spec, standing=own),
    )


def _folder(spec: str) -> Path | None:
    """Return the folder of the checkpoint that an engine loads, or that holds the script which plays one, if any."""
    rest = Path(split_spec(spec)[1]).resolve()
    if not rest.exists():
        return None
    return rest if rest.is_dir() else rest.parent


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
