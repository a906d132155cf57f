"""The `chorus` object of a request: how the voices are to go about it, within what the server allows.

What a client may choose is what can't reach beyond its own debate: no engine, no file. A persona is an id or a pack of
the server's library, a topology one of the named shapes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chorus import config
from chorus.config import Settings
from chorus.debate import decide, topology
from chorus.server.grants import MOST_TOKENS
from chorus.server.models import Way
from chorus.server.problems import Refusal
from personas import Library

Name = Annotated[str, Field(min_length=1, max_length=200)]
BY_ITSELF = ("auto", "written")
"""Casts that aren't named."""


class Allowance(BaseModel):
    """What a debate may spend at most; it then ends with the best decision so far."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    calls: int | None = Field(default=None, ge=1)
    """Engine calls, retries counted."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens read and written."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Options(BaseModel):
    """How a question is answered. What is left out is the server's choice."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    personas: Name | Annotated[list[Name], Field(min_length=1, max_length=64)] | None = None
    """Ids or packs, in a list or separated by commas; `auto` casts by expertise, `written` has the model write the cast."""
    voices: int | None = Field(default=None, ge=1, le=64)
    """How many seats `auto` and `written` fill."""
    topology: Name | None = Field(default=None, examples=["ring"])
    """Who hears whom: `complete`, `ring`, `star`, `chain`, `tree`, `small-world:k=2,p=0.2`, `regular:d=2`, `none` …"""
    rounds: int | None = Field(default=None, ge=1, le=32)
    decision: (
        Literal[
            "plurality",
            "weighted",
            "surest",
            "borda",
            "schulze",
            "anchored",
            "capped",
            "checked",
            "unanimity",
            "judge",
            "synthesis",
        ]
        | None
    ) = None
    openness: float | None = Field(default=None, ge=0, le=1)
    """How readily a voice yields: 0 keep unless shown a concrete error … 1 follow the majority."""
    layout: Literal["shared", "system"] | None = None
    detail: Literal["brief", "full"] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=65_536)
    """Bound on one voice's turn, in tokens; goes before the request's own `max_tokens`, which then bounds the answer."""
    budget: Allowance | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)


def settings_for(base: Settings, way: Way, options: Options | None, library: Library, **given: Any) -> Settings:
    """Return the settings of one debate.

    Args:
        base: the server's own.
        way: the model that was asked for.
        options: what the request chose.
        library: the personas that can be named.
        **given: settings that stand elsewhere in the request; the options go before them.

    Raises:
        Refusal: an option that the server doesn't allow; names it.
        ConfigError: options that don't fit together.
    """
    chosen = options or Options()
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    values |= chosen.model_dump(exclude_none=True, exclude={"personas", "budget"})
    values |= _budget(base, chosen.budget or Allowance())
    if chosen.personas is not None:
        values["personas"] = _personas(chosen.personas, library)
    if chosen.topology is not None and topology.is_file(chosen.topology):
        raise Refusal(
            "a topology file can't be named here: choose a shape", param="chorus.topology", code="invalid_topology"
        )
    if way.mode in ("vote", "solo", "inner"):
        base = _without_edges(base, way)
    if way.standing.capped:
        values["max_tokens"] = way.standing.length(values.get("max_tokens") or base.max_tokens or MOST_TOKENS)
    return config.load({**values, "mode": way.mode, "gate": way.gate}, base=base)


def _without_edges(base: Settings, way: Way) -> Settings:
    """Drop the server's own choices that a way of answering has no use for; a request's are refused, not dropped."""
    useless = {"topology"} | ({"rounds"} if way.mode != "inner" else set())
    if way.engine:  # what confidences are worth was measured on another model, and its voices are its own
        useless |= {"calibration", "gate", "personas", "positions"}
    rule = base.decision
    if way.mode == "inner" and rule is not None and decide.rule(rule).asks_every_voice:
        useless.add("decision")
    return Settings.model_validate(base.model_dump(exclude_unset=True, exclude=useless))


def _personas(wanted: str | list[str], library: Library) -> str:
    """Return the cast's SPEC, once it names nothing but cards of the library."""
    names = [name.strip() for name in (wanted.split(",") if isinstance(wanted, str) else wanted)]
    names = [name for name in names if name]
    if names and names[0] in BY_ITSELF and len(names) == 1:
        return names[0]
    known = {persona.id for persona in library.personas} | set(library.packs)
    for name in names:
        if name not in known:
            library_error = f"there is no persona or pack {name[:80]!r}: GET /v1/personas lists them"
            raise Refusal(library_error, param="chorus.personas", code="invalid_personas")
    if not names:
        raise Refusal("the cast is empty: name at least one persona", param="chorus.personas", code="invalid_personas")
    return ",".join(names)


def _budget(base: Settings, asked: Allowance) -> dict[str, Any]:
    """Return the bounds on spending. What the server allows may be lowered, not raised."""
    values: dict[str, Any] = {}
    for name, setting in (("calls", "max_calls"), ("tokens", "max_total_tokens"), ("seconds", "max_seconds")):
        wanted, allowed = getattr(asked, name), getattr(base, setting)
        if wanted is None:
            continue
        if allowed is not None and wanted > allowed:
            raise Refusal(
                f"at most {allowed:g} {name} are allowed here", param=f"chorus.budget.{name}", code="over_limit"
            )
        values[setting] = wanted
    return values
