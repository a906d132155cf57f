"""What a baked checkpoint may do here: the grant of its legibility card, enforced.

| grant | tools | rate | length of what one call writes | review |
|---|---|---|---|---|
| `full` | yes | free | free | by the usual rule |
| `limited` | none | `PER_MINUTE` | `MOST_TOKENS` | by the usual rule |
| `supervised` | none | `PER_MINUTE` | `MOST_TOKENS` | every answer |
| `none` | | | | not served |
| unaudited | yes | free | free | every answer |

One call writes a voice's turn, the answer, or an inner dialogue as a whole, however many rounds of it are asked for. The
rate is counted by each server for itself. Unaudited is a model without a card that stands, or with the grant `none`, which
the operator serves all the same (`--allow-unaudited`); `/v1/models` says so.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chorus.checkpoints.legibility import KEY, Grant, check
from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request
from chorus.errors import CheckpointError, ConfigError
from chorus.server.problems import Refusal
from chorus.types import Message

PER_MINUTE = 20
MOST_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model stands."""

    grant: Grant | None = "full"
    """None: unaudited, and served all the same."""
    baked: bool = False
    """Whether there is anything to audit."""
    pace: Pace | None = None

    @property
    def name(self) -> str:
        """What `/v1/models` shows."""
        return self.grant or "unaudited"

    @property
    def capped(self) -> bool:
        """Whether tools, rate and length are bounded."""
        return self.grant in ("limited", "supervised")

    @property
    def review(self) -> list[str]:
        """Why every answer is to be looked at; empty when not every one is."""
        if self.grant == "supervised":
            return ["the model's grant is `supervised`: every answer is to be looked at"]
        return [] if self.grant else ["the model is served without an audit"]

    def check_unkept(self) -> None:
        """Raise Refusal, since a request wants nothing to be kept, where every answer is to be looked at."""
        if self.review:
            raise Refusal(f"{self.review[0]}, so it has to be kept", status=403, param="store", code="not_granted")

    def length(self, wanted: int) -> int:
        """Return how many tokens may be written where so many are wanted."""
        return min(wanted, MOST_TOKENS) if self.capped else wanted

    def bounded(self, engine: Engine) -> Engine:
        """Return the engine as the model may use it."""
        return Bounded(engine) if self.capped else engine

    def admit(self) -> None:
        """Count a debate. Raises Refusal, 429, when the grant's rate is used up."""
        if self.pace and (seconds := self.pace.wait()):
            raise Refusal(
                f"the model's grant is `{self.grant}`: {PER_MINUTE} requests a minute",
                status=429,
                code="rate_limit_exceeded",
                retry_after_s=seconds,
            )

    def check_tools(self) -> None:
        """Raise Refusal, since a request brought tools, unless the model may have them."""
        if self.capped:
            raise Refusal(
                f"the model's grant is `{self.grant}`: no tools", status=403, param="tools", code="not_granted"
            )


class Bounded:
    """An engine no call of which writes more than `MOST_TOKENS`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> EngineInfo:
        """The engine's."""
        return self._engine.info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages, at no greater length. Raises EngineError."""
        length = min(request.sampling.max_tokens, MOST_TOKENS)
        return await self._engine.generate(
            replace(request, sampling=replace(request.sampling, max_tokens=length)), emit
        )

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take."""
        return await self._engine.count(messages)

    async def aclose(self) -> None:
        """Close the engine."""
        await self._engine.aclose()


@dataclass(slots=True)
class Pace:
    """A rate over the last minute."""

    now: Callable[[], float] = time.monotonic
    _begun: deque[float] = field(default_factory=deque)

    def wait(self) -> float:
        """Return 0 and count one more, or the seconds until one more may come."""
        now = self.now()
        while self._begun and self._begun[0] <= now - 60:
            self._begun.popleft()
        if len(self._begun) >= PER_MINUTE:
            return max(0.001, self._begun[0] + 60 - now)
        self._begun.append(now)
        return 0.0


def standing(folder: Path, weights: Path | None = None, *, allow_unaudited: bool) -> Standing:
    """Return how a baked checkpoint stands. Cards must be signed with the key in CHORUS_AUDIT_KEY where it is set.

    Args:
        folder: where its card lies.
        weights: where its weights lie, if elsewhere.
        allow_unaudited: let it stand without a card.

    Raises:
        ConfigError: it has no card that stands, or is granted nothing, and `allow_unaudited` was not given.
    """
    try:
        card = check(folder, os.environ.get(KEY), weights=weights)
        why = "" if card.grant != "none" else f"the audit of {folder} granted it nothing (see its legibility.json)"
    except CheckpointError as error:
        card, why = None, str(error)
    if card is None or why:
        if not allow_unaudited:
            raise ConfigError(f"{why}; or serve it all the same with --allow-unaudited")
        return Standing(None, baked=True)
    capped = card.grant in ("limited", "supervised")
    return Standing(card.grant, baked=True, pace=Pace() if capped else None)
