"""`chorus replay`: saved debates, seen and decided again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chorus.cli.files import check_drawable
from chorus.cli.loop import run
from chorus.cli.personas import display_names, library_with
from chorus.cli.settings import report
from chorus.errors import ConfigError

if TYPE_CHECKING:
    from chorus.types import Answer


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "chosen", metavar="ID", help="Replay the record of this debate or question only.")
@click.option("--decision", metavar="NAME", help="Decide it again by this rule.")
@click.option("--engine", metavar="SPEC", help="Asked for the ballots, ruling or synthesis that a rule needs.")
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
    found = False
    for record in wanted:
        if found and draw:
            raise ConfigError(f"{file} holds several debates, and {draw} one picture: pick one with --id")
        found = True
        answer = run(_redecide(record, decision, engine, folder), engine or "") if decision else record
        with view(sys.stdout, json=as_json, names=display_names(folder)) as shown:
            for event in replayed(answer):
                shown.show(event)
        if as_json:
            click.echo(jsonl.dumps(answer))
        if draw:
            picture.draw(answer, draw)
    if not found:
        raise RecordError(f"{file} holds no debate" + (f" with the id {chosen}" if chosen else ""))
    return 0


async def _redecide(answer: Answer, rule: str, spec: str | None, folder: str | None) -> Answer:
    from chorus import config
    from chorus.engines import registry
    from chorus.replay import redecide

    library = library_with(folder)
    if spec is None:
        return await redecide(answer, rule, None, library)
    options = config.load({"engine": spec}).engine_options
    engine = await registry.open_engine(spec, report=report, **options)
    try:
        return await redecide(answer, rule, engine, library)
    finally:
        await engine.aclose()
