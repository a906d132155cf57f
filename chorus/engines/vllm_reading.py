"""One request's output, read as vLLM sends it: pieces of text, token by token, with their log-probabilities.

Token strings are made to fit the text exactly, or dropped: a confidence read off the wrong tokens is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chorus.engines.base import TokenLogprob

Decode = Callable[[Sequence[int]], str]
"""Turns token ids into text, special tokens left out."""


@dataclass(slots=True)
class Reading:
    """What a request has said so far."""

    text: str = ""
    finish: str | None = None
    """`None` until vLLM says why it stopped."""
    cached: int = 0
    """Tokens of the prompt that were in the prefix cache."""
    tokens: list[int] = field(default_factory=list)
    openings: tuple[TokenLogprob, ...] = ()
    """The likeliest first tokens, where they were asked for."""
    _strings: list[str] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)

    def take(self, output: Any) -> str:
        """Read one output and return the new text in it."""
        said = output.outputs[0]
        self.cached = max(self.cached, output.num_cached_tokens or 0)
        self.finish = said.finish_reason or self.finish
        self.text += said.text
        self.tokens.extend(said.token_ids)
        if said.logprobs and not self._values:
            self.openings = _openings(said.logprobs[0])
        for token, options in zip(said.token_ids, said.logprobs or (), strict=False):
            chosen = options[token]
            self._strings.append(chosen.decoded_token or "")
            self._values.append(min(0.0, float(chosen.logprob)))
        return str(said.text)

    def logprobs(self, prompt: Sequence[int], decode: Decode) -> tuple[TokenLogprob, ...]:
        """Return the tokens that joined give `text`; empty when they can't be made to."""
        if len(self._values) != len(self.tokens) or any(map(math.isnan, self._values)):
            return ()
        return self._fit(self._strings) or self._fit(spell(self.tokens, prompt[-1:], decode))

    def _fit(self, strings: Sequence[str]) -> tuple[TokenLogprob, ...]:
        """Cut the tokens to the text: a stop string and an end token are no part of it."""
        if not self.text or not "".join(strings).startswith(self.text):
            return ()
        fitted: list[TokenLogprob] = []
        left = len(self.text)
        for string, value in zip(strings, self._values, strict=True):
            if left <= 0:
                break
            fitted.append(TokenLogprob(string[:left], value))
            left -= len(string)
        return tuple(fitted)


def _openings(options: Any) -> tuple[TokenLogprob, ...]:
    ranked = sorted(options.values(), key=lambda one: -float(one.logprob))
    return tuple(TokenLogprob(one.decoded_token or "", min(0.0, float(one.logprob))) for one in ranked)


def spell(tokens: Sequence[int], before: Sequence[int], decode: Decode) -> list[str]:
    """Return each token's part of the text that they make after the tokens `before`.

    A token decoded alone may lose its leading space, or be half a character: then the character goes to the token that
    completes it.
    """
    ids = [*before, *tokens]
    spelled = len(before)
    pieces: list[str] = []
    for end in range(spelled + 1, len(ids) + 1):
        start = max(0, spelled - 1)
        known, text = decode(ids[start:spelled]), decode(ids[start:end])
        whole = not text.endswith("\ufffd")
        pieces.append(text[len(known) :] if whole else "")
        spelled = end if whole else spelled
    return pieces
