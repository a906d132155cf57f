"""`chorus debate`: a file of questions in, a file of records out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from chorus.cli.exits import UNFINISHED
from chorus.cli.loop import run
from chorus.cli.settings import chorus_from, ray_options, settings_options
from chorus.errors import ConfigError


@click.command()
@click.argument("questions", metavar="IN.jsonl", type=click.Path(path_type=Path))
@click.argument("records", metavar="OUT", type=click.Path(path_type=Path))
@settings_options
@click.option("--concurrency", type=int, default=8, show_default=True, help="Debates at once; on Ray, in each worker.")
@click.option("--retry-failed", is_flag=True, help="Hold debates again whose record says failed.")
@ray_options
def debate(
    questions: Path,
    records: Path,
    concurrency: int,
    retry_failed: bool,
    ray: str | None,
    workers: int | None,
    gpus: float,
    **options: Any,
) -> int:
    """Put every question of IN.jsonl to the chorus, one record a question in OUT. Resumes where it was ended.

    OUT is a JSONL file. With --ray it is a folder of shards: Parquet where its name ends in .parquet, else JSONL.
    """
    from chorus.terminal.progress import progress

    if concurrency < 1:
        raise ConfigError("--concurrency must be at least 1")
    maker = chorus_from(options)
    with progress(sys.stderr) as advance:
        if ray:
            from chorus.cluster.on_ray import RayFleet
            from chorus.cluster.run import debate_shards

            with RayFleet(ray, maker.settings, concurrency=concurrency, workers=workers, gpus=gpus) as fleet:
                done = debate_shards(fleet, questions, records, retry_failed=retry_failed, advance=advance)
        else:
            from chorus.batch import debate_file

            work = debate_file(
                maker, questions, records, concurrency=concurrency, retry_failed=retry_failed, advance=advance
            )
            done = run(work, maker.settings.engine)
    click.echo(done.in_words(), err=True)
    return 0 if done.complete else UNFINISHED
