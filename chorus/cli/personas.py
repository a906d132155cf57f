"""`chorus personas`: the cast, listed, shown and checked; and the names that other commands show."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chorus.cli.exits import USAGE

if TYPE_CHECKING:
    from personas import Persona


@click.group()
def personas() -> None:
    """The cast: list it, read a card, check your own."""


@personas.command("list")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def list_personas(folder: Path | None) -> int:
    """List the built-in personas, or those of FOLDER, by pack."""
    from personas import Library

    library = Library.from_folder(folder) if folder else Library.builtin()
    for pack, members in library.packs.items():
        click.secho(pack, bold=True)
        for persona in members:
            click.echo(f"  {persona.id:<14} {persona.summary}")
    return 0


@personas.command("show")
@click.argument("persona_id", metavar="ID")
def show_persona(persona_id: str) -> int:
    """Print a persona's card as YAML: a good start for a card of your own."""
    from personas import Library
    from personas.cardfile import dump_card

    click.echo("---\n".join(dump_card(persona) for persona in Library.builtin().select(persona_id)), nl=False)
    return 0


@personas.command("validate")
@click.argument("path", type=click.Path(path_type=Path))
def validate_personas(path: Path) -> int:
    """Check a card or a folder of cards, naming file, field and reason of every fault."""
    from personas import Library, validate
    from personas.cardfile import read_card
    from personas.cast import check

    faults = validate(path)
    for fault in faults:
        click.echo(str(fault), err=True)
    if faults:
        return USAGE
    cast = Library.from_folder(path).personas if path.is_dir() else (read_card(path),)
    for warning in check(cast):
        click.echo(f"note: {warning}", err=True)
    click.echo(f"{len(cast)} {'card is' if len(cast) == 1 else 'cards are'} in order")
    return 0


def display_names(spec: str | None = None) -> dict[str, str]:
    """Return the names to show, by persona: the built-in ones', and those of the user's own that the SPEC names."""
    from personas import Library, PersonaError

    library = Library.builtin()
    own: tuple[Persona, ...] = ()
    with contextlib.suppress(PersonaError):
        own = library.select(spec or "")
    return {persona.id: persona.name for persona in (*library.personas, *own)}
