"""`chorus replay`: saved debates, seen and decided again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chorus.cli.files import check_drawable
from chorus.cli.personas import display_names
from chorus.cli.settings import report
from chorus.errors import ConfigError

if TYPE_CHECKING:
    from chorus.types import Answer


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "chosen", metavar="ID", help="Replay the record of this debate or question only.")
@click.option("--decision", metavar="NAME", help="Decide it again by this rule.")
@click.option("--engine", metavar="SPEC", help="Asked for the ballots, checks, ruling or synthesis that a rule needs.")
@click.option("--personas", "folder", metavar="FOLDER", help="Where the voices' cards lie, if they are your own.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option(
    "--draw", type=click.Path(path_type=Path, dir_okay=False), help="Draw who heard whom: .svg .html .graphml .dot"
)
def replay(
    file: Path,
    chosen: str | None,
    decision: str | None,
    engine: str | None,
    folder: str | None,
    as_json: bool,
    draw: Path | None,
) -> int:
    """Show the debates saved in FILE again; with --decision, decide them by another rule."""
    from chorus.errors import RecordError
    from chorus.record import jsonl, picture, transcript
    from chorus.replay import replayed
    from chorus.terminal import view

    if engine and not decision:
        raise click.UsageError("--engine is asked for a decision: name its rule with --decision")
    check_drawable(draw)
    wanted = (record for record in transcript.read(file) if not chosen or chosen in (record.id, record.question.id))
    if (first := next(wanted, None)) is None:
        raise RecordError(f"{file} holds no debate" + (f" with the id {chosen}" if chosen else ""))
    names = display_names(folder)
    with _redeciding(decision, engine, folder) as redecided:
        for number, record in enumerate(itertools.chain((first,), wanted)):
            if number and draw:
                raise ConfigError(f"{file} holds several debates, and {draw} one picture: pick one with --id")
            answer = redecided(record)
            with view(sys.stdout, json=as_json, names=names) as shown:
                for event in replayed(answer):
                    shown.show(event)
            if as_json:
                click.echo(jsonl.dumps(answer))
            if draw:
                picture.draw(answer, draw)
    return 0


@contextlib.contextmanager
def _redeciding(rule: str | None, spec: str | None, folder: str | None) -> Iterator[Callable[[Answer], Answer]]:
    """Give what decides a record by another rule, if there is one; its engine is open until the last record is done."""
    if rule is None:
        yield lambda answer: answer
        return
    from chorus import config
    from chorus.engines import registry
    from chorus.replay import redecide
    from personas import Library

    library = Library.builtin().with_folder(folder)
    with asyncio.Runner(loop_factory=lambda: registry.event_loop(spec or "")) as runner:
        engine = None
        if spec is not None:
            options = config.load({"engine": spec}).engine_options
            engine = runner.run(registry.open_engine(spec, report=report, **options))
        try:
            yield lambda answer: runner.run(redecide(answer, rule, engine, library))
        finally:
            if engine:
                runner.run(engine.aclose())
