"""What can go wrong between us and an OpenAI-compatible server, told as the engine's errors.

Servers agree on little when they fail, so a fault is judged by what several of them send: the status, the error
object's `code`, and only then its words. Every message names the URL.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from chorus.errors import ContextTooLong, EngineError, EngineUnreachable

CLIP = 300
"""Characters of a server's own words that a message quotes."""

# vLLM, OpenAI, llama.cpp and the hosted services each have words of their own for it.
_TOO_LONG = re.compile(
    r"context[ _](length|window|size)|maximum model length|max_model_len|prompt is too long|context_length_exceeded",
    re.IGNORECASE,
)
_RETRYABLE = frozenset({408, 409, 425, 429})
_AWAY = frozenset({502, 503})
"""What gateways answer for a server that is down or still loading its model, and servers that take no more work."""
_NO_MONEY = "insufficient_quota"
_NO_TEMPLATE = re.compile(
    r"(provide|\bno|not (have|define|contain)) a?n?y? ?chat[ _]template|chat_template is not set", re.IGNORECASE
)


def wire_errors() -> tuple[type[Exception], ...]:
    """Return what the SDK may raise: its own errors, those of its HTTP client, and those of parsing a bad stream.

    The SDK's major versions use different HTTP clients, and the older lets the client's errors through in a stream.
    """
    import openai

    found: list[type[Exception]] = [openai.OpenAIError, ValueError, RecursionError, OSError]
    for name in ("httpx2", "httpx"):
        try:
            found.append(importlib.import_module(name).RequestError)
        except ImportError:
            continue
    return tuple(found)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status, or the status that an error event in a stream gives as its code."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status
    code = str(getattr(error, "code", None) or "")
    return int(code) if re.fullmatch(r"[45]\d\d", code) else None


def complaint(error: Exception) -> str:
    """Return the server's own words: one line, clipped."""
    body = getattr(error, "body", None)
    return clip(_words(body) or str(getattr(error, "message", "") or error) or type(error).__name__)


def is_too_long(error: Exception) -> bool:
    """Tell whether the server says that prompt and completion don't fit."""
    said = f"{getattr(error, 'code', '')} {getattr(error, 'type', '')} {complaint(error)}"
    return status_of(error) != 429 and _TOO_LONG.search(said) is not None


def translate(error: Exception, url: str, timeout_s: float) -> EngineError:
    """Return the engine's error for one of `wire_errors`."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _refused(error, url)
    if _named(error, "Timeout"):
        if _named(error, "ConnectTimeout"):
            return EngineUnreachable(f"can't reach {url}: it took no connection in time")
        return EngineError(f"no word from {url} in {timeout_s:g} s", retryable=True)
    if isinstance(error, ValueError | RecursionError):
        return EngineError(f"{url} sent a line in its stream that is not JSON: {error}", retryable=True)
    if isinstance(error, openai.APIConnectionError) or not isinstance(error, openai.OpenAIError):
        if _named(error, "Connect"):
            return EngineUnreachable(f"can't reach {url}: {_root(error)}")
        return EngineError(f"lost the connection to {url}: {_root(error)}", retryable=True)
    if is_too_long(error):
        return ContextTooLong(f"{url} says in its stream: {complaint(error)}")
    status = status_of(error)
    retryable = status is None or status in _RETRYABLE or status >= 500
    return EngineError(f"{url} broke off its stream: {complaint(error)}", retryable=retryable)


def base_hint(url: str) -> str:
    """Return what to check about a URL where nothing answers; empty when it looks right."""
    return "" if url.endswith("/v1") else " (a base URL usually ends in /v1)"


def _refused(error: Any, url: str) -> EngineError:
    """Judge an answer with a status of 4xx or 5xx."""
    status = error.status_code
    message = f"{url} answered {status}: {complaint(error)}"
    if is_too_long(error):
        return ContextTooLong(message)
    if status in (401, 403):
        return EngineError(f"{message} (the key is read from OPENAI_API_KEY)")
    if status in (404, 405):
        return EngineError(message + base_hint(url))
    if _NO_TEMPLATE.search(message):
        return EngineError(f"{message} (its model has none: start vLLM with --chat-template FILE)")
    wait = _retry_after(error.response.headers)
    if status in _AWAY:
        return EngineUnreachable(message, retry_after_s=wait)
    retryable = (status in _RETRYABLE or status >= 500) and error.code != _NO_MONEY
    return EngineError(message, retryable=retryable, retry_after_s=wait)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait: RFC 9110 gives them as a number or as a date."""
    given = headers.get("retry-after", "").strip()
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif re.fullmatch(r"[\d.]+", given):
            seconds = float(given)
        else:
            seconds = parsedate_to_datetime(given).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _named(error: BaseException | None, ending: str) -> bool:
    """Tell whether the error, or a cause of it, is of a class so named: the two HTTP clients use the same names."""
    while error is not None:
        if type(error).__name__.endswith((ending, f"{ending}Error")):
            return True
        error = _cause(error)
    return False


def _root(error: BaseException) -> str:
    """Return the first cause in words: the libraries between wrap it in phrases that say less."""
    while (cause := _cause(error)) is not None:
        error = cause
    return clip(str(error) or type(error).__name__)


def _cause(error: BaseException) -> BaseException | None:
    # `__context__` is not followed: it may be whatever the caller was handling when it made the call.
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else error.args
    return error.__cause__ or next((cause for cause in inside if isinstance(cause, BaseException)), None)


def _words(body: object) -> str:
    """Find the message in an error body: OpenAI's form, vLLM's older flat form, FastAPI's `detail`, or plain text."""
    if isinstance(body, Mapping):
        for key in ("error", "message", "detail"):
            if body.get(key):
                return _words(body[key])
        return json.dumps(body, default=str) if body else ""
    if isinstance(body, list):
        faults = [fault for fault in body if isinstance(fault, Mapping)]
        return "; ".join(f"{'.'.join(map(str, fault.get('loc', ())))}: {fault.get('msg', '')}" for fault in faults)
    if isinstance(body, str):
        return html_in(body) or body
    return ""


def html_in(text: str) -> str:
    """Describe an HTML page by its title; empty for any other text."""
    if not re.match(r"\s*<(!doctype|html|head|body)", text, re.IGNORECASE):
        return ""
    title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
    return f"an HTML page ({' '.join(title[1].split())})" if title else "an HTML page"


def clip(text: str) -> str:
    """Make one line of at most `CLIP` characters."""
    line = " ".join(text.split())
    return line if len(line) <= CLIP else line[:CLIP] + "…"
