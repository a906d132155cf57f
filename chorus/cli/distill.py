"""`chorus distill`: the chorus baked into one model, step by step. Needs the extra `distill`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chorus.cli.settings import ray_options

if TYPE_CHECKING:
    from chorus.batch import Summary
    from chorus.distill.recipe import Step
    from chorus.distill.steps import Place
    from chorus.types import Question

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)

EPILOG = "Each step writes run.json into OUT/STEP, goes on where it was killed, and does nothing when it is done."


def place_options(command: F) -> F:
    """Add the options that every step has."""
    options: list[Callable[[Any], Any]] = [
        click.option("--recipe", metavar="NAME|FILE", required=True, help="smoke, small, h100 or a TOML file."),
        click.option("--out", type=FILE, required=True, help="Folder for everything; each step has its own in it."),
        click.option("--arm", help="One of the recipe's arms, in a folder of its own."),
        click.option("--questions", type=FILE, help="Question file of a train split.  [the recipe's]"),
        click.option("--held-out", type=FILE, multiple=True, help="Question file that must share none with it."),
        click.option("--gold", type=FILE, help="Question file to measure on while reinforcing.  [the recipe's]"),
        click.option("--split", type=click.Choice(["train"]), help="Says that questions without such ids are for it."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(epilog=EPILOG)
def distill() -> None:
    """Bake the chorus into one model."""


@distill.command(epilog=EPILOG)
@place_options
@ray_options
def run(ray: str | None, workers: int | None, gpus: float, **options: Any) -> int:
    """Run all steps of a recipe, or of one of its arms."""
    place = _place(**options)
    for step in place.recipe.steps:
        _collect(place, ray, workers, gpus) if step == "collect" else _train(place, step)
    return 0


@distill.command()
@place_options
@ray_options
def collect(ray: str | None, workers: int | None, gpus: float, **options: Any) -> int:
    """Hold debates over train questions, and make rows of them."""
    return _collect(_place(**options), ray, workers, gpus)


@distill.command()
@place_options
def sft(**options: Any) -> int:
    """Warm the model up on the rows."""
    return _train(_place(**options), "sft")


@distill.command()
@place_options
def bake(**options: Any) -> int:
    """Distil the protocol: the teacher reads cards and charter, the student nothing."""
    return _train(_place(**options), "bake")


@distill.command()
@place_options
def rl(**options: Any) -> int:
    """Reinforce by verifiable rewards."""
    return _train(_place(**options), "rl")


@distill.command()
@place_options
def export(**options: Any) -> int:
    """Merge everything into one checkpoint, with a model card."""
    return _train(_place(**options), "export")


def _place(
    recipe: str,
    out: Path,
    arm: str | None,
    questions: Path | None,
    held_out: tuple[Path, ...],
    gold: Path | None,
    split: str | None,
) -> Place:
    from chorus.distill import recipe as recipes
    from chorus.distill.steps import Given, Place

    return Place(recipes.load(recipe, arm), out, Given(questions, held_out, gold, split))


def _report(words: str) -> None:
    click.echo(words, err=True)


def _train(place: Place, step: Step) -> int:
    """Run a step that trains or exports. Raises ChorusError."""
    from chorus.distill import steps

    steps.trained(place, step, _report)
    return 0


def _collect(place: Place, ray: str | None, workers: int | None, gpus: float) -> int:
    """Run the step that holds debates, here or on a cluster. Raises ChorusError."""
    from chorus import config
    from chorus.chorus import Chorus
    from chorus.cli.loop import run as loop
    from chorus.cluster.on_ray import RayFleet
    from chorus.distill import collect, steps
    from chorus.terminal.progress import progress

    recipe, at_once = place.recipe, place.recipe.collect.concurrency
    said = {"engine": f"hf:{recipe.model}"} | recipe.collect.chorus
    # What holds is the recipe: no settings file and no variable of the place that it is run in.
    chorus = Chorus(settings=config.load(said, base=config.Settings()), report=_report)
    with progress(sys.stderr) as advance:

        def hold(questions: Sequence[Question], folder: Path) -> Summary:
            if not ray:
                held = collect.hold(chorus, questions, folder, concurrency=at_once, advance=advance)
                return loop(held, chorus.settings.engine)
            with RayFleet(ray, chorus.settings, concurrency=at_once, workers=workers, gpus=gpus) as fleet:
                return collect.hold_on(fleet, chorus, questions, folder, advance=advance)

        steps.collected(place, chorus, hold, _report)
    return 0
