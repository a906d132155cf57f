"""Adaptive self-consistency: sample on only while the majority may still change (Aggarwal et al. 2023, arXiv:2305.11860).

After each window of samples the two commonest answers, with v1 ≥ v2 votes, are compared: under a uniform prior the
share of the first among the two is Beta(v1 + 1, v2 + 1) distributed, and sampling stops when that lies above one half
with probability `sure`. The samples drawn are the first of those that self-consistency draws with the same seed, so the
two can be compared draft by draft. The record is that of a vote among the samples that were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

from scipy import special

from chorus.chorus import versions
from chorus.config import Settings
from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines.base import Engine
from chorus.errors import ConfigError
from chorus.route import route
from chorus.types import Answer, Question, Turn, Usage
from personas import Library

SURE = 0.95
"""The paper's threshold."""


async def hold(
    engine: Engine, settings: Settings, library: Library, question: Question, *, window: int = 1, sure: float = SURE
) -> Answer:
    """Draw samples until the majority is likely to stand, and return the record of the vote among them.

    Args:
        engine: draws them.
        settings: of a vote; its seats are the most samples there may be.
        library: where personas are looked up.
        question: what is asked.
        window: samples drawn at once between two looks at the votes.
        sure: probability that the majority stands at which to stop.

    Raises:
        ConfigError: a window without samples, or a probability that is none.
    """
    if window < 1 or not 0.5 <= sure < 1:
        raise ConfigError(f"samples are drawn in windows of 1 or more until sure in [0.5, 1), not {window} and {sure}")
    settings = settings.model_copy(update={"early_stop": False})
    routed = await route(question, settings, engine, library)
    limits = Limits(concurrency=window, attempts=settings.attempts, patience_s=settings.patience_s, quorum=0.0)
    spoken: Sequence[Turn] = ()
    seconds = 0.0
    while True:
        plan = routed.plan.model_copy(update={"seats": routed.plan.seats[: len(spoken) + window]})
        debate = Debate(
            plan,
            routed.question,
            routed.cast,
            engine,
            seed=settings.seed,
            limits=limits,
            versions=versions(),
            spoken=spoken,
            spent=Usage(wall_s=seconds),
        )
        record = await debate.hold()
        votes = sorted((len(row.seats) for row in record.decision.support), reverse=True)
        drawn_all = len(plan.seats) == len(routed.plan.seats)
        if record.status == "cut" or drawn_all or stands(votes) >= sure:
            return record
        spoken, seconds = record.turns, record.usage.wall_s


def stands(votes: Sequence[int]) -> float:
    """Return the probability that the commonest answer stays so, given the votes for each, most first."""
    first, second = (*votes, 0, 0)[:2]
    return float(special.betainc(second + 1, first + 1, 0.5))
