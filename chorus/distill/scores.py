"""What is counted of a batch of completions beside its rewards, for the log."""

from __future__ import annotations

from collections.abc import Sequence

from chorus.distill.attempts import Attempt, groups, majority, mean, sides


def scores(attempts: Sequence[Attempt]) -> dict[str, float]:
    """Return the figures of a batch; those that it can't tell are left out.

    `pass@1` is the share of right completions, `pass@k` that of groups with a right one, `consensus` the mean share of
    a group's commonest answer, `majority_right` how often that is right, `corrected` and `misled` turns a dialogue,
    `distinctness` the mean distance between voices, `voices` how many speak, `tokens` the mean length.
    """
    found: dict[str, float | None] = {
        "pass@1": mean(float(attempt.right) for attempt in attempts if attempt.right is not None),
        "tokens": mean(float(attempt.tokens) for attempt in attempts),
    }
    together = groups(attempts)
    known = [group for group in together if group[0].right is not None]
    found["pass@k"] = mean(float(any(attempt.right for attempt in group)) for group in known)
    found["consensus"] = mean(majority(group)[1] for group in together)
    found["majority_right"] = mean(float(_majority_right(group)) for group in known)
    dialogues = [attempt for attempt in attempts if attempt.style == "chorus"]
    found["corrected"] = mean(float(attempt.changes[0]) for attempt in dialogues)
    found["misled"] = mean(float(attempt.changes[1]) for attempt in dialogues)
    found["distinctness"] = mean(d for attempt in dialogues if (d := attempt.distinctness) is not None)
    found["voices"] = mean(float(len({voice.seat.seat for voice in attempt.voices})) for attempt in dialogues)
    return {name: value for name, value in found.items() if value is not None}


def _majority_right(group: Sequence[Attempt]) -> bool:
    winner, _ = majority(group)
    return any(side == winner and bool(attempt.right) for side, attempt in zip(sides(group), group, strict=True))
