"""Settings: defaults < TOML file < environment < arguments.

The file is `chorus.toml` in the working folder, or the one that `CHORUS_CONFIG` names. Every setting can stand in it
under its own name, and in the environment as `CHORUS_` and the name in capitals (`CHORUS_ENGINE`, `CHORUS_MAX_TOKENS`).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from chorus.errors import ConfigError
from chorus.types import Frozen, Layout, Mode, Positions, Probability

FILE = "chorus.toml"
PREFIX = "CHORUS_"


class Settings(Frozen):
    """How questions are answered. Every field can be set for one call, one process, or one folder."""

    engine: str = Field(default="hf:smollm2-135m", min_length=1)
    """Engine SPEC: `hf:NAME`, `vllm:NAME`, `openai:URL#MODEL`, `scripted:FILE`."""
    engine_options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the engine as it is opened: `device`, `dtype`, `max_batch` (hf); `timeout_s`, `context_window` (openai)."""
    mode: Mode = "debate"
    personas: str = Field(default="auto", min_length=1)
    """Ids, packs or a folder, separated by commas; `auto` casts by expertise, or a small model by what did best with it;
    `written` has the model write the cast.
    With `auto` a checkpoint that a chorus was baked into is asked as it was trained to be, alone or for its inner voices."""
    voices: int = Field(default=3, ge=1, le=64)
    """How many seats `auto` and `written` fill."""
    topology: str | None = None
    """Topology SPEC; `None` is `complete`, with small models hearing each other's answers only."""
    rounds: int | None = Field(default=None, ge=1, le=32)
    """Rounds of a debate or of an inner chorus; `None` is 2, but 1 where a model under a billion weights debates a question
    whose answers can be compared, and neither topology nor decision is given. Votes and solos have one."""
    decision: str | None = None
    """Decision rule; `None` is `weighted` where answers can be compared, `synthesis` where not."""
    stop_error: float = Field(default=0.0, ge=0.0, lt=0.5)
    """A plurality or weighted vote may end early where this share of such ends, at most, would be wrong; 0: when sure."""
    early_stop: bool = True
    """Whether a vote may end as soon as its outcome is sure; without, every voice is heard, which costs more and changes
    nothing but what can be learnt from the record."""
    positions: Positions = "text"
    """How voices state their positions: `text`, or `json` with the reasoning beside the answer, by a schema where the
    engine can decode by one; ballots are then held to the letters on the table, checks to yes or no."""
    calibration: str | None = Field(default=None, min_length=1)
    """A `calibration.json`, by which confidences become probabilities of being right; `None` leaves them as they are."""
    gate: bool = False
    """Whether a few voices speak first, and answer at once where they agree surely enough; needs a calibration file."""
    layout: Layout = "shared"
    openness: Probability | None = None
    """How readily a voice yields: 0 keep unless shown a concrete error … 1 follow the majority; `None` is 0.4, or with
    `brief` prompts nothing said about it."""
    detail: Literal["brief", "full"] | None = None
    """How much voices are told of their method; `None` is `brief` for models under a billion weights."""
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    """What personas' own temperature offsets are added to."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int | None = Field(default=None, ge=1, le=65_536)
    """Bound on one turn, in tokens; `None` is 64 for small models, else 512."""
    max_calls: int | None = Field(default=None, ge=1)
    max_total_tokens: int | None = Field(default=None, ge=1)
    max_seconds: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    concurrency: int | None = Field(default=None, ge=1, le=4096)
    """Turns of one debate in flight at once; `None` is what the engine serves well."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Times a call is made before its turn has failed."""
    patience_s: float = Field(default=120.0, ge=0.0, allow_inf_nan=False)
    """Seconds that a debate waits for an engine that can't be reached: a server that is down, or starts again."""
    quorum: Probability = 0.5
    """Share of seats that must be able to speak for the debate to go on."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    telemetry: Literal["off", "otel"] = "off"
    """`otel` gives debates, rounds and turns as OpenTelemetry spans to the program's TracerProvider; no text of theirs."""


def load(
    arguments: Mapping[str, Any] | None = None, file: str | Path | None = None, *, base: Settings | None = None
) -> Settings:
    """Return the settings in force.

    Args:
        arguments: settings by name; those that are None leave the others in force.
        file: a TOML file to read instead of the usual one.
        base: settings already in force; neither a file nor the environment is read then.

    Raises:
        ConfigError: a file that can't be read, an unknown setting, or a value that doesn't fit; names where it stood.
    """
    values: dict[str, tuple[str, Any]] = {}
    if base is not None:
        values |= {name: ("", value) for name, value in base.model_dump(exclude_unset=True).items()}
    else:
        values |= _from_file(file)
        values |= _from_environment()
    values |= {name: ("", value) for name, value in (arguments or {}).items() if value is not None}
    try:
        return Settings.model_validate({name: value for name, (_, value) in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = values.get(name, ("", None))[0] or "arguments"
        problem = f"{first['msg']}, got {first['input']!r:.100}"
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name.replace("-", "_"), Settings.model_fields, n=2)
            problem = "no such setting" + (f"; did you mean {' or '.join(near)}?" if near else "")
        raise ConfigError(f"{name:.80} ({where}): {problem}") from None


def _from_file(file: str | Path | None) -> dict[str, tuple[str, Any]]:
    chosen = file or os.environ.get("CHORUS_CONFIG")
    path = Path(chosen or FILE)
    if not chosen and not path.is_file():
        return {}
    try:
        loaded = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"can't read the settings in {path}: {error}") from error
    return {name: (str(path), value) for name, value in loaded.items()}


def _from_environment() -> dict[str, tuple[str, Any]]:
    found = {}
    for name, value in os.environ.items():
        if name.startswith(PREFIX) and value:
            field = name.removeprefix(PREFIX).lower()
            # A dictionary can't be written in one variable; unknown names are somebody else's business here.
            if field in Settings.model_fields and field != "engine_options":
                found[field] = (name, value)
    return found
