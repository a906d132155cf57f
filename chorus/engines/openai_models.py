"""From `BASE_URL#MODEL`, or several URLs with commas, to a model that is known to be served, and its context window.

A wrong URL, a server that is down and a misspelt model are told here, before the first call, while they can still be
told apart. A server that lists no models at all is taken at the caller's word.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from chorus.engines.openai_faults import base_hint, clip, html_in, status_of, translate, wire_errors
from chorus.errors import ConfigError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_TIMEOUT_S = 5.0
"""How long a server may take to accept the first connection: a wrong address is to be told soon."""

_WINDOW_FIELDS = ("max_model_len", "context_length", "max_context_length")
"""What vLLM, OpenRouter and LM Studio call the context window in their lists of models."""


def split_addresses(rest: str) -> tuple[tuple[str, ...], str]:
    """Split `BASE_URL,BASE_URL…#MODEL` into the URLs without their last slash, and the model or "". Raises ConfigError."""
    listed, _, model = rest.strip().partition("#")
    urls = tuple(_checked(url.strip()) for url in listed.split(","))
    if twice := next((url for url in urls if urls.count(url) > 1), None):
        raise ConfigError(f"{twice} is named twice: each endpoint stands for one server")
    return urls, model.strip()


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = SplitResult("", "", "", "", ""), False
    if "@" in url.partition("//")[2].partition("/")[0]:
        # The SPEC is written into every record, so the message must not repeat it either.
        raise ConfigError("an engine's URL can't hold a user or password: give the key in OPENAI_API_KEY")
    if not usable or parts.query:
        raise ConfigError(f"{url!r} is not a base URL: write openai:http://HOST:PORT/v1#MODEL")
    return url.rstrip("/")


async def find_model(client: AsyncOpenAI, url: str, wanted: str, timeout_s: float) -> tuple[str, int | None]:
    """Return the model's id and its context window where the server tells it.

    Raises:
        ConfigError: the URL is not that of such a server, or it doesn't serve `wanted`, or serves several.
        EngineError: the server can't be reached, or refuses.
    """
    served = await _served(client, url, wanted, timeout_s)
    if served is None:
        return wanted, None
    names = list(served)
    if not wanted and len(names) == 1:
        wanted = names[0]
    if wanted in served:
        return wanted, served[wanted]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if not wanted:
        raise ConfigError(f"{url} serves {shown or 'no model'}: name one, as in openai:{url}#MODEL")
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"{url} does not serve the model {wanted!r}: {hint}It serves {shown or 'no model'}")


async def _served(client: AsyncOpenAI, url: str, wanted: str, timeout_s: float) -> dict[str, int | None] | None:
    """Return the models served with their context windows; `None` when there is no list, but a name to go by."""
    from openai import Timeout

    try:
        raw = await client.models.with_raw_response.list(timeout=Timeout(timeout_s, connect=CONNECT_TIMEOUT_S))
    except wire_errors() as error:
        if status_of(error) in (404, 405, 501):
            if wanted:
                return None
            raise ConfigError(
                f"{url}/models answered {status_of(error)}: name the model, as in openai:{url}#MODEL" + base_hint(url)
            ) from error
        raise translate(error, url, timeout_s) from error
    text = raw.http_response.text
    try:
        return _read_list(json.loads(text))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        page = html_in(text)
        if wanted and not page:
            return None
        said = page or f"{clip(text)!r}"
        raise ConfigError(
            f"{url}/models answered with {said} where a list of models was due{base_hint(url)}"
        ) from error


def _read_list(listed: Any) -> dict[str, int | None]:
    windows = {str(model["id"]): _window(model) for model in listed["data"]}
    # vLLM lists an adapter as a model without a window, with the model that it adapts as its parent.
    parents = {str(model["id"]): windows.get(str(model.get("parent"))) for model in listed["data"]}
    return {name: window or parents[name] for name, window in windows.items()}


def _window(model: dict[str, Any]) -> int | None:
    lengths = [model[name] for name in _WINDOW_FIELDS if isinstance(model.get(name), int) and model[name] > 0]
    return lengths[0] if lengths else None
