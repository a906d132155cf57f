"""What makes a good group: minds that work differently.

Voices that share a method make the same mistakes, and a vote over them only counts one mistake twice. How far two
methods lie apart is judged by their words alone, without a model, so that a cast is chosen the same way everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import combinations

from personas.persona import Persona

NEAR = 0.4
"""Methods closer than this share most of their content words: they would do the same work."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        """
        about above after again against all also an and any are as at back be been before below both but by can did
        do does done down each else every few first for from given gives has have having here how if in into is it
        its itself just last least less let like many may more most much must next no nor not now of off on once one
        only onto or other others our out over own rather same second set should show so some still such take than
        that the their them then there these they this those three through till to too two until up upon use used
        very was way were what when where whether which while who whole whom whose why will with within without
        would you your
        """
    )
)


def method_distance(a: Persona, b: Persona) -> float:
    """Return how differently two personas work: 0 for the same words, 1 for none in common.

    It is the Jaccard distance (one minus intersection over union) between the sets of content words in method and
    cue: words of two letters or more, case ignored, less the words that carry no content. It is a metric on those
    sets. Two methods without any content word are taken for the same.
    """
    ours, theirs = _words_of(a), _words_of(b)
    union = ours | theirs
    return 1.0 - len(ours & theirs) / len(union) if union else 0.0


def check(cast: Sequence[Persona]) -> list[str]:
    """Return what weakens a cast, one sentence each; nothing when it is sound. None of it forbids the debate."""
    warnings = []
    for persona_id in dict.fromkeys(persona.id for persona in cast):
        seats = sum(persona.id == persona_id for persona in cast)
        if seats > 1:
            warnings.append(f"{persona_id} holds {seats} seats: unless sampling is warm, they will say the same.")
    for a, b in combinations({persona.id: persona for persona in cast}.values(), 2):
        distance = method_distance(a, b)
        if distance < NEAR:
            warnings.append(f"{a.id} and {b.id} work almost alike (method distance {distance:.2f}, under {NEAR}).")
        if a.voice.casefold() == b.voice.casefold():
            warnings.append(f"{a.id} and {b.id} have the same voice: a reader can't tell them apart.")
    return warnings


def diverse(pool: Sequence[Persona], n: int, scores: Mapping[str, float] | None = None) -> tuple[Persona, ...]:
    """Choose up to `n` different personas that suit the question and work differently.

    The best score comes first; then, one at a time, whoever has the greatest sum of score and distance to the nearest
    of those already chosen. This is maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998) with both terms
    weighted alike, so scores should lie in [0, 1] as distances do. Ties go to the alphabetically first id; the order
    of the pool never matters.

    Args:
        pool: Candidates. An id that comes twice is one candidate.
        n: How many to choose; a smaller pool is returned whole.
        scores: How well each id suits the question; ids left out score 0.

    Raises:
        ValueError: `n` is negative, or a score is not finite.
    """
    scores = scores or {}
    if n < 0:
        raise ValueError(f"can't choose {n} personas")
    if odd := [persona_id for persona_id, score in scores.items() if not math.isfinite(score)]:
        raise ValueError(f"scores must be finite numbers; not so for {', '.join(odd)}")
    left = sorted({persona.id: persona for persona in pool}.values(), key=lambda persona: persona.id)
    chosen: list[Persona] = []
    while left and len(chosen) < n:
        # max() keeps the first of equals, and `left` is sorted by id.
        best = max(left, key=lambda persona: scores.get(persona.id, 0.0) + _nearest(persona, chosen))
        left.remove(best)
        chosen.append(best)
    return tuple(chosen)


def _nearest(persona: Persona, chosen: Sequence[Persona]) -> float:
    return min((method_distance(persona, other) for other in chosen), default=0.0)


def content_words(text: str) -> frozenset[str]:
    """Return the words of a text that carry content, in lower case."""
    return frozenset(_WORD.findall(text.casefold())) - _EMPTY_WORDS


def _words_of(persona: Persona) -> frozenset[str]:
    return content_words(" ".join((*persona.method, persona.cue)))
