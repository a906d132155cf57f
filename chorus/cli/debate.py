"""`chorus debate`: a file of questions in, a file of records out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from chorus.cli.exits import UNFINISHED
from chorus.cli.loop import run
from chorus.cli.settings import chorus_from, settings_options


@click.command()
@click.argument("questions", metavar="IN.jsonl", type=click.Path(path_type=Path))
@click.argument("records", metavar="OUT.jsonl", type=click.Path(path_type=Path))
@settings_options
@click.option("--concurrency", type=int, default=8, show_default=True, help="Debates at once.")
@click.option("--retry-failed", is_flag=True, help="Hold debates again whose record says failed.")
def debate(questions: Path, records: Path, concurrency: int, retry_failed: bool, **options: Any) -> int:
    """Put every question of IN.jsonl to the chorus, one record a question in OUT.jsonl. Resumes where it was ended."""
    from chorus.batch import debate_file
    from chorus.terminal.progress import progress

    maker = chorus_from(options)
    with progress(sys.stderr) as advance:
        work = debate_file(
            maker, questions, records, concurrency=concurrency, retry_failed=retry_failed, advance=advance
        )
        done = run(work, maker.settings.engine)
    click.echo(done.in_words(), err=True)
    return 0 if done.complete else UNFINISHED
