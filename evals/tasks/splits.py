"""Which questions are for training, which to choose by, and which to be judged by: settled here, for every task.

Two rules, either of which would do, hold together:

- each split draws its questions with seeds of its own (`SEEDS`), so that no generator makes the same question for two;
- each question, whoever wrote it, belongs to one split by a hash of what it asks (`deal`). Two seeds may well make the
  same question where there are few of them, such as products of digits; the hash divides those cleanly.

Where a public data set has a test split of its own, that one is kept instead.

So a question is never in two splits, of this task or of another, on any machine, for as long as it is worded the same.
Sameness is of the words: `3 * 4` may be in one split and `4 * 3` in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, get_args

Split = Literal["train", "dev", "test"]
"""`train` to learn from, `dev` to choose settings by, `test` to open once."""

SPLITS: tuple[Split, ...] = get_args(Split)

SEEDS: Mapping[Split, range] = {
    "train": range(0, 10_000_000),
    "dev": range(10_000_000, 20_000_000),
    "test": range(20_000_000, 30_000_000),
}
"""The seeds that generators draw with."""

SHARES: Mapping[Split, float] = {"train": 0.6, "dev": 0.2, "test": 0.2}
"""How the distinct questions there are divide."""


def deal(text: str) -> Split:
    """Return the split that a question belongs to, by its text alone: case and white space don't count."""
    digest = hashlib.sha256(key(text).encode("utf-8", "surrogatepass")).digest()
    at = int.from_bytes(digest[:8], "big") / 2**64
    for split in SPLITS:
        at -= SHARES[split]
        if at < 0:
            return split
    return SPLITS[-1]


def key(text: str) -> str:
    """Return what a question is known by: its text, whose case and white space don't count."""
    return " ".join(text.split()).casefold()
