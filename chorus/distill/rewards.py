"""The rewards: what each pays for a completion. All of them know right from wrong by the one grader, and none by itself.

| reward | pays | for |
|---|---|---|
| `correct` | 1 | the right answer |
| `corrected` | -1 … 1 | each voice of a dialogue that goes from wrong to right; takes as much for right to wrong |
| `brief` | 0 … 1 | few tokens, in proportion, and only where the answer is right: else silence would pay |
| `formed` | 0 … 1 | one closing `Answer:` line with something behind it; in a dialogue also two voices or more |
| `consensus` | 0 … 1 | giving the answer that most of the group give, where the truth is not known; off by default |
| `distinct` | 0 … 1 | voices that don't say the same, where the answer is right; off by default |

`consensus` teaches a model to agree with itself, right or wrong. So it is scaled by how often the majority was right
when last measured on held-out questions, and shut off for good once held-out truth falls while consensus rises
(2603.08660 saw such rewards rise, then collapse).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from chorus.distill.attempts import Attempt, groups, majority, sides
from chorus.errors import ChorusError

History = Sequence[Mapping[str, float]]
"""What has been logged so far, oldest first."""

Reward = Callable[[Sequence[Attempt]], list[float | None]]
"""Pays for each completion of a batch, groups together; `None` where it has nothing to say."""

SHUT_AFTER = 2
"""Measurements in a row by which truth fell while consensus rose, after which consensus pays no more."""

_ANSWER_LINE = re.compile(r"^[ \t>*_#-]{0,8}answer[*_]{0,3}[ \t]{0,4}[:：][ \t*_]*\S", re.I | re.M)


class RewardFault(ChorusError):
    """A reward can't be paid: its function failed, or paid something that is no number. The run stops where it is."""

    exit_code = 3


def correct(attempts: Sequence[Attempt]) -> list[float | None]:
    """Pay 1 for the right answer and 0 for any other."""
    return [None if attempt.right is None else float(attempt.right) for attempt in attempts]


def corrected(attempts: Sequence[Attempt]) -> list[float | None]:
    """Pay for voices corrected less voices misled, a share of all voices."""
    return [(a.changes[0] - a.changes[1]) / max(1, len(_speakers(a))) for a in attempts]


def brief(attempts: Sequence[Attempt], budget: int) -> list[float | None]:
    """Pay for the part of the budget, in tokens, that was left over by a right answer."""
    return [max(0.0, 1.0 - attempt.tokens / budget) if attempt.right else 0.0 for attempt in attempts]


def formed(attempts: Sequence[Attempt]) -> list[float | None]:
    """Pay for the form that readers of a completion rely on."""
    return [_form(attempt) for attempt in attempts]


def consensus(attempts: Sequence[Attempt], history: History) -> list[float | None]:
    """Pay the share of the group that gives the same answer, for what such a share has been worth, see `reliability`."""
    worth = reliability(history)
    paid: list[float | None] = []
    for group in groups(attempts):
        if group[0].question.answer is not None:
            paid += [None] * len(group)
            continue
        winner, share = majority(group)
        paid += [worth * share if side is not None and side == winner else 0.0 for side in sides(group)]
    return paid


def distinct(attempts: Sequence[Attempt]) -> list[float | None]:
    """Pay for the distance between the voices of a dialogue that ends right."""
    return [(attempt.distinctness or 0.0) if attempt.right else 0.0 for attempt in attempts]


def reliability(history: History) -> float:
    """Return how often the majority was right when last measured; 0 before that, and for good once it is shut off."""
    measured = [entry for entry in history if "gold/majority_right" in entry]
    if not measured or shut_off(history):
        return 0.0
    return float(measured[-1]["gold/majority_right"])


def shut_off(history: History) -> bool:
    """Say whether held-out truth has fallen while consensus rose, `SHUT_AFTER` times in a row."""
    measured = [(e["gold/accuracy"], e["gold/consensus"]) for e in history if "gold/consensus" in e]
    run = 0
    for (truth, agreed), (later_truth, later_agreed) in pairwise(measured):
        run = run + 1 if later_truth < truth and later_agreed > agreed else 0
        if run >= SHUT_AFTER:
            return True
    return False


def checked(name: str, reward: Reward) -> Reward:
    """Return a reward whose failures stop the run and bear its name."""

    def pay(attempts: Sequence[Attempt]) -> list[float | None]:
        try:
            paid = reward(attempts)
        except Exception as error:
            raise RewardFault(f"the reward {name!r} failed: {type(error).__name__}: {error}") from error
        if len(paid) != len(attempts):
            raise RewardFault(f"the reward {name!r} paid {len(paid)} times for {len(attempts)} completions")
        for attempt, amount in zip(attempts, paid, strict=True):
            if amount is not None and not math.isfinite(amount):
                raise RewardFault(f"the reward {name!r} paid {amount} for a completion of {attempt.question.id!r}")
        return paid

    return pay


def _speakers(attempt: Attempt) -> set[str]:
    return {voice.seat.seat for voice in attempt.voices}


def _form(attempt: Attempt) -> float:
    closed = len(_ANSWER_LINE.findall(attempt.text)) == 1
    if attempt.style == "answer":
        return float(closed)
    return (closed + (len(_speakers(attempt)) >= 2)) / 2
