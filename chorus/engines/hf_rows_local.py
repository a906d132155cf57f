"""The rows of one batch on its way through `generate`: each draws, decodes, shows and ends its own words.

A row's draws come from its own temperature and generator, so they don't depend on who else is in the batch. What is
shown never has to be taken back: the beginning of what may be a stop string waits, and so does half a character.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chorus.engines.base import Completion, Request, TokenLogprob
from chorus.errors import EngineError
from chorus.types import Usage

if TYPE_CHECKING:
    import torch


@dataclass(eq=False)
class Row:
    """One call on its way through a batch. The worker writes it; the event loop reads what it is handed."""

    request: Request
    prompt: list[int]
    deliver: Callable[[str], None]
    """Passes a piece of text to the loop."""
    settle: Callable[[Completion | BaseException], None]
    """Ends the call in the loop."""
    generator: torch.Generator | None
    cancelled: threading.Event = field(default_factory=threading.Event)
    tokens: list[int] = field(default_factory=list)
    pieces: list[TokenLogprob] = field(default_factory=list)
    openings: tuple[tuple[int, float], ...] = ()
    """The likeliest first tokens with the logs of their probabilities."""
    text: str = ""
    shown: int = 0
    """Characters of `text` delivered so far."""
    decoded: int = 0
    """Tokens that `text` stands for; those after it are an unfinished character."""
    finish: str | None = None
    cached: int = 0
    began: float = field(default_factory=time.perf_counter)

    def hold_back(self) -> int:
        """Return how many last characters may be the beginning of a stop string, so are not shown yet."""
        for size in range(max((len(stop) for stop in self.request.sampling.stop), default=1) - 1, 0, -1):
            if any(stop.startswith(self.text[-size:]) for stop in self.request.sampling.stop if len(stop) > size):
                return min(size, len(self.text))
        return 0


class Draw:
    """Chooses every row's next token by the row's own temperature, nucleus and generator.

    A logits processor in transformers' sense: it leaves each row only the token it chose, so greedy decoding takes it.
    Drawing by the exponential race (argmax of p / Exp(1) noise) is exact sampling.
    """

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self.logprobs: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores in which each row has one token left; `scores` are logits, (B, V)."""
        import torch

        plain = torch.log_softmax(scores.float(), dim=-1)  # (B, V), at temperature 1
        chosen = plain.argmax(dim=-1)  # (B,)
        for index, row in enumerate(self._rows):
            if row.request.openings and not row.tokens:
                likely = plain[index].topk(row.request.openings)
                row.openings = tuple(zip(likely.indices.tolist(), likely.values.tolist(), strict=True))
            if row.finish is None and row.request.sampling.temperature > 0:
                chosen[index] = self._sample(plain[index], row)
        self.logprobs = plain.gather(1, chosen[:, None])[:, 0].tolist()
        only = torch.full_like(scores, -torch.inf)
        return only.scatter_(1, chosen[:, None], 0.0)

    def _sample(self, logprobs: torch.Tensor, row: Row) -> torch.Tensor:
        import torch

        probs = torch.softmax(logprobs / row.request.sampling.temperature, dim=-1)  # (V,)
        if (top_p := row.request.sampling.top_p) < 1:
            ordered, order = probs.sort(descending=True)
            outside = ordered.cumsum(0) - ordered >= top_p
            probs[order[outside]] = 0.0
        return (probs / torch.empty_like(probs).exponential_(generator=row.generator)).argmax()


class Watch:
    """Hands each row's new text on, and says which rows are done. A stopping criterion in transformers' sense."""

    def __init__(self, rows: list[Row], draw: Draw, tokenizer: Any, ends: set[int]) -> None:
        self._rows = rows
        self._draw = draw
        self._tokenizer = tokenizer
        self._ends = ends

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Take in each row's newest token, the last column of `input_ids` (B, T). Returns which rows are done, (B,)."""
        import torch

        for row, token, logprob in zip(self._rows, input_ids[:, -1].tolist(), self._draw.logprobs, strict=True):
            if row.finish is None:
                self._advance(row, token, logprob)
        return torch.tensor([row.finish is not None for row in self._rows], device=input_ids.device)

    def _advance(self, row: Row, token: int, logprob: float) -> None:
        row.tokens.append(token)
        if row.cancelled.is_set():
            row.finish = "cancelled"
            row.settle(EngineError("the call was cut off: the engine was closed"))
            return
        if token in self._ends:
            row.finish = "stop"
            row.tokens.pop()
        else:
            self._append(row, logprob)
            if row.finish is None and len(row.tokens) >= row.request.sampling.max_tokens:
                row.finish = "length"
        if row.finish is None:
            self._show(row, len(row.text) - row.hold_back())
        else:
            self._show(row, len(row.text))
            row.settle(_completion(row, self._tokenizer))

    def _append(self, row: Row, logprob: float) -> None:
        """Decode the new token. A character that takes several tokens appears with the last of them."""
        # Decoding with one token of context before keeps the spaces that some tokenizers put at a text's start.
        start = max(0, row.decoded - 1)
        before = self._tokenizer.decode(row.tokens[start : row.decoded], skip_special_tokens=True)
        after = self._tokenizer.decode(row.tokens[start:], skip_special_tokens=True)
        piece = "" if after.endswith("\ufffd") and len(row.tokens) - row.decoded < 8 else after[len(before) :]
        if piece or not after.endswith("\ufffd"):
            row.decoded = len(row.tokens)
        row.text += piece
        row.pieces.append(TokenLogprob(piece, logprob))
        cut = min((at for stop in row.request.sampling.stop if (at := row.text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            row.text = row.text[:cut]
            row.pieces = _pieces_of(row.pieces, cut)
            row.finish = "stop"

    @staticmethod
    def _show(row: Row, end: int) -> None:
        if end > row.shown:
            row.deliver(row.text[row.shown : end])
            row.shown = end


def _completion(row: Row, tokenizer: Any) -> Completion:
    usage = Usage(
        calls=1,
        prompt_tokens=len(row.prompt),
        cached_tokens=row.cached,
        completion_tokens=len(row.tokens),
        wall_s=time.perf_counter() - row.began,
    )
    openings = tuple(TokenLogprob(tokenizer.decode([token]), logprob) for token, logprob in row.openings)
    return Completion(row.text, row.finish or "stop", usage, tuple(row.pieces), openings=openings)


def _pieces_of(pieces: list[TokenLogprob], size: int) -> list[TokenLogprob]:
    """Return the tokens that make up the text's first `size` characters."""
    kept: list[TokenLogprob] = []
    for piece in pieces:
        if size <= 0:
            break
        kept.append(TokenLogprob(piece.token[:size], piece.logprob))
        size -= len(piece.token)
    return kept
