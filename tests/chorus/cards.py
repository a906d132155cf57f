"""Legibility cards for tests."""

from __future__ import annotations

from pathlib import Path

from chorus.checkpoints import fingerprint
from chorus.checkpoints.beside import digest, digests
from chorus.checkpoints.legibility import Card, Grant, Measured, Persona

CONFIG = {"seed": 7}


def a_card(folder: Path, grant: Grant = "full", key: str | None = None) -> Card:
    """A card for the weights in a folder, with one persona."""
    verdict = "explained" if grant == "full" else "partly" if grant == "limited" else "unexplained"
    figures = {"effect": Measured(value=0.5, interval=(0.4, 0.6), null=(-0.1, 0.1), p=0.01)}
    return Card(
        schema=3,
        model=folder.name,
        weights=fingerprint(folder),
        beside=digests(folder),
        depth="quick",
        config=CONFIG,
        config_sha256=digest(CONFIG),
        config_fixed="2026-01-01T00:00:00+00:00",
        test_opened="2026-01-01T00:01:00+00:00",
        personas={"skeptic": Persona(verdict=verdict, grant=grant, reasons=("as it came",), figures=figures)},
        grant=grant,
        made="2026-01-01T00:02:00+00:00",
        versions={},
        hardware="none",
    ).sealed(key)
