"""What the server allows and how patient it is. Every figure is a choice of the operator's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from chorus.server.review import Thresholds


class Policy(BaseModel):
    """How the server goes about its work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls_at_once: int | None = Field(default=None, ge=1)
    """Engine calls in flight; `None` is what the engine says it serves well."""
    calls_waiting: int = Field(default=10_000, ge=1)
    """Engine calls that the debates under way may have before them; a debate that would need more is refused with 429."""
    max_turns: int = Field(default=128, ge=1)
    """Seats times rounds of one debate."""
    deadline_s: float = Field(default=600.0, gt=0)
    """Seconds after which a request is answered with what there is, where the settings' `max_seconds` doesn't say."""
    max_body_bytes: int = Field(default=4_000_000, ge=1)
    keep_alive_s: float = Field(default=10.0, gt=0)
    """A quiet stream says so every so many seconds."""
    stall_s: float = Field(default=60.0, gt=0)
    """A client that takes nothing for so many seconds while there is something for it has gone."""
    unwatched_s: float = Field(default=30.0, gt=0)
    """A debate started for its events ends when nobody has read them for so many seconds."""
    kept: int = Field(default=200, ge=0)
    """Finished debates that stay readable in memory where there is no store, or the store fails. Where servers share the
    store, so many may wait to be written down; then no more are begun."""
    kept_chars: int = Field(default=64_000_000, ge=0)
    """Length of their logs together, in characters."""
    store_s: float = Field(default=30.0, gt=0)
    """How long a debate that is over waits to be written down; then it stays in memory, as one of those that are `kept`."""
    lease_s: float = Field(default=30.0, gt=0)
    """Where servers share the store: after so many seconds without a sign of life one counts as dead."""
    ready_s: float = Field(default=2.0, gt=0)
    """A store that takes longer to answer is not there."""
    drain_s: float = Field(default=30.0, ge=0)
    """What running debates have left once the server is told to end."""
    allow_unaudited: bool = False
    """Serve baked checkpoints that no legibility card stands for."""
    review: Thresholds = Thresholds()
