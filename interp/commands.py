"""`chorus audit`: is this model legible enough to be given power? Added to `chorus` by entry point.

Imports are made inside the command, so that its `--help` works without the extra `interp`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from chorus.errors import CheckpointError, MissingExtra

REFUSED = 4
"""Exit code of an audit whose grant is `none`."""


@click.command("audit")
@click.argument("checkpoint")
@click.option("--base", metavar="CHECKPOINT", help="The model it was trained from; its change must be explained too.")
@click.option(
    "--twin", metavar="CHECKPOINT", help="The base trained as long on neutral text, to hold the change against."
)
@click.option(
    "--dialogues",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Its saved inner debates: who acts when?",
)
@click.option("--depth", type=click.Choice(["quick", "full"]), default="full", show_default=True, help="How thorough.")
@click.option(
    "--persona", "personas", multiple=True, help="Only this one; may be repeated.  [all that have a contrast]"
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of card and report.  [the checkpoint's own]")
@click.option("--work", type=click.Path(path_type=Path), help="Folder of what is found on the way.  [OUT/audit]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def audit(
    checkpoint: str,
    base: str | None,
    twin: str | None,
    dialogues: Path | None,
    depth: str,
    personas: tuple[str, ...],
    out: Path | None,
    work: Path | None,
    seed: int,
) -> int:
    """Examine CHECKPOINT's personas and write legibility.json with a report. Goes on where it was interrupted.

    Ends with 4 when the grant is `none`. The card is signed when CHORUS_AUDIT_KEY is set.
    """
    if twin and not base:
        raise click.UsageError("--twin needs --base, which both were trained from")
    try:
        from interp import audit as laboratory
        from interp import card_report, plan
        from interp.subject import Checkpoint
    except ImportError as error:
        raise MissingExtra("chorus audit", "interp") from error
    from chorus.checkpoints.legibility import CARD, KEY
    from chorus.record import transcript

    def say(words: str) -> None:
        click.echo(words, err=True)

    names = _personas(personas)  # An unknown one is told of before anything is loaded.
    records = list(transcript.read(dialogues)) if dialogues else []
    subject = Checkpoint(checkpoint, say)
    against = laboratory.Against(
        Checkpoint(base, say) if base else None, Checkpoint(twin, say) if twin else None, records
    )
    folder = out or subject.folder
    chosen = plan.Config(names, seed=seed, **plan.DEPTHS[depth])
    found = work or folder / "audit"
    card = laboratory.audit(subject, chosen, found, depth=depth, against=against, report=say)
    card = card.sealed(os.environ.get(KEY))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = card_report.write(card, folder, found)
        part = folder / f".{CARD}.part"
        part.write_text(card.text())
        part.replace(folder / CARD)
    except OSError as error:
        raise CheckpointError(f"can't write the card into {folder}: {error.strerror or error}") from error
    for name, own in card.personas.items():
        click.echo(f"{name}: {own.verdict} ({'; '.join(own.reasons)})")
    click.echo(f"grant: {card.grant}; {folder / CARD}, {written}")
    sys.stdout.flush()
    return REFUSED if card.grant == "none" else 0


def _personas(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the personas to examine. Raises PersonaError for one that has no contrast."""
    from personas.contrast import contrast, contrasts

    return tuple(contrast(name).persona for name in wanted) or tuple(contrasts())
