"""`chorus eval`: is a chorus worth its tokens? The commands of the proving ground, added to `chorus` by entry point.

Imports are made inside the commands, so that every `--help` works without the extra `evals`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evals.tasks import Split


@click.group("eval")
def evaluate() -> None:
    """Measure ways of answering on tasks, at equal cost, with honest error bars."""


@evaluate.command("tasks")
def list_tasks() -> int:
    """List the tasks: where they come from, what the commonest answer scores on dev, and what the embedded model does."""
    from evals.tasks.listing import COLUMNS, rows

    form = "{:<28} {:<8} {:<52} {:<10} {:>8} {:>6}  {}"
    click.secho(form.format(*COLUMNS), bold=True)
    for row in rows():
        click.echo(form.format(*row).rstrip())
    click.echo("Any .jsonl or .csv file with id, question and answer is a task too.")
    return 0


@evaluate.command("questions")
@click.argument("task")
@click.option("--split", type=click.Choice(("train", "dev", "test")), required=True, help="Which of the three.")
@click.option("-n", "count", type=click.IntRange(min=1), default=100, show_default=True, help="How many, at most.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; without it they are printed.")
def questions(task: str, split: Split, count: int, out: Path | None) -> int:
    """Write questions of TASK, a name that `chorus eval tasks` lists or a file, as `chorus debate` takes them."""
    from chorus.cli.files import check_writable
    from evals.tasks import load, majority

    check_writable(out)
    found = load(task, split, count)
    lines = "".join(f"{one.model_dump_json(by_alias=True, exclude_defaults=True)}\n" for one in found)
    if out:
        out.write_text(lines, "utf-8")
    else:
        click.echo(lines, nl=False)
    commonest, share = majority(found)
    few = f" (there are no more than {len(found)})" if len(found) < count else ""
    said = f"{task}, {split}: {len(found)} questions{few}"
    click.echo(said + (f"; {commonest!r} answers {share:.0%} of them" if found else ""), err=True)
    return 0
