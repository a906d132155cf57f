"""Runs the application on uvicorn: where it may listen, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence

import uvicorn

from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.errors import ConfigError
from chorus.loopback import is_loopback
from chorus.record.store import Store
from chorus.server.app import create_app
from chorus.server.keys import KeyRing
from chorus.server.policy import Policy
from chorus.server.webhook import SECRET, Webhook, message_of_lost
from chorus.telemetry.counters import Counters


async def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    baked: Sequence[str] = (),
    store: str | None = None,
    with_keys: bool | None = None,
    policy: Policy | None = None,
    webhook: str | None = None,
    webhook_allow_private: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Serve until a signal ends it; running debates then have `policy.drain_s` to come to their end.

    Args:
        settings: what requests start from.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        baked: engine SPECs of baked checkpoints, which answer beside the chorus.
        store: URL of the database; None keeps nothing.
        with_keys: whether a key is wanted; None wants one wherever others than this machine can reach the server.
        policy: what is allowed.
        webhook: URL that is told of answers that a person should look at; the environment holds its secret.
        webhook_allow_private: whether it may be on a network of one's own.
        report: is told where the server listens, and of steps that take long.

    Raises:
        ConfigError: others could use it without a key, or there is nowhere to keep keys, or the port is taken.
        ChorusError: the engine or the store can't be opened.
    """
    keyed = not is_loopback(host) if with_keys is None else with_keys
    if not keyed and not is_loopback(host):
        raise ConfigError(
            f"whoever reaches {host} could use this server: leave --no-keys out, and `chorus keys create` one"
        )
    if keyed and store is None:
        raise ConfigError(
            "keys are kept in the store: leave --no-store out, or serve this machine alone with --no-keys"
        )
    if webhook and store is None:
        raise ConfigError("what the webhook is to be told waits in the store: leave --no-store out")
    rules = policy or Policy()
    listener = _listen(host, port)
    tell = message_of_lost if webhook else None
    kept = await Store.open(store, lease_s=rules.lease_s, tell=tell) if store else None
    keys = await KeyRing.open(store) if keyed and store else None
    counters = Counters()
    try:
        told = None
        if webhook and kept:
            secret = os.environ.get(SECRET, "")
            told = Webhook(webhook, secret, kept.outbox, allow_private=webhook_allow_private)
        app = create_app(
            Chorus(settings=settings, report=report, counters=counters),
            baked=[Chorus(spec, settings=settings, report=report, counters=counters) for spec in baked],
            store=kept,
            keys=keys,
            policy=rules,
            counters=counters,
            webhook=told,
        )
        # The application drains by itself; uvicorn must not cut the streams of debates before.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=int(rules.drain_s) + 5
        )
        await _Server(config, app.state.service.drain, report, _url(listener, host)).serve([listener])
    finally:
        for opened in (kept, keys):
            if opened:
                await opened.aclose()


class _Server(uvicorn.Server):
    """Says where it listens once it does, and lets debates end before connections are closed."""

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]], report: Callable[[str], None], url: str
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._report = report
        self._url = url

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in good order on SIGTERM and Ctrl-C. uvicorn's own would raise the signal again when all is done."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, then say so."""
        await super().startup(sockets)
        if self.started:
            self._report(f"greek-chorus listens on {self._url} (OpenAI's base URL: {self._url}/v1)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the debates under way come to their end, then close."""
        await self._drain()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would leave Nagle's algorithm on, and an answer would wait 40 ms for the client's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"can't listen on {host}, port {port}: {error.strerror or error}") from error
    return listener


def _url(listener: socket.socket, host: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
