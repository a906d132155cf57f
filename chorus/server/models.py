"""The models that the server lists: each is a way of answering, not a set of weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from chorus import checkpoints
from chorus.checkpoints import CATALOGUE, adapters, baked
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


def ways(settings: Settings, specs: Sequence[str] = (), *, allow_unaudited: bool = False) -> Mapping[str, Way]:
    """Return the ways of answering by name.

    The gate is one of them where a calibration file says when it may close. A baked checkpoint answers in two: by
    itself, under the name of its folder, and with its voices heard, under that name and `-inner`.

    Args:
        settings: the server's.
        specs: of the engines of baked checkpoints. The server's own engine may be one too.
        allow_unaudited: serve these without a legibility card that stands.

    Raises:
        ConfigError: one of these is no folder with a run card, is not granted to be served, or its name is taken or too
            long; the calibration file can't be read.
        CheckpointError: its run card can't be read.
    """
    gated = (_GATE,) if settings.calibration and calibration.load(settings.calibration).gate else ()
    found_at = _folders(settings.engine)
    own = Standing()
    if found_at and (found_at[0] / baked.RUN_CARD).is_file():
        own = standing(*found_at, allow_unaudited=allow_unaudited)
    found = {way.id: replace(way, standing=own) for way in (*_WAYS, *gated)}
    for spec in specs:
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
    found_at = _folders(spec)
    if found_at is None or baked.read(found_at[0]) is None:
        raise ConfigError(
            f"{split_spec(spec)[1]} has no {baked.RUN_CARD} of an export: it is no checkpoint that was baked"
        )
    folder = found_at[0]
    own = standing(*found_at, allow_unaudited=allow_unaudited)
    alone = "A model that the chorus was baked into, in its own words."
    heard = "The same model, its inner voices heard."
    return (
        Way(folder.name, "solo", alone, engine=spec, standing=own),
        Way(f"{folder.name}-inner", "inner", heard, engine=spec, standing=own),
    )


def _folders(spec: str) -> tuple[Path, Path] | None:
    """Return where the card and where the weights lie of the checkpoint that an engine loads, if it is on this machine.

    The two differ for an adapter, beside which its card lies. Of a script that plays a checkpoint it is the script's folder.
    """
    kind, name = split_spec(spec)
    own = Path(name).expanduser().resolve()
    if kind in ("hf", "vllm") and (name in CATALOGUE or not own.is_dir()):
        with contextlib.suppress(ConfigError):  # whoever opens the engine says it better
            own = checkpoints.local_path(name) or own
    elif adapters.kept(own):
        return own, checkpoints.resolve(name)
    folder = own if own.is_dir() else own.parent
    return (folder, folder) if own.exists() else None


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
