"""`chorus serve`: the chorus behind OpenAI's chat API, with a page to watch it. Needs the extra `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chorus.cli.keys import STORE
from chorus.cli.settings import settings_options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--store", metavar="URL", default=STORE, show_default=True, help="Database of debates and keys.")
@click.option("--no-store", is_flag=True, help="Keep no debate but the newest, in memory.")
@click.option("--keys/--no-keys", "with_keys", default=None, help="Want an API key.  [where others can reach it]")
@click.option("--baked", metavar="SPEC", multiple=True, help="Serve a baked checkpoint too, as in hf:FOLDER.")
@click.option("--allow-unaudited", is_flag=True, help="Serve it even if no legibility card stands for it.")
@click.option("--calls-at-once", type=int, help="Engine calls in flight.  [what the engine serves well]")
@click.option("--calls-waiting", type=int, help="Engine calls before the debates under way; more get 429.  [10000]")
@click.option("--drain-seconds", type=float, help="What running debates have left when it is stopped.  [30]")
@click.option("--lease-seconds", type=float, help="Silence after which a server that shares the store is dead.  [30]")
@click.option("--webhook", metavar="URL", help="Tell it, signed, of each answer that a person should look at.")
@click.option("--webhook-allow-private", is_flag=True, help="It may be on a network of yours, and without TLS.")
@click.option("--log-requests", is_flag=True, help="Write a line for each request: no text of it, and no key.")
@settings_options
def serve(
    host: str,
    port: int,
    store: str,
    no_store: bool,
    with_keys: bool | None,
    baked: tuple[str, ...],
    allow_unaudited: bool,
    calls_at_once: int | None,
    calls_waiting: int | None,
    drain_seconds: float | None,
    lease_seconds: float | None,
    webhook: str | None,
    webhook_allow_private: bool,
    log_requests: bool,
    config_file: Path | None,
    **options: Any,
) -> None:
    """Serve the chorus as an OpenAI-compatible endpoint, with a live page at `/`."""
    import asyncio
    import logging

    from pydantic import ValidationError

    from chorus import config
    from chorus.errors import ConfigError, MissingExtra

    for name in ("mode", "gate"):
        if options[name] is not None:
            named = "chorus, chorus-vote, chorus-inner, chorus-solo, chorus-gate"
            raise ConfigError(f"chorus serve takes no --{name}: a model's name says the mode, {named}")
    settings = config.load(options, config_file)
    try:
        from chorus.server import run
        from chorus.server.policy import Policy
    except ImportError as error:
        raise MissingExtra("the server", "serve") from error
    limits: dict[str, Any] = {"calls_at_once": calls_at_once, "calls_waiting": calls_waiting}
    limits |= {"drain_s": drain_seconds, "lease_s": lease_seconds}
    try:
        given = {name: value for name, value in limits.items() if value is not None}
        policy = Policy(allow_unaudited=allow_unaudited, **given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}") from None
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("chorus.server").setLevel(logging.INFO if log_requests else logging.WARNING)
    served = run.serve(
        settings,
        host=host,
        port=port,
        baked=baked,
        store=None if no_store else store,
        with_keys=with_keys,
        policy=policy,
        webhook=webhook,
        webhook_allow_private=webhook_allow_private,
        report=lambda words: click.echo(words, err=True),
    )
    asyncio.run(served)
