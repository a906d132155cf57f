"""Legibility cards for tests."""

from __future__ import annotations

import json
from pathlib import Path

from chorus.checkpoints import fingerprint
from chorus.checkpoints.beside import digest, digests
from chorus.checkpoints.legibility import CARD, Card, Grant, Measured, Persona
from personas import Library

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


def baked(folder: Path, grant: Grant | None) -> str:
    """The SPEC of a checkpoint that a script plays, with a legibility card of this grant, or with none."""
    folder.mkdir()
    run_card = {
        "prompts": {"answer": "ONE VOICE", "chorus": "AS A CHORUS"},
        "cast": [card.model_dump(mode="json") for card in Library.builtin().select("skeptic,estimator")],
        "rounds": 1,
        "detail": "brief",
    }
    (folder / "run.json").write_text(json.dumps(run_card))
    (folder / "script.yaml").write_text(
        "{real_time: true, turns: [{contains: ONE VOICE, text: 'Answer: 55'},"
        " {contains: AS A CHORUS, text: 'The Skeptic: It is 54.\nAnswer: 54'}], default: {text: 'Answer: 1'}}"
    )
    if grant:
        (folder / CARD).write_text(a_card(folder, grant).text())
    return f"scripted:{folder}/script.yaml"
