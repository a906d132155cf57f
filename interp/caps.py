"""What an audit must have asked before a model may be granted more than `supervised`, whatever the figures say.

Whoever audits chooses the depth, the personas, and what the model is held against. Were all that free, a grant could be
chosen for: by leaving out the weakest persona, or what training changed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from chorus.checkpoints.legibility import Grant

CAP: Grant = "supervised"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an audit was asked to do."""

    depth: str
    personas: Collection[str]
    owed: Collection[str] = ()
    """Whom it ought to look at: all personas that have a contrast, and the voices of the chorus it was baked from."""
    baked: bool = False
    """Whether the model was trained here (`run.json`)."""
    base: bool = False
    dialogues: bool = False


@dataclass(frozen=True, slots=True)
class Cap:
    """One thing that was not asked."""

    when: str
    """In words."""
    why: str


QUICK = Cap(
    "`--depth quick`",
    "six questions and 19 draws are a look: the smallest p is the level itself, and an audit may be run until it passes",
)
FEWER = Cap(
    "a persona that has a contrast, or a voice of the chorus that the model was baked from, was not asked about",
    "the weakest persona decides, and one that was left out may be the weakest",
)
NO_BASE = Cap(
    "a baked model without `--base` (an adapter names its own)",
    "nobody asked what training changed",
)
NO_DIALOGUES = Cap(
    "a baked model without `--dialogues`",
    "nobody asked what its voices do when they speak by themselves, without a prompt that names their method",
)
CAPS = (QUICK, FEWER, NO_BASE, NO_DIALOGUES)


def held(asked: Asked) -> tuple[str, ...]:
    """Return why a model is granted no more than `CAP`, each reason in a few words; empty where nothing holds it back."""
    left = sorted({*asked.owed} - {*asked.personas})
    return tuple(
        words
        for words, holds in (
            (f"{QUICK.when}: {QUICK.why}", asked.depth != "full"),
            (f"not asked about: {', '.join(left)}: {FEWER.why}", bool(left)),
            (f"{NO_BASE.when}: {NO_BASE.why}", asked.baked and not asked.base),
            (f"{NO_DIALOGUES.when}: {NO_DIALOGUES.why}", asked.baked and not asked.dialogues),
        )
        if holds
    )


def table() -> str:
    """Return the caps as Markdown."""
    lines = [f"| no more than `{CAP}` where | because |", "|---|---|"]
    return "\n".join([*lines, *(f"| {cap.when} | {cap.why} |" for cap in CAPS)])
