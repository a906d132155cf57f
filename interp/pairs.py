"""Pairs of prompts that differ in the persona alone, with the behaviour that is measured on them.

The behaviour is m_p: the mean over tokens of log P(persona answer) less the same for the neutral answer, both
teacher-forced, so no judge is needed. An item becomes two rows, one for either answer; a row's answer is the same under
both prompts, and both prompts have the same number of tokens, so that positions can be patched one for one. A row's
behaviour is a weighted sum of its tokens' log-probabilities, and an item's is the sum of its rows'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.errors import LensError


@dataclass(frozen=True, slots=True)
class Pair:
    """One item, in token ids."""

    on: tuple[int, ...]
    """The prompt with the persona."""
    off: tuple[int, ...]
    """The prompt without it, equally long."""
    persona_answer: tuple[int, ...]
    neutral_answer: tuple[int, ...]
    group: str = ""
    """What must not be torn apart when items are drawn or split: the question or its template."""
    wording: str = ""
    """Of the two prompts: items of one wording agree on its words, whatever else they agree on."""


@dataclass(frozen=True)
class Pairs:
    """Rows of token ids, padded at the right."""

    clean: Tensor
    """(N, T), prompts with the persona and one of the answers."""
    corrupt: Tensor
    """(N, T), the same without the persona."""
    weights: Tensor
    """(N, T): how much log P of the *next* token counts; 1/n over the n tokens of the persona's answer, or -1/n."""
    item: Tensor
    """(N,): which item the row belongs to, counted from 0."""
    groups: tuple[str, ...]
    """One an item."""
    wordings: tuple[str, ...]
    """One an item."""

    @classmethod
    def of(cls, pairs: Sequence[Pair], pad: int = 0) -> Pairs:
        """Lay pairs out as rows. Raises LensError for prompts that differ in length and for empty parts."""
        if not pairs:
            raise LensError("no pairs to look at")
        rows: list[tuple[tuple[int, ...], tuple[int, ...], int, float]] = []
        for number, pair in enumerate(pairs):
            if len(pair.on) != len(pair.off):
                raise LensError(
                    f"pair {number}: its prompts have {len(pair.on)} and {len(pair.off)} tokens; "
                    "positions can be patched only between prompts of one length"
                )
            if not (pair.on and pair.persona_answer and pair.neutral_answer):
                raise LensError(f"pair {number} has an empty prompt or answer")
            for answer, sign in ((pair.persona_answer, 1.0), (pair.neutral_answer, -1.0)):
                rows.append((pair.on + answer, pair.off + answer, len(answer), sign))
        longest = max(len(clean) for clean, *_ in rows)
        clean = torch.full((len(rows), longest), pad)
        corrupt = torch.full((len(rows), longest), pad)
        weights = torch.zeros(len(rows), longest)
        for index, (on, off, tokens, sign) in enumerate(rows):
            clean[index, : len(on)] = torch.tensor(on)
            corrupt[index, : len(off)] = torch.tensor(off)
            weights[index, len(on) - tokens - 1 : len(on) - 1] = sign / tokens
        item = torch.arange(len(pairs)).repeat_interleave(2)
        groups, wordings = (tuple(getattr(pair, name) for pair in pairs) for name in ("group", "wording"))
        return cls(clean, corrupt, weights, item, groups, wordings)

    @property
    def real(self) -> Tensor:
        """(N, T), True on prompt and answer, False on the padding behind them."""
        places = torch.arange(self.clean.shape[1])
        last = torch.where(self.weights != 0, places, 0).amax(1) + 1  # The token after the last one that counts.
        return places <= last[:, None]

    @property
    def questions(self) -> tuple[str, ...]:
        """A group for each item: questions are drawn one by one for intervals, since a quick audit has few templates."""
        return tuple(map(str, range(len(self))))

    @property
    def halved_by(self) -> tuple[str, ...]:
        """A group for each item, so that halves share neither a question nor a wording, where there are several."""
        return self.wordings if len(set(self.wordings)) > 1 else self.questions

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.groups)

    def take(self, items: Sequence[int]) -> Pairs:
        """Return the items at these places, in this order; one may come several times."""
        rows = torch.cat([torch.nonzero(self.item == item).flatten() for item in items])
        sizes = torch.tensor([int((self.item == item).sum()) for item in items])
        return Pairs(
            self.clean[rows],
            self.corrupt[rows],
            self.weights[rows],
            torch.arange(len(items)).repeat_interleave(sizes),
            tuple(self.groups[item] for item in items),
            tuple(self.wordings[item] for item in items),
        )

    def swapped(self) -> Pairs:
        """Return the same with clean and corrupt prompts in each other's place."""
        return replace(self, clean=self.corrupt, corrupt=self.clean)

    def rows(self, chosen: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return clean ids, corrupt ids and weights of some rows, without what is padding in all of them."""
        end = counted(self.weights[chosen]).stop + 1
        return self.clean[chosen, :end], self.corrupt[chosen, :end], self.weights[chosen, :end]

    def by_item(self, rows: Tensor) -> Tensor:
        """Sum values of rows (N, ...) within items (I, ...)."""
        out = rows.new_zeros((len(self), *rows.shape[1:]))
        return out.index_add_(0, self.item.to(rows.device), rows)


def counted(weights: Tensor) -> slice:
    """Return the columns from the first to the last at which the next token counts in some row."""
    columns = weights[:, :-1].any(0).nonzero()
    if not len(columns):
        raise LensError("no token of these rows counts: there is no behaviour to measure")
    return slice(int(columns[0]), int(columns[-1]) + 1)


def behaviour(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Return each row's behaviour (B,) in nats.

    Args:
        logits: (B, T, vocabulary), or those of the columns `counted` alone.
        ids: (B, T).
        weights: (B, T), as in `Pairs`.
    """
    at = counted(weights)
    ids, weights = ids.to(logits.device), weights.to(logits.device)
    logits = (logits[:, at] if logits.shape[1] == ids.shape[1] else logits).float()
    following = ids[:, at.start + 1 : at.stop + 1, None]
    logp = logits.gather(2, following).squeeze(2) - logits.logsumexp(2)  # (B, columns)
    return (logp * weights[:, at]).sum(1)
