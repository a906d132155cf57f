"""From `openai:BASE_URL#MODEL` to an engine: one server, or several with one engine in front of them (`endpoints`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from chorus.engines.base import EngineInfo
from chorus.engines.endpoints import Endpoint, Endpoints
from chorus.engines.openai_dialect import Dialect
from chorus.engines.openai_http import OpenAIEngine, Server
from chorus.engines.openai_models import split_addresses
from chorus.errors import ConfigError, EngineError

DEFAULT_CONTEXT_WINDOW = 8192

PROBE_TIMEOUT_S = 5.0
"""How long a server among several may take to say what it serves before it counts as gone."""

MakeEngine = Callable[[Server, str, int | None], OpenAIEngine]
"""Makes the engine of one server, for a model with a context window."""


async def open_openai(
    rest: str,
    *,
    timeout_s: float = 120.0,
    context_window: int | None = None,
    max_concurrency: int = 16,
    send_seed: bool = True,
    extra_body: Mapping[str, Any] | None = None,
) -> OpenAIEngine | Endpoints:
    """Open the engine of `openai:BASE_URL#MODEL`; MODEL may be left out where the server serves just one.

    Several base URLs, with commas between them, are several servers of one model behind one engine (`Endpoints`).
    The key is read from OPENAI_API_KEY; servers that want none get a placeholder.

    Args:
        rest: `BASE_URL#MODEL`.
        timeout_s: Seconds that the server may stay silent before a call fails.
        context_window: Tokens of prompt and completion together; `None` asks the server; 8192 if it won't say.
        max_concurrency: Calls at once that one server serves well.
        send_seed: Whether seeds are passed on. Some servers fall over them (vLLM on a CPU, when it chunks prompts).
        extra_body: Fields of the server's own that go into every request (vLLM's `top_k`, `ignore_eos` …).

    Raises:
        ConfigError: the URL, the model or an option can't be used.
        EngineError: the server can't be reached, or refuses.
    """
    urls, wanted = split_addresses(rest)
    for name, value in (
        ("timeout_s", timeout_s),
        ("max_concurrency", max_concurrency),
        ("context_window", context_window),
    ):
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise ConfigError(f"the engine option {name} must be a number above 0, not {value!r}")
    if extra_body is not None and not isinstance(extra_body, Mapping):
        raise ConfigError(f"the engine option extra_body must be a table of fields, not {extra_body!r}")
    servers = [Server(url, timeout_s) for url in urls]

    def engine(server: Server, model: str, window: int | None) -> OpenAIEngine:
        info = EngineInfo(
            spec=f"openai:{server.url}#{model}",
            context_window=context_window or window or DEFAULT_CONTEXT_WINDOW,
            max_concurrency=max_concurrency,
            guided=True,
        )
        dialect = Dialect(refused=set() if send_seed else {"seed"}, extra=dict(extra_body or {}))
        return OpenAIEngine(server, info, model=model, dialect=dialect)

    try:
        if len(servers) > 1:
            return await _open_several(servers, wanted, engine)
        model, window = await servers[0].find_model(wanted)
        return engine(servers[0], model, window)
    except BaseException:
        for server in servers:
            await server.client.close()
        raise


async def _open_several(servers: Sequence[Server], wanted: str, engine: MakeEngine) -> Endpoints:
    """Open the engine. Servers that are down join when they come up, as long as one is there now.

    Raises:
        ConfigError: a URL is not that of such a server, or they don't all serve the model.
        EngineError: none can be reached, or one refuses.
    """
    found = await asyncio.gather(*(server.find_model(wanted) for server in servers), return_exceptions=True)
    down = [one for one in found if isinstance(one, EngineError) and one.retryable]
    for one in found:
        if isinstance(one, BaseException) and (one not in down or len(down) == len(servers)):
            raise one
    there = [one for one in found if not isinstance(one, BaseException)]
    models = sorted({model for model, _ in there})
    if len(models) > 1:
        raise ConfigError(f"the endpoints serve different models ({', '.join(models)}): name one, as in URL,URL#MODEL")
    model = models[0]
    windows = [window for _, window in there if window]
    window = min(windows) if windows else None
    endpoints = [
        Endpoint(
            server.url,
            engine(server, model, window),
            partial(server.find_model, model, PROBE_TIMEOUT_S),
            one if isinstance(one, EngineError) else None,
        )
        for server, one in zip(servers, found, strict=True)
    ]
    return Endpoints(endpoints, f"openai:{','.join(server.url for server in servers)}#{model}")
