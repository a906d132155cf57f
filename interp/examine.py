"""From what was asked to a card: the models are loaded and the audit carried out, in other processes beside this one too.

Each process has models of its own and takes the steps that no other is at (`work`), so they share nothing but a folder.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import torch

from chorus.checkpoints import Report, baked
from chorus.checkpoints.legibility import Card
from chorus.errors import ChorusError
from chorus.record import transcript
from interp import subject
from interp.audit import audit
from interp.plan import Config
from interp.steps import Against
from personas import Library, Persona
from personas.contrast import contrasts

WORK = "audit"
"""Folder beside the card, of what an audit finds on its way."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an audit was asked for, in words that another process can be told."""

    checkpoint: str
    base: str | None
    twin: str | None
    dialogues: Path | None
    config: Config
    depth: str
    """The config's name, for the card."""
    out: Path | None
    work: Path | None
    device: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of it."""

    card: Card
    """Not yet sealed."""
    folder: Path
    """Where the card belongs."""
    work: Path


def examine(request: Request, report: Report, workers: int = 1) -> Examined:
    """Carry an audit out.

    Args:
        request: what was asked for.
        report: is told of progress.
        workers: processes at it, this one among them; cores are shared out evenly.

    Raises:
        ConfigError, CheckpointError, RecordError: a model, device or file of debates that isn't there or can't be read.
        LensError: as `audit`; or the base is not the adapter's.
    """
    with _beside(request, workers):
        return _carried_out(request, report)


def _carried_out(request: Request, report: Report) -> Examined:
    # What is asked may be asked wrongly: that is told of before anything is loaded.
    records = list(transcript.read(request.dialogues)) if request.dialogues else []
    device = request.device
    base = subject.Checkpoint(request.base, report, device=device) if request.base else None
    model = subject.Checkpoint(request.checkpoint, report, base=base.folder if base else None, device=device)
    voices = cast(model.folder)
    against = Against(
        base,
        subject.Checkpoint(request.twin, report, device=device) if request.twin else None,
        records,
        {persona.id: persona.name for persona in (*Library.builtin().personas, *voices)},
        baked=(model.folder / baked.RUN_CARD).is_file(),
        owed={*contrasts(), *(persona.id for persona in voices)},
    )
    folder = request.out or model.home
    work = request.work or folder / WORK
    card = audit(model, request.config, work, depth=request.depth, against=against, report=report)
    return Examined(card, folder, work)


def cast(folder: Path) -> tuple[Persona, ...]:
    """Return the voices that a model was trained with; none for one that wasn't trained here."""
    trained = baked.read(folder)
    return trained.cast if trained else ()


@contextmanager
def _beside(request: Request, workers: int) -> Iterator[None]:
    """Have other processes at the same audit; they go when this one is through with it, or fails."""
    if workers == 1:
        yield
        return
    before = torch.get_num_threads()
    threads = max(1, before // workers)
    torch.set_num_threads(threads)
    # A process that was forked would have the locks of torch's threads, and none of the threads.
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_help, args=(request, threads), daemon=True) for _ in range(workers - 1)]
    for each in others:
        each.start()
    try:
        yield
    finally:
        for each in others:
            each.terminate()
            each.join()
        torch.set_num_threads(before)


def _help(request: Request, threads: int) -> None:
    """Be one of the other processes: whatever it finds lies in the work folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The process that began it is interrupted too, and ends this one.
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def say(words: str) -> None:
        if parent and not parent.is_alive():
            raise SystemExit
        click.echo(words, err=True)

    try:
        _carried_out(request, say)
    except ChorusError as error:
        say(f"a worker stopped, the others go on: {error}")
