"""What can go wrong, as HTTP says it: one table from exception to status, one shape for every error.

Every error, 404 and 405 included, has OpenAI's body `{"error": {"message", "type", "param", "code"}}`, so that the
clients' own error classes carry the message. Where trying again can't help, `x-should-retry: false` says so: OpenAI's
clients would otherwise hold the same failing debate three times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from chorus.errors import (
    ChorusError,
    ConfigError,
    ContextTooLong,
    DebateFailed,
    EngineError,
    QuestionError,
    StoreError,
    TopologyError,
)
from personas import PersonaError

INVALID = "invalid_request_error"
OURS = "server_error"

_TABLE: Sequence[tuple[type[Exception], int, str, str | None, str | None]] = (
    # exception, status, type, code, param; the first that fits
    (ContextTooLong, 400, INVALID, "context_length_exceeded", "messages"),
    (QuestionError, 400, INVALID, "invalid_question", "messages"),
    (PersonaError, 400, INVALID, "invalid_personas", "chorus.personas"),
    (TopologyError, 400, INVALID, "invalid_topology", "chorus.topology"),
    (ConfigError, 400, INVALID, "invalid_option", "chorus"),
    (EngineError, 502, "engine_error", "engine_failed", None),
    (DebateFailed, 502, "engine_error", "no_answer", None),
    (ChorusError, 500, OURS, None, None),
)

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 429: "rate_limited"}

_TAGS = {"system", "developer", "user", "assistant", "tool", "text", "json_object", "json_schema", "str", "function"}
"""Parts of a location that pydantic adds where several shapes are possible; no field of a request."""


class Refusal(ChorusError):
    """The request is refused as it stands.

    Args:
        message: what was wrong, and what to do.
        status: the HTTP status.
        param: the field of the request that it is about.
        code: for programs.
        kind: OpenAI's `type`; by the status when left out.
        retry_after_s: when to try again; rounded up to whole seconds.
        headers: that go with the response.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})


def late(why: str) -> Refusal:
    """Return what is told where the time of a request was over before anything could be said."""
    return Refusal(f"no answer: {why}", status=504, code="deadline_exceeded")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error ready to be sent."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that goes out, in a response or in the middle of a stream."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return it as a whole response."""
        return JSONResponse(self.body, self.status, self.headers)


def problem(error: BaseException) -> Problem:
    """Return what a client is told of an exception. Of one that nobody foresaw it is told nothing but that it was."""
    if isinstance(error, StoreError):  # its own words name a place on the server
        error = Refusal("the store can't be used now", status=503, code="store_unavailable", retry_after_s=5)
    if isinstance(error, Refusal):
        kind = error.kind or _type(error.status)
        return Problem(error.status, str(error), kind, error.param, error.code, error.headers | _retry(error))
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code)
        return Problem(error.status_code, str(error.detail), _type(error.status_code), None, code, _headers(error))
    for kind_of, status, type_, code, param in _TABLE:
        if isinstance(error, kind_of):
            if isinstance(error, EngineError) and error.retryable:
                return Problem(503, str(error), type_, param, "engine_unavailable", _retry(error))
            return Problem(status, str(error), type_, param, code, _retry(error))
    return Problem(
        500, "the server failed at this request; its log says why", OURS, None, "internal_error", _no_retry()
    )


def _type(status: int) -> str:
    return _TYPES.get(status, INVALID if status < 500 else OURS)


def _headers(error: HTTPException) -> dict[str, str]:
    return dict(error.headers or {}) | _no_retry()


def _retry(error: BaseException) -> dict[str, str]:
    """Return the headers that say whether and when to try again."""
    wait = getattr(error, "retry_after_s", None)
    if wait is not None:
        return {"retry-after": str(max(1, math.ceil(wait)))}
    return {} if getattr(error, "retryable", False) else _no_retry()


def _no_retry() -> dict[str, str]:
    return {"x-should-retry": "false"}


def _invalid(error: RequestValidationError) -> Problem:
    """Name the first field that doesn't fit, the way OpenAI writes it: `messages[0].content`."""
    first = error.errors()[0]
    param = _path(first["loc"])
    if first["type"] == "extra_forbidden":
        message = f"{param} is not supported here"
    elif first["type"] == "json_invalid":
        return Problem(
            400,
            f"the body is no JSON: {first.get('ctx', {}).get('error', '')}",
            INVALID,
            None,
            "invalid_json",
            _no_retry(),
        )
    else:
        message = f"{param or 'the body'}: {first['msg']}"
    code = "unsupported_parameter" if first["type"] == "extra_forbidden" else "invalid_value"
    return Problem(400, message, INVALID, param, code, _no_retry())


def _path(location: Iterable[int | str]) -> str | None:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (part in ("body", "query", "path", "header") and not path) and not _is_tag(part, path):
            path += f".{part}" if path else part
    return path or None


def _is_tag(part: str, path: str) -> bool:
    """Tell pydantic's own marks from fields: the name of a shape behind an index, or of a type."""
    return (part in _TAGS and (path.endswith("]") or path in ("response_format", "tool_choice"))) or "[" in part
