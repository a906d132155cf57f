"""Who asks: a key's owner, or anybody on a server without keys.

Without keys the server answers on the loopback interface only, where a web page that somebody visits could still reach
it. So it answers no request that was sent to another name (a page whose name was made to point here), and begins nothing
for a page of another origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from chorus.server.problems import Refusal

if TYPE_CHECKING:
    from chorus.server.keys import Key

LOCAL = "local"
"""Owns every debate of a server without keys."""

_bearer = HTTPBearer(auto_error=False, description="An API key, where the server wants one: `chorus keys create`.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    owner: str
    key: Key | None = None


async def known(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Return who asks. Raises Refusal, 401, when a key is wanted and none that is valid was sent."""
    keys = request.app.state.service.keys
    if keys is None:
        return Caller(LOCAL)
    if credentials is None:
        raise _unauthorized("an API key is needed: send it as `Authorization: Bearer KEY`")
    key = await keys.check(credentials.credentials)
    if key is None:
        raise _unauthorized("the API key is not valid, or was revoked")
    return Caller(key.id, key)


async def admitted(request: Request, caller: Annotated[Caller, Depends(known)]) -> Caller:
    """Return who asks for a debate. Raises Refusal, 429, when the key's rate or budget is spent."""
    keys = request.app.state.service.keys
    if keys is not None and caller.key is not None and (refusal := await keys.refusal(caller.key)):
        raise Refusal(str(refusal), status=429, code="rate_limit_exceeded", retry_after_s=refusal.retry_after_s)
    return caller


Known = Annotated[Caller, Depends(known)]
Admitted = Annotated[Caller, Depends(admitted)]


def _unauthorized(message: str) -> Refusal:
    return Refusal(message, status=401, code="invalid_api_key", headers={"www-authenticate": "Bearer"})
