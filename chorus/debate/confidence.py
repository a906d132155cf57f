"""How sure is a voice? Three signs of it, read off what it said.

- `span`: the geometric mean of the probabilities of the tokens that spell its answer;
- `text`: the mean probability of all tokens of its turn;
- `stated`: what the voice itself says.

Which of them to believe, and how far, is what a calibration file tells (`calibration`). Without one a voice is as sure
as its whole text is: no committed result shows yet that its answer's tokens alone, or its own word, tell more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from chorus.debate import grade
from chorus.engines.base import Completion, TokenLogprob
from chorus.types import Signals


def signals(completion: Completion, answer: str) -> Signals:
    """Return the signs of confidence in a completion that was found to give this answer.

    Args:
        completion: its tokens' log-probabilities, where it has them, join to its text.
        answer: as it was found there.
    """
    return Signals(
        span=span_probability(completion, answer),
        text=mean_probability(completion.logprobs),
        stated=grade.stated_confidence(completion.text),
    )


def mean_probability(tokens: Sequence[TokenLogprob]) -> float | None:
    """Return the mean probability of tokens, in [0, 1]; None without any."""
    if not tokens:
        return None
    return min(1.0, math.fsum(math.exp(min(0.0, token.logprob)) for token in tokens) / len(tokens))


def span_probability(completion: Completion, answer: str) -> float | None:
    """Return the geometric mean of the probabilities of the answer's own tokens, in [0, 1].

    A token that only reaches into the answer counts whole: tokenizers put the space before a word into its token. None
    without log-probabilities, where they don't join to the text, or where the answer isn't spelled in it.
    """
    where = _find(completion.text, answer)
    tokens = completion.logprobs
    if where is None or not tokens or sum(len(token.token) for token in tokens) != len(completion.text):
        return None
    start, end = where
    covering: list[float] = []
    at = 0
    for token in tokens:
        following = at + len(token.token)
        if at < end and following > start:
            covering.append(min(0.0, token.logprob))
        at = following
    return math.exp(math.fsum(covering) / len(covering)) if covering else None


def _find(text: str, answer: str) -> tuple[int, int] | None:
    """Return where an answer stands last in a text: as words of their own if it can be, case aside."""
    if not answer:
        return None
    pattern = re.escape(answer)
    for bounded in (rf"(?<![\w.]){pattern}(?![\w])", pattern):
        found = [match.span() for match in re.finditer(bounded, text, re.IGNORECASE)]
        if found:
            return found[-1]
    return None
