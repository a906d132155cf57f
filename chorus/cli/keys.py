"""`chorus keys`: who may use a server. Needs the extra `serve`."""

from __future__ import annotations

import asyncio
from typing import Any

import click

STORE = "sqlite:///chorus.db"
"""Where a server keeps debates and keys unless told otherwise: a file in the working folder."""

store_option = click.option("--store", metavar="URL", default=STORE, show_default=True, help="The server's database.")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys for `chorus serve`."""


@keys.command()
@click.argument("name")
@click.option("--requests-per-minute", type=int, help="Bound on how often it may ask.  [none]")
@click.option("--tokens-per-day", type=int, help="Bound on tokens of a UTC day.  [none]")
@store_option
def create(name: str, store: str, **limits: Any) -> None:
    """Make a key for NAME, and print its secret. It is shown this once."""
    from chorus.server.keys import KeyRing

    async def make() -> str:
        ring = await KeyRing.open(store)
        try:
            key, secret = await ring.create(name, **limits)
        finally:
            await ring.aclose()
        click.echo(f"key {key.id} for {key.name}; its secret is not kept, so note it now:", err=True)
        return secret

    click.echo(asyncio.run(make()))


@keys.command("list")
@store_option
def list_(store: str) -> None:
    """List all keys, with their limits."""
    from chorus.server.keys import KeyRing

    async def show() -> None:
        ring = await KeyRing.open(store)
        try:
            known = await ring.list()
        finally:
            await ring.aclose()
        for key in known:
            limits = [
                f"{key.requests_per_minute} requests/min" if key.requests_per_minute else "",
                f"{key.tokens_per_day:,} tokens/day" if key.tokens_per_day else "",
                f"revoked {key.revoked:%Y-%m-%d}" if key.revoked else "",
            ]
            click.echo("  ".join([key.id, f"{key.created:%Y-%m-%d}", key.name, *filter(None, limits)]))

    asyncio.run(show())


@keys.command()
@click.argument("key")
@store_option
def revoke(key: str, store: str) -> int:
    """Make the key with the id KEY useless from now on."""
    from chorus.errors import ConfigError
    from chorus.server.keys import KeyRing

    async def end() -> bool:
        ring = await KeyRing.open(store)
        try:
            return await ring.revoke(key)
        finally:
            await ring.aclose()

    if not asyncio.run(end()):
        raise ConfigError(f"there is no key {key!r} that is not revoked already: `chorus keys list` shows them")
    return 0
