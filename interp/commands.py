"""The laboratory's commands, added to `chorus` by entry point.

`chorus audit`: is this model legible enough to be given power? `chorus voices`: who is speaking in a debate of it?
`chorus emergence`: what did training do to it, checkpoint by checkpoint?

Imports are made inside the commands, so that each `--help` works without the extra.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chorus import whole_file
from chorus.cli.given import as_given
from chorus.errors import CheckpointError, MissingExtra, RecordError

if TYPE_CHECKING:
    from chorus.types import Answer
    from interp.listen import By

REFUSED = 4
"""Exit code of an audit whose grant is `none`."""

on_device = click.option(
    "--device", default="auto", show_default=True, help="Where to compute: auto (a GPU if there is one), cpu or cuda."
)


@click.command("audit")
@click.argument("checkpoint")
@click.option(
    "--base",
    metavar="CHECKPOINT",
    help="The model it was trained from; its change must be explained too.  [the one that an adapter names]",
)
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
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes at it side by side, each with the models in its own memory.",
)
@on_device
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
    workers: int,
    device: str,
) -> int:
    """Examine CHECKPOINT's personas and write legibility.json with a report. Goes on where it was interrupted.

    Ends with 4 when the grant is `none`. The card is signed when CHORUS_AUDIT_KEY is set.
    """
    base = base or _base_of(checkpoint)
    if twin and not base:
        raise click.UsageError("--twin needs --base, which both were trained from")
    try:
        from interp import caps, card_report, plan
        from interp.examine import Request, examine
    except ImportError as error:
        raise MissingExtra("chorus audit", "interp") from error
    from chorus.checkpoints.legibility import CARD, KEY

    config = plan.Config(_personas(personas), seed=seed, **plan.DEPTHS[depth])
    request = Request(checkpoint, base, twin, dialogues, config, depth, out, work, device)
    done = examine(request, lambda words: click.echo(words, err=True), workers)
    card, folder = done.card, done.folder
    card = card.sealed(os.environ.get(KEY))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = card_report.write(card, folder, done.work, as_given())
        whole_file.put(folder / CARD, card.text())
    except OSError as error:
        raise CheckpointError(f"can't write the card into {folder}: {error.strerror or error}") from error
    for name, own in card.personas.items():
        click.echo(f"{name}: {own.verdict} ({'; '.join(own.reasons)})")
    for reason in card.capped:
        click.echo(f"held back to {caps.CAP}: {reason}")
    click.echo(f"grant: {card.grant}; {folder / CARD}, {written}")
    sys.stdout.flush()
    return REFUSED if card.grant == "none" else 0


@click.command("voices")
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--checkpoint", required=True, metavar="CHECKPOINT", help="The model that spoke, by name or folder.")
@click.option("--work", type=click.Path(path_type=Path), help="Work folder of its audit.  [CHECKPOINT/audit]")
@click.option(
    "--by", type=click.Choice(["vector", "circuit"]), default="vector", show_default=True, help="What is taken out."
)
@click.option("--id", "chosen", metavar="ID", help="The debate or question, where RECORD holds several.")
@click.option("--turn", "turns", multiple=True, metavar="TURN", help="Only this turn; may be repeated.  [all]")
@click.option("--personas", "folder", metavar="FOLDER", help="Where the voices' cards lie, if they are your own.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("voices"), show_default=True, help="Folder to write to."
)
@on_device
def voices(
    record: Path,
    checkpoint: str,
    work: Path | None,
    by: By,
    chosen: str | None,
    turns: tuple[str, ...],
    folder: str | None,
    out: Path,
    device: str,
) -> int:
    """Say token by token who is speaking in the debate saved in RECORD: data and a page.

    It takes each persona that an audit of the same model found out of the computation, and sees what the words lose.
    """
    try:
        from interp import listen
        from interp.examine import WORK, cast
        from interp.subject import Checkpoint
    except ImportError as error:
        raise MissingExtra("chorus voices", "interp") from error
    from personas import Library

    def say(words: str) -> None:
        click.echo(words, err=True)

    answer = _debate(record, chosen)
    library = Library.builtin().with_folder(folder)
    subject = Checkpoint(checkpoint, say, device=device)
    cards = {card.id: card for card in cast(subject.folder)} if answer.plan.trained_prompt else {}
    cards |= {name: library.get(name) for name in (*answer.personas, listen.PLAIN) if name not in cards}
    hear = listen.ear(work or subject.home / WORK, by, subject)
    heard = listen.listen(answer, subject, hear, cards, turns, say)
    try:
        written = listen.write(answer, by, heard, out)
    except OSError as error:
        raise CheckpointError(f"can't write into {out}: {error.strerror or error}") from error
    for turn, own in heard.items():
        click.echo(f"{turn}: {listen.in_words(own)}")
    click.echo(", ".join(map(str, written)))
    return 0


@click.command("emergence")
@click.argument("stages", nargs=-1, required=True, metavar="STEP=CHECKPOINT…")
@click.option("--base", required=True, metavar="CHECKPOINT", help="The model before training.")
@click.option(
    "--accuracy",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Accuracy by step: the run.json of `chorus distill rl`, or JSON of your own.",
)
@click.option("--depth", type=click.Choice(["quick", "full"]), default="full", show_default=True, help="How thorough.")
@click.option(
    "--persona", "personas", multiple=True, help="Only this one; may be repeated.  [all that have a contrast]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("emergence"),
    show_default=True,
    help="Folder of the results.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@on_device
def emergence(
    stages: tuple[str, ...],
    base: str,
    accuracy: Path,
    depth: str,
    personas: tuple[str, ...],
    out: Path,
    seed: int,
    device: str,
) -> int:
    """Follow the personas' behaviour through the checkpoints of a training run, and what of it stays explained.

    Each is given by its training step: `40=rl/checkpoint-40`. Goes on where it was interrupted.
    """
    try:
        from interp import emergence as looking
        from interp import plan, subject
    except ImportError as error:
        raise MissingExtra("chorus emergence", "interp") from error
    from chorus.checkpoints import fingerprint

    def say(words: str) -> None:
        click.echo(words, err=True)

    names, known = _personas(personas), looking.accuracies(accuracy)
    before = subject.Checkpoint(base, say, device=device)

    def stage(words: str) -> looking.Stage:
        step, given, name = words.partition("=")
        if not (given and name and step.isdecimal()):
            raise click.UsageError(f"{words!r} is no STEP=CHECKPOINT, such as 40=rl/checkpoint-40")
        weights = fingerprint(subject.folder_of(name, say))

        def load() -> subject.Checkpoint:
            return subject.Checkpoint(name, say, base=before.folder, device=device)

        return looking.Stage(int(step), weights, load)

    config = plan.Config(names, seed=seed, **plan.DEPTHS[depth])
    points = looking.emergence(before, [stage(words) for words in stages], known, config, out / "work", say)
    try:
        written = looking.write(points, before.name, config, as_given(), out)
    except OSError as error:
        raise CheckpointError(f"can't write into {out}: {error.strerror or error}") from error
    click.echo(written.read_text("utf-8"))
    return 0


def _debate(file: Path, chosen: str | None) -> Answer:
    """Return the one record that is meant. Raises RecordError when there is none, or several."""
    from chorus.record import transcript

    found = [each for each in transcript.read(file) if not chosen or chosen in (each.id, each.question.id)]
    if len(found) != 1:
        which = f" with the id {chosen}" if chosen else ""
        raise RecordError(f"{file} holds {len(found)} debates{which}" + (": pick one with --id" if found else ""))
    return found[0]


def _personas(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the personas to examine. Raises PersonaError for one that has no contrast."""
    from personas.contrast import contrast, contrasts

    return tuple(contrast(name).persona for name in wanted) or tuple(contrasts())


def _base_of(checkpoint: str) -> str | None:
    """Return the model that an adapter says it was made for; None for anything else."""
    from chorus.checkpoints import CATALOGUE, adapters

    folder = Path(checkpoint).expanduser()
    return adapters.base_of(folder) if checkpoint not in CATALOGUE and adapters.kept(folder) else None
