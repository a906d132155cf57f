"""`chorus store`: what a server keeps, and for how long. Needs the extra `serve`."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import click

from chorus.cli.keys import store_option

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Age(click.ParamType[timedelta]):
    """A length of time: `90m`, `12h`, `30d`, `8w`."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the time that was meant."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([mhdw])", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no length of time: write 90m, 12h, 30d or 8w", param, ctx)
        return timedelta(**{UNITS[match.group(2)]: int(match.group(1))})


@click.group()
def store() -> None:
    """Prune, erase and copy what `chorus serve` keeps."""


@store.command()
@click.option("--older-than", type=Age(), required=True, help="90m, 12h, 30d, 8w.")
@store_option
def prune(older_than: timedelta, store: str) -> None:
    """Delete the debates that began longer ago than this."""
    from chorus.record.store import Store

    async def run() -> int:
        opened = await Store.open(store, serving=False)
        try:
            return await opened.prune(older_than)
        finally:
            await opened.aclose()

    click.echo(f"{asyncio.run(run())} debates deleted")


@store.command()
@click.argument("debate")
@store_option
def erase(debate: str, store: str) -> None:
    """Delete one DEBATE, by its id."""
    from chorus.errors import RecordError
    from chorus.record.store import Store

    async def run() -> bool:
        opened = await Store.open(store, serving=False)
        try:
            return await opened.erase(debate, None)
        finally:
            await opened.aclose()

    if not asyncio.run(run()):
        raise RecordError(f"the store holds no debate {debate!r}")
    click.echo(f"{debate} deleted")


@store.command()
@click.argument("source", metavar="URL")
@click.argument("target", metavar="EMPTY_URL")
def copy(source: str, target: str) -> None:
    """Copy debates and keys from one database into an empty one, as from SQLite to PostgreSQL. Stop the server first."""
    from chorus.record import moving

    copied = asyncio.run(moving.copy(source, target))
    click.echo(f"{copied['debates']} debates and {copied['keys']} keys copied")
