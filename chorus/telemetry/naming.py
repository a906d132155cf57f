"""How an engine's SPEC is told to Prometheus and OpenTelemetry: few distinct values, no folder, no password."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple
from urllib.parse import urlsplit

IN_PROCESS = frozenset({"hf", "scripted", "vllm"})
"""Engines that compute in this process or its children; all others are called over a network."""


class EngineName(NamedTuple):
    """What names an engine."""

    provider: str
    """What stands before the SPEC's colon: `hf`, `vllm`, `openai`, `scripted` …"""
    model: str
    """The model's name; of one that was loaded from a folder or file, the last part of its path."""
    host: str | None = None
    """The server's host name, where there is one server."""
    port: int | None = None
    """The server's port, if the SPEC says it."""


def engine_name(spec: str) -> EngineName:
    """Return what a SPEC says of its engine. Any text may come in, and none raises."""
    provider, _, rest = spec.partition(":")
    address, mark, model = rest.rpartition("#")
    if not mark:
        return EngineName(provider, _without_folder(rest))
    if "," in address:  # several servers
        return EngineName(provider, model)
    try:
        parts = urlsplit(address)
        return EngineName(provider, model, parts.hostname, parts.port)
    except ValueError:  # a port that is no number, half an IPv6 address
        return EngineName(provider, model)


def _without_folder(name: str) -> str:
    return PurePath(name).name if name.startswith(("/", ".", "~")) else name
