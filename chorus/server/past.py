"""Debates that were: in the store, or still in memory. Lists show both, each debate once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chorus.server.live import LiveDebate
from chorus.server.problems import Refusal

if TYPE_CHECKING:
    from chorus.record.store import Stored
    from chorus.server.service import Service

Row = dict[str, Any]


async def page(
    service: Service, owner: str, *, limit: int, before: str | None, needs_review: bool | None
) -> tuple[list[Row], bool]:
    """Return a page of debates, newest first, and whether more follow. `before` is the last id of the page before."""
    if service.store is None:
        return _in_memory(service, owner, limit, before, needs_review)
    stored = await service.store.page(owner, needs_review=needs_review, limit=limit + 1, before=before)
    rows = [_row(service, owner, one) for one in stored]
    if needs_review is not None:  # one that has just ended may be known better here than in the store
        rows = [row for row in rows if (row["needs_review"] is not None) is needs_review]
    return rows[:limit], len(stored) > limit


async def record(service: Service, debate: str, owner: str) -> Stored | None:
    """Return a stored debate with its record; None when there is none."""
    return await service.store.record(debate, owner) if service.store else None


async def events(service: Service, debate: str, owner: str) -> list[str] | None:
    """Return a stored debate's events; None when there is none."""
    return await service.store.events(debate, owner) if service.store else None


def _in_memory(
    service: Service, owner: str, limit: int, before: str | None, needs_review: bool | None
) -> tuple[list[Row], bool]:
    lives = service.hall.of(owner)
    if before is not None:
        ids = [live.id for live in lives]
        if before not in ids:
            raise Refusal("the page before ended with a debate that is not there", param="before", code="not_found")
        lives = lives[ids.index(before) + 1 :]
    rows = (_live_row(service, live) for live in lives)
    if needs_review is not None:
        rows = (row for row in rows if (row["needs_review"] is not None) is needs_review)
    found = list(itertools.islice(rows, limit + 1))
    return found[:limit], len(found) > limit


def _row(service: Service, owner: str, stored: Stored) -> Row:
    if live := service.hall.get(stored.id, owner):
        return _live_row(service, live)
    return _line(
        stored.id,
        stored.question,
        stored.created,
        stored.status,
        stored.text,
        stored.confidence,
        stored.review,
        stored.model,
    )


def _live_row(service: Service, live: LiveDebate) -> Row:
    answer = live.answer
    status, text, sure = (answer.status, answer.answer, answer.confidence) if answer else ("running", None, None)
    return _line(live.id, live.asked, live.created, status, text, sure, service.review(live), live.model)


def _line(
    debate: str,
    question: str,
    created: datetime,
    status: str,
    answer: str | None,
    confidence: float | None,
    review: Sequence[str],
    model: str,
) -> Row:
    return {
        "id": debate,
        "question": question,
        "created": created.astimezone(UTC).isoformat(timespec="milliseconds"),
        "status": status,
        "answer": answer,
        "confidence": confidence,
        "needs_review": {"reasons": list(review)} if review else None,
        "model": model,
    }
