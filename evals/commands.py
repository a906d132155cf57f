"""`chorus eval`: is a chorus worth its tokens? The commands of the proving ground, added to `chorus` by entry point.

Imports are made inside the commands, so that every `--help` works without the extra `evals`.
"""

from __future__ import annotations

from pathlib import Path

import click

from chorus.errors import MissingExtra


@click.group("eval")
def evaluate() -> None:
    """Measure ways of answering on tasks, at equal cost, with honest error bars."""


@evaluate.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the report.")
@click.option("--against", metavar="SYSTEM", help="What all are compared with; else the first self-consistency.")
@click.option("--budget", type=click.IntRange(1), help="Computed tokens a question that its votes are cut down to.")
@click.option("--seed", default=0, show_default=True, help="Of what is drawn.")
def report(results: tuple[Path, ...], out: Path, against: str | None, budget: int | None, seed: int) -> int:
    """Write a report with plots on the outcomes in RESULTS (results.jsonl)."""
    try:
        from evals import outcomes, verdict
    except ImportError as error:
        raise MissingExtra("chorus eval report", "evals") from error
    rows = [one for path in results for one in outcomes.read(path)]
    click.echo(verdict.write(rows, out, against=against, budget=budget, seed=seed))
    return 0


@evaluate.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="calibration.json", show_default=True)
@click.option("--system", metavar="NAME", help="Whose outcomes to fit on, where RESULTS hold several.")
@click.option("--margin", default=0.02, show_default=True, help="Accuracy that a gate may cost at its interval's end.")
@click.option("--personas", "folder", metavar="FOLDER", help="Where the voices' cards lie, if they are your own.")
@click.option("--fit-on-test", is_flag=True, help="Fit on questions of the test split, too.")
@click.option("--seed", default=0, show_default=True, help="Of parting the questions, and of the bootstrap.")
def calibrate(
    results: tuple[Path, ...],
    out: Path,
    system: str | None,
    margin: float,
    folder: str | None,
    fit_on_test: bool,
    seed: int,
) -> int:
    """Fit a calibration file on the outcomes in RESULTS (results.jsonl), a part of the questions held out to check it."""
    try:
        from evals import calibrate, outcomes
    except ImportError as error:
        raise MissingExtra("chorus eval calibrate", "evals") from error
    from chorus.cli.personas import library_with

    rows = [one for path in results for one in outcomes.read(path) if system in (None, one.system)]
    command = f"chorus eval calibrate {' '.join(map(str, results))}" + (f" --system {system}" if system else "")
    library = library_with(folder)
    fitted = calibrate.fit(rows, command, seed=seed, margin=margin, test_too=fit_on_test, library=library)
    fitted.write(out)
    for line in calibrate.lines(fitted):
        click.echo(line)
    click.echo(out)
    return 0
