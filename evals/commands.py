"""`chorus eval`: is a chorus worth its tokens? The commands of the proving ground, added to `chorus` by entry point.

Imports are made inside the commands, so that every `--help` works without the extra `evals`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chorus.cli.exits import UNFINISHED
from chorus.cli.settings import ray_options
from chorus.errors import ConfigError, MissingExtra
from evals import instruments

if TYPE_CHECKING:
    from chorus.engines.registry import Opener
    from evals.tasks import Split


class Suites(click.Group):
    """A group for which any other first word names a suite to run."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words call, and those that are left for it."""
        if args[0] in self.commands or args[0].startswith("-"):
            return super().resolve_command(context, args)
        return "run", self.commands["run"], args


@click.group("eval", cls=Suites, subcommand_metavar="SUITE | COMMAND …")
def evaluate() -> None:
    """Measure ways of answering on tasks, at equal cost, with honest error bars.

    SUITE is a built-in suite or a TOML file of your own; `chorus eval run --help` shows its options.
    """


@evaluate.command("run")
@click.argument("suite")
@click.option("--engine", metavar="SPEC", help="Instead of the suite's.")
@click.option("--task", "tasks", multiple=True, help="Only this task, or file of questions; may be repeated.")
@click.option("--system", "systems", multiple=True, help="Only this system; may be repeated.")
@click.option("--seed", "seeds", type=click.IntRange(min=0), multiple=True, help="This seed; may be repeated.")
@click.option("--questions", type=click.IntRange(min=1), help="Questions of each task.")
@click.option("--shard", metavar="I/N", help="Every N-th question from the I-th on; shards may share a folder.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [./eval-SUITE]")
@click.option("--max-samples", type=click.IntRange(min=1), help="Debates at once.")
@click.option("--retry-failed", is_flag=True, help="Ask again what has failed.")
@ray_options
def run_suite(
    suite: str,
    engine: str | None,
    tasks: tuple[str, ...],
    systems: tuple[str, ...],
    seeds: tuple[int, ...],
    questions: int | None,
    shard: str | None,
    out: Path | None,
    max_samples: int | None,
    retry_failed: bool,
    ray: str | None,
    workers: int | None,
    gpus: float,
) -> int:
    """Run SUITE: its systems on its tasks. Goes on where it ended; writes logs, results.jsonl and a report."""
    part = _shard(shard)
    try:
        from evals import glance, origin, run, verdict
        from evals import suite as suites
    except ImportError as error:
        raise MissingExtra("chorus eval", "evals") from error
    from chorus.cli.settings import report
    from chorus.terminal.progress import progress

    chosen = suites.load(suite).narrowed(
        engine=engine, tasks=tasks, systems=systems, seeds=seeds, questions=questions, max_samples=max_samples
    )
    folder = out or Path(f"eval-{chosen.name}")
    with progress(sys.stderr) as advance, _openers(ray, workers, gpus) as opener:
        done = run.run(
            chosen, folder, shard=part, retry_failed=retry_failed, advance=advance, report=report, opener=opener
        )
    rows = run.gathered(folder)
    click.echo(glance.table(rows))
    if len({row.system for row in rows}) > 1:
        command = f"chorus eval {suite}" + (f" --engine {engine}" if engine else "")
        click.echo(verdict.write(rows, folder, about=origin.about(folder, command)))
    click.echo(done.in_words(), err=True)
    return 0 if done.complete else UNFINISHED


@contextlib.contextmanager
def _openers(ray: str | None, workers: int | None, gpus: float) -> Iterator[Opener]:
    """Give what opens engines: in this process, or on the workers of a cluster. Raises ConfigError, MissingExtra."""
    if not ray:
        from chorus.engines.registry import open_engine

        yield open_engine
        return
    from chorus.cluster.engines import RayEngines

    with RayEngines(ray, workers=workers, gpus=gpus) as engines:
        yield engines.open


def _shard(text: str | None) -> tuple[int, int]:
    """Return which shard of how many. Raises ConfigError."""
    number, _, of = (text or "1/1").partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ConfigError(f"--shard {text} is none: write I/N, for instance 1/4")
    return int(number), int(of)


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


@evaluate.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the report.")
@click.option("--against", metavar="SYSTEM", help="What all are compared with; else the first self-consistency.")
@click.option("--budget", type=click.IntRange(1), help="Computed tokens a question that its votes are cut down to.")
@click.option("--calibration", metavar="FILE", help="Show what it would have made of a system's drafts, its gate too.")
@click.option("--calibrated", metavar="SYSTEM", default="chorus", show_default=True, help="Which system's.")
@click.option("--shared", is_flag=True, help="Only questions that every system answered.")
@click.option("--adaptive", metavar="SYSTEM", help="Show where sampling one at a time would have stopped, and at what.")
@click.option("--title", help="Of the report.")
@click.option("--seed", default=0, show_default=True, help="Of what is drawn.")
def report(
    results: tuple[Path, ...],
    out: Path,
    against: str | None,
    budget: int | None,
    calibration: str | None,
    calibrated: str,
    shared: bool,
    adaptive: str | None,
    title: str | None,
    seed: int,
) -> int:
    """Write a report with plots on the outcomes in RESULTS (results.jsonl)."""
    try:
        from evals import compare, origin, outcomes, resample, verdict
    except ImportError as error:
        raise MissingExtra("chorus eval report", "evals") from error
    from chorus.debate.calibration import load
    from personas import Library

    rows = [one for path in results for one in outcomes.read(path)]
    rows = compare.shared(rows) if shared else rows
    if calibration:
        known, tried = load(calibration), [one for one in rows if one.system == calibrated]
        rows += resample.calibrated(tried, known) if known.voice else []
        rows += resample.gated(tried, known, Library.builtin()) if known.gate else []
    rows += resample.adaptive([one for one in rows if one.system == adaptive]) if adaptive else []
    options = {"against": against, "budget": budget, "calibration": calibration, "shared": shared, "adaptive": adaptive}
    given = [f"--{name}" + ("" if value is True else f" {value}") for name, value in options.items() if value]
    about = {**origin.about(results[0].parent), "report": " ".join(["chorus eval report", *map(str, results), *given])}
    click.echo(verdict.write(rows, out, against=against, budget=budget, title=title, about=about, seed=seed))
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
    from personas import Library

    rows = [one for path in results for one in outcomes.read(path) if system in (None, one.system)]
    command = f"chorus eval calibrate {' '.join(map(str, results))}" + (f" --system {system}" if system else "")
    library = Library.builtin().with_folder(folder)
    fitted = calibrate.fit(rows, command, seed=seed, margin=margin, test_too=fit_on_test, library=library)
    fitted.write(out)
    for line in calibrate.lines(fitted):
        click.echo(line)
    click.echo(out)
    return 0


for _command in instruments.COMMANDS:
    evaluate.add_command(_command)
