"""A turn while it is being spoken. It becomes a frozen `Turn` once, finished or not, and keeps what was said by then."""

from __future__ import annotations

from chorus.debate import topology
from chorus.debate.floor import Node
from chorus.engines.base import Completion
from chorus.types import Position, SeatPlan, Turn, TurnKind, TurnStatus, Usage, well_formed


class Draft:
    """What is known of a turn so far. `seat` says who speaks and how it is sampled; `heard` holds turn ids."""

    def __init__(self, node: Node, seat: SeatPlan, kind: TurnKind, heard: tuple[str, ...] = ()) -> None:
        self.id = topology.turn_id(*node)
        self.node = node
        self.seat = seat
        self.kind: TurnKind = kind
        self.heard = heard
        self.text = ""
        self.seed: int | None = None
        self.prompt_sha256: str | None = None
        self.calls = 0

    def finish(self, completion: Completion, position: Position | None, flipped_from: str | None) -> Turn:
        """Return the turn as it was spoken to its end."""
        usage = completion.usage.model_copy(update={"calls": self.calls})
        return self._turn("done", completion.text, usage, position, flipped_from, None, completion.finish)

    def close(self, status: TurnStatus, reason: str) -> Turn:
        """Return the turn as far as it came."""
        return self._turn(status, self.text, Usage(calls=self.calls), None, None, well_formed(reason), None)

    def _turn(
        self,
        status: TurnStatus,
        text: str,
        usage: Usage,
        position: Position | None,
        flipped_from: str | None,
        reason: str | None,
        finish: str | None,
    ) -> Turn:
        return Turn(
            id=self.id,
            round=self.node[0],
            seat=self.node[1],
            persona=self.seat.persona,
            kind=self.kind,
            status=status,
            text=text,
            position=position,
            heard=self.heard,
            flipped_from=flipped_from,
            reason=reason,
            finish=finish,
            seed=self.seed,
            prompt_sha256=self.prompt_sha256,
            usage=usage,
        )
