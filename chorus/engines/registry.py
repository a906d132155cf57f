"""From an engine SPEC to an engine.

A SPEC is `NAME:REST`. The name picks a function from the table below, or from the entry-point group `chorus.engines`
of any installed distribution; its module is imported only then, so that no engine costs what another one needs. The
function is `async def open_NAME(rest: str, **options) -> Engine`.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import importlib.metadata
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from chorus.engines.base import Engine
from chorus.engines.script import load_script
from chorus.engines.virtual_time import VirtualTimeLoop
from chorus.errors import ConfigError, MissingExtra

GROUP = "chorus.engines"
"""Entry points of this group are engines: the name as in a SPEC, the value `module:function`."""

Opener = Callable[..., Awaitable[Engine]]


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    target: str
    example: str
    extra: str | None = None
    """The extra of this distribution that installs `needs`."""
    needs: tuple[str, ...] = ()
    """Third-party packages that the engine imports and that may be missing."""


_TABLE = {
    "hf": _BuiltIn(
        "chorus.engines.hf_local:open_hf",
        "hf:smollm2-135m",
        "local",
        ("torch", "transformers", "accelerate", "gguf"),
    ),
    "openai": _BuiltIn(
        "chorus.engines.openai_opening:open_openai", "openai:http://127.0.0.1:8000/v1#MODEL", "openai", ("openai",)
    ),
    "scripted": _BuiltIn("chorus.engines.scripted:open_scripted", "scripted:FILE.yaml"),
    "vllm": _BuiltIn("chorus.engines.vllm_local:open_vllm", "vllm:smollm2-135m", "vllm", ("vllm",)),
}


async def open_engine(spec: str, *, report: Callable[[str], None] | None = None, **options: Any) -> Engine:
    """Open the engine that a SPEC names.

    Args:
        spec: `NAME:REST`.
        report: is told of steps that take long; engines that have none never call it.
        **options: the engine's own.

    Raises:
        ConfigError: no engine has that name, or it can't be opened with this SPEC or these options.
        MissingExtra: the engine's dependencies are not installed.
        EngineError: its server can't be used. CheckpointError: its model can't be loaded.
    """
    name, rest = split_spec(spec)
    built_in = _TABLE.get(name)
    try:
        opener = _load(built_in.target) if built_in else _plugin(name)
        if report and "report" in inspect.signature(opener).parameters:
            options["report"] = report
        return await _checked(name, opener, options)(rest, **options)
    except ImportError as error:
        if built_in and built_in.extra and (error.name or "").partition(".")[0] in built_in.needs:
            raise MissingExtra(f"the engine {name!r}", built_in.extra) from error
        raise


def event_loop(spec: str) -> asyncio.AbstractEventLoop:
    """Return a new event loop whose clock is the one that the engine lives by.

    A script that does not ask for real time waits on a clock that jumps; every other engine on the machine's.

    Raises:
        ConfigError: the SPEC names a script that can't be read.
    """
    name, _, rest = spec.strip().partition(":")
    if name == "scripted" and not load_script(rest).real_time:
        return VirtualTimeLoop()
    return asyncio.new_event_loop()


def split_spec(spec: str) -> tuple[str, str]:
    """Split `NAME:REST`. Raises ConfigError when either half is missing."""
    name, _, rest = spec.strip().partition(":")
    if name in ("http", "https"):
        raise ConfigError(f"an engine SPEC begins with the engine's name; for a server write openai:{spec.strip()}")
    if not name or not rest:
        raise ConfigError(f"{spec!r} is not an engine SPEC: write NAME:REST, for instance {_examples()}")
    return name, rest


def engine_names() -> tuple[str, ...]:
    """Return the names that a SPEC can begin with: the built-in engines, then those of other distributions."""
    others = {point.name for point in importlib.metadata.entry_points(group=GROUP)}
    return (*_TABLE, *sorted(others - set(_TABLE)))


def _examples() -> str:
    others = [f"{name}:…" for name in engine_names() if name not in _TABLE]
    return ", ".join([*(engine.example for engine in _TABLE.values()), *others])


def _load(target: str) -> Opener:
    module, _, function = target.partition(":")
    return cast("Opener", getattr(importlib.import_module(module), function))


def _plugin(name: str) -> Opener:
    """Load an engine that another distribution brings. Built-in names can't be taken over."""
    for point in importlib.metadata.entry_points(group=GROUP, name=name):
        try:
            return cast("Opener", point.load())
        except (ImportError, AttributeError) as error:
            source = point.dist.name if point.dist else point.value
            raise ConfigError(f"the engine {name!r} of {source} can't be loaded: {error}") from error
    close = difflib.get_close_matches(name, engine_names(), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"there is no engine {name!r}: {hint}Engines are opened by {_examples()}")


def _checked(name: str, opener: Opener, options: dict[str, Any]) -> Opener:
    """Return the opener, once it is known to take these options."""
    parameters = inspect.signature(opener).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    unknown = sorted(set(options) - set(known))
    if unknown and all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ConfigError(f"the engine {name!r} has no option {unknown[0]!r}: {takes}")
    return opener
