"""Outcomes whose truth is known: voices that are right as often as they are told to be, and yield as often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from chorus.types import Signals
from evals import recount
from evals.outcomes import Draft, Outcome

CAST = ("skeptic", "estimator", "formalist")


def outcomes(
    system: str = "chorus",
    *,
    right: float = 0.5,
    tasks: Sequence[str] = ("sums",),
    questions: int = 100,
    seeds: Sequence[int] = (0,),
    cast: Sequence[str] = CAST,
    rounds: int = 1,
    yielding: float = 0.0,
    knows: float = 0.3,
    split: str = "dev",
    rule: str = "weighted",
    spread: float = 0.0,
) -> list[Outcome]:
    """Return debates of made-up voices.

    Args:
        right: chance of each first draft to be right.
        yielding: chance, in later rounds, to take the answer that most of the others gave.
        knows: by how much confidence is higher, on average, where a draft is right.
        spread: how much harder or easier a question is for all its drafts and seeds: its chance is right ± spread.
    """
    drawn = random.Random(f"{system} {right} {yielding} {knows}")
    return [
        one
        for task in tasks
        for number in range(questions)
        for chance in [right + spread * random.Random(f"{task} {number}").choice((-1, 1))]
        for seed in seeds
        for one in [
            _debate(system, f"{task}/{split}/{number}", seed, chance, cast, rounds, yielding, knows, rule, drawn)
        ]
    ]


def of(flags: Sequence[bool], system: str = "chorus", task: str = "sums", seed: int = 0, **more) -> list[Outcome]:
    """Return outcomes that are right where the flags say so."""
    return [
        Outcome(
            system=system,
            task=task,
            split="dev",
            question=f"{task}/dev/{number}",
            seed=seed,
            status="done",
            answers=("56", "54"),
            gold="56",
            right=0,
            side=0 if flag else 1,
            calls=1,
            prompt_tokens=90,
            cached_tokens=0,
            completion_tokens=10,
            wall_s=1.0,
        ).model_copy(update=more)
        for number, flag in enumerate(flags)
    ]


def draft(seat: str, side: int | None, round_: int = 1, *, heard: Sequence[str] = (), sure: float | None = 0.5, **more):
    """Return one turn."""
    values = {"prompt_tokens": 50, "completion_tokens": 10, "persona": seat.partition("-")[0], **more}
    return Draft(
        turn=f"{round_}.{seat}", round=round_, seat=seat, side=side, confidence=sure, heard=tuple(heard), **values
    )


def debate(*drafts: Draft, answers: Sequence[str] = ("56", "54", "50"), rule: str = "plurality", **more) -> Outcome:
    """Return a debate of these turns, whose first answer is the right one and which is decided by its rule."""
    one = of([True])[0].model_copy(
        update={"answers": tuple(answers), "drafts": drafts, "rule": rule, "calls": len(drafts), **more}
    )
    decided = recount.decided(one)
    side = None if decided.answer is None else list(answers).index(decided.answer)
    return one.model_copy(update={"side": side, "share": decided.support[0].share, "confidence": decided.confidence})


def _debate(system, question, seed, right, cast, rounds, yielding, knows, rule, drawn) -> Outcome:
    turns: list[Draft] = []
    said: list[int] = []
    for round_ in range(1, rounds + 1):
        before, said = said, []
        for at, seat in enumerate(cast):
            side = before[at] if before else (0 if drawn.random() < right else drawn.choice((1, 2)))
            others = Counter(before[:at] + before[at + 1 :]).most_common(2)
            clear = others and (len(others) == 1 or others[0][1] > others[1][1])
            if clear and drawn.random() < yielding:
                side = others[0][0]
            sure = min(0.99, max(0.01, drawn.gauss(0.5 + (knows / 2 if side == 0 else -knows / 2), 0.15)))
            said.append(side)
            turns.append(
                draft(
                    f"{seat}" if cast.count(seat) == 1 else f"{seat}-{at + 1}",
                    side,
                    round_,
                    heard=[f"{round_ - 1}.{one}" for one in cast] if before else (),
                    sure=sure,
                    signals=Signals(text=sure),
                    cached_tokens=40 if at else 0,
                )
            )
    return debate(
        *turns,
        answers=("right", "wrong", "other"),
        rule=rule,
        system=system,
        question=question,
        task=question.partition("/")[0],
        split=question.split("/")[1],
        seed=seed,
        gold="right",
        engine="scripted:made-up",
        prompt_tokens=sum(one.prompt_tokens for one in turns),
        cached_tokens=sum(one.cached_tokens for one in turns),
        completion_tokens=sum(one.completion_tokens for one in turns),
    )
