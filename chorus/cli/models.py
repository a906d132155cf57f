"""`chorus models`: the checkpoints that `hf:NAME` opens, listed, fetched and found."""

from __future__ import annotations

import click

from chorus.cli.settings import report


@click.group()
def models() -> None:
    """The models that `hf:NAME` opens."""


@models.command("list")
def list_models() -> int:
    """List the catalogue, with what each model needs and whether it is here."""
    from chorus import checkpoints

    click.secho(f"{'name':<18} {'weights':>8}  {'needs':<18} {'licence':<11} here  note", bold=True)
    for model in checkpoints.CATALOGUE.values():
        here = "yes" if checkpoints.local_path(model.name) else "-"
        click.echo(
            f"{model.name:<18} {model.parameters:>8}  {model.memory:<18} {model.license:<11} {here:<5} {model.note}"
        )
    click.echo("Any folder that transformers can load, or OWNER/NAME on the hub, is a name too.")
    return 0


@models.command("pull")
@click.argument("name")
@click.option("--force", is_flag=True, help="Fetch it anew, even if it is here.")
def pull_model(name: str, force: bool) -> int:
    """Fetch NAME, so that later runs need no network."""
    from chorus import checkpoints

    folder = checkpoints.resolve(name, report, anew=force)
    checkpoints.check(folder)
    click.echo(folder)
    return 0


@models.command("path")
@click.argument("name")
def model_path(name: str) -> int:
    """Print the folder where NAME lies."""
    from chorus import checkpoints
    from chorus.errors import CheckpointError

    folder = checkpoints.local_path(name)
    if folder is None:
        raise CheckpointError(f"{name} is not on this machine yet: chorus models pull {name}")
    click.echo(folder)
    return 0
