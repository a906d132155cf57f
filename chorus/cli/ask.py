"""`chorus ask`: one debate, watched. Whichever way it ends, what was said is kept and printed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chorus.cli.exits import INTERRUPTION, UNFINISHED
from chorus.cli.files import check_drawable, check_writable
from chorus.cli.loop import run
from chorus.cli.personas import display_names
from chorus.cli.settings import chorus_from, settings_options

if TYPE_CHECKING:
    from chorus.chorus import Chorus
    from chorus.debate.scheduler import Debate
    from chorus.terminal import View
    from chorus.types import Answer, Question

MAX_STDIN_BYTES = 1 << 20
"""Longer than any question may be, short enough to be held."""


@click.command()
@click.argument("question")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Print the answer alone.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Add the record to a JSONL file.")
@click.option(
    "--draw", type=click.Path(path_type=Path, dir_okay=False), help="Draw who heard whom: .svg .html .graphml .dot"
)
def ask(question: str, as_json: bool, quiet: bool, save: Path | None, draw: Path | None, **options: Any) -> int:
    """Put QUESTION to the chorus and watch it argue. QUESTION may be `-`, to read it from standard input."""
    from chorus.chorus import as_question
    from chorus.terminal import view

    asked = as_question(_standard_input() if question == "-" else question)
    check_writable(save)
    check_drawable(draw)
    maker = chorus_from(options)
    held: list[Answer] = []
    shown = view(sys.stdout, quiet=quiet, json=as_json, names=display_names(maker.settings.personas))
    try:
        run(_hold(maker, asked, shown, held), maker.settings.engine)
    finally:
        # Also of a debate that was interrupted: what was said is kept and printed.
        for answer in held:
            _hand_over(answer, as_json=as_json, quiet=quiet, save=save, draw=draw)
    return 0 if held[-1].status == "done" else UNFINISHED


def _standard_input() -> str:
    """Read a question, and not much more than one may be long."""
    return sys.stdin.buffer.read(MAX_STDIN_BYTES).decode("utf-8", "replace")


async def _hold(maker: Chorus, question: Question, shown: View, held: list[Answer]) -> None:
    """Hold one debate, and leave its record in `held` whichever way it ends."""
    async with maker:
        debate = await maker.convene(question)
        # The view opens only now: a model being fetched has the terminal, and its progress bars, to itself.
        with shown:
            await _watch(debate, shown, held)


async def _watch(debate: Debate, shown: View, held: list[Answer]) -> None:
    from chorus.record.events import Decided

    try:
        async with contextlib.aclosing(debate.run()) as events:
            async for event in events:
                if isinstance(event, Decided):
                    held.append(event.answer)
                shown.show(event)
    except BaseException as error:
        # Ctrl-C, an output that takes no more, a fault of ours: what was said until then is not lost.
        if not held:
            interrupted = isinstance(error, asyncio.CancelledError)
            held.append(debate.record(INTERRUPTION if interrupted else str(error) or type(error).__name__))
            if interrupted:
                shown.show(Decided(at=held[0].usage.wall_s, answer=held[0]))
        raise


def _hand_over(answer: Answer, *, as_json: bool, quiet: bool, save: Path | None, draw: Path | None) -> None:
    """Save, draw and print a record; what fails keeps nothing else from being done."""
    from chorus.record import picture, transcript

    with contextlib.ExitStack() as last_first:
        last_first.callback(_print, answer, as_json=as_json, quiet=quiet)
        if draw:
            last_first.callback(picture.draw, answer, draw)
        if save:
            last_first.callback(transcript.append, answer, save)


def _print(answer: Answer, *, as_json: bool, quiet: bool) -> None:
    from chorus.record import jsonl

    if as_json:
        click.echo(jsonl.dumps(answer))
    elif quiet and answer.answer is not None:
        click.echo(answer.answer)
    if answer.status == "failed" and answer.reason != INTERRUPTION:
        click.echo(f"error: no answer: {answer.reason}", err=True)
