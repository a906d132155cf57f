"""When a person should look at an answer: the one rule, with its reasons in words.

An answer needs a look when the chorus was split, unsure, or not whole. Shares of support say nothing where answers
can't be compared (each free text is an answer of its own), so there only what the voices say of their confidence counts.
The thresholds are choices; what they catch on your questions is a thing to measure.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from chorus.debate import grade
from chorus.types import Answer, Turn


class Thresholds(BaseModel):
    """When an answer is to be looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dissent: float = Field(default=1 / 3, ge=0, le=1)
    """A dissent with at least this share of the support is high; 1 never minds a dissent."""
    confidence: float = Field(default=0.5, ge=0, le=1)
    """A confidence below this is low; 0 never minds."""


def reasons(answer: Answer, thresholds: Thresholds) -> list[str]:
    """Return why a person should look at the answer; empty when nobody needs to."""
    if answer.status == "failed":
        return [f"no answer could be decided: {answer.reason}"]
    found = [f"the debate was cut short: {answer.reason}"] if answer.status == "cut" else []
    comparable = grade.comparable(answer.plan.kind)
    dissent = answer.dissent
    if comparable and dissent and dissent.share >= thresholds.dissent and thresholds.dissent < 1:
        found.append(f"high dissent: {dissent.share:.0%} of the support was for {dissent.answer[:80]!r}")
    sure = answer.confidence if comparable else _stated(answer)
    if sure is not None and sure < thresholds.confidence:
        found.append(f"low confidence: {sure:.0%}")
    if answer.decision.tie:
        found.append(f"a tie was broken: {answer.decision.tie}")
    if failed := sorted({turn.seat for turn in answer.turns if _failed(turn)}):
        found.append(f"voices failed: {', '.join(failed)}")
    return found


def _stated(answer: Answer) -> float | None:
    """Return how sure the voices are of their last words on average; None where none of them says."""
    last = {turn.seat: turn for turn in answer.turns if turn.kind == "speech" and turn.status == "done"}
    known = [
        turn.position.confidence for turn in last.values() if turn.position and turn.position.confidence is not None
    ]
    return sum(known) / len(known) if known else None


def _failed(turn: Turn) -> bool:
    return turn.status == "failed"
