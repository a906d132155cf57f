"""The rules of the voices: when does a persona act?

It is asked of the activations of the question alone: can they tell, on questions that they were not fitted on, which
voice acts next? A score means little by itself, so the same is asked of surface features, of the base rate and of
shuffled labels; and small models that a person can read, over a few named quantities, say how much of the predictable
part they keep. Whom a persona calls up is the matter of `influence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chorus.distill.styles import messages
from chorus.engines.templating import ChatTemplate
from chorus.types import Answer, Question
from interp.activations import pooled
from interp.bridge import Lens
from interp.errors import NothingToExplain
from interp.probes import FOLDS, Array
from interp.said import spoken

Codes = NDArray[np.intp]

SHUFFLINGS = 100
"""Of labels among questions, for the null."""
MIN_SHARE = 0.02
"""Of accuracy above the base rate: with less there is nothing of which a share could be kept."""


@dataclass(frozen=True, slots=True)
class Act:
    """One voice's turn in a dialogue."""

    record: str
    place: int
    """1 for the first turn."""
    before: str
    """Who spoke before; empty at the first turn."""
    voice: str


@dataclass(frozen=True, slots=True)
class Rule:
    """How well a voice can be foretold, and by what. Accuracies are on held-out questions."""

    accuracy: float
    """From activations."""
    interval: tuple[float, float]
    """95 %, by drawing questions anew."""
    base: float
    """Always the commonest voice."""
    surface: dict[str, float]
    """From each kind of surface feature."""
    shuffled: float
    """From activations, with labels shuffled among questions: the mean."""
    band: tuple[float, float]
    """2.5th and 97.5th percentile of the same."""
    p: float
    """Share of shufflings at least as good, counting the true one."""
    readable: dict[str, float]
    """Of the sparse linear model (`linear`) and the shallow tree (`tree`), over named quantities."""
    kept: dict[str, float | None]
    """The share of what activations gain over the base rate that each keeps; None where they gain nothing."""
    told: dict[str, str]
    """Both models in words, fitted on all questions."""


def acts(records: Iterable[Answer]) -> list[Act]:
    """Return who spoke when in inner dialogues (`--mode inner`), in the order of their turns."""
    found = []
    for record in records:
        before = ""
        for place, turn in enumerate(spoken(record), 1):
            found.append(Act(record.id, place, before, turn.persona))
            before = turn.persona
    return found


def asked(
    lens: Lens, tokenizer: Any, questions: Sequence[Question], hook: str, *, batch: int = 8
) -> tuple[Array, dict[str, Array]]:
    """Read questions as a baked model does that is about to answer as a chorus.

    Args:
        lens: the model.
        tokenizer: its own, with a chat template.
        questions: what is asked.
        hook: where in the stream to read.
        batch: rows at once.

    Returns:
        Activations (N, D) at the last token before anybody speaks; and what the words alone give away: `words`
        (N, vocabulary), counts, and `length` (N, 1), in tokens.
    """
    template = ChatTemplate(tokenizer)
    rows = [template.encode(messages(question, "chorus")) for question in questions]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    last = torch.zeros(ids.shape)
    words = np.zeros((len(rows), int(lens.config.vocab_size)))
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
        last[place, len(row) - 1] = 1
        np.add.at(words[place], row, 1)
    read = pooled(lens, ids, last, [hook], batch=batch)[:, 0].double().numpy()
    return read, {"words": words, "length": np.array([[float(len(row))] for row in rows])}


def learn(
    features: Array,
    voices: Sequence[str],
    groups: Sequence[str],
    *,
    named: Mapping[str, Array],
    surface: Mapping[str, Array] | None = None,
    shufflings: int = SHUFFLINGS,
    seed: int = 0,
) -> Rule:
    """Foretell which voice acts, and put the rule into words.

    Args:
        features: (N, D), activations of the question alone.
        voices: (N,), who acted.
        groups: one a row; rows of one group (a question, or its template) are never on both sides of a split.
        named: quantities (N,) that the readable models may use, such as the activity along a persona's vector.
        surface: features (N, F) that the words give away, to be beaten.
        shufflings: of the labels.
        seed: of shufflings and draws.

    Raises:
        NothingToExplain: fewer groups than folds, or only one voice.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier, export_text

    names, labels = np.unique(np.asarray(voices), return_inverse=True)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    if (count := int(codes.max()) + 1) < FOLDS:
        raise NothingToExplain(f"{count} different questions are too few for a rule: at least {FOLDS} are needed")
    if len(names) < 2:
        raise NothingToExplain(f"only {names[0]} ever acts: there is nothing to foretell")
    draw = np.random.default_rng(seed)
    quantities = np.stack(list(named.values()), axis=1)
    makers: dict[str, Callable[[], Any]] = {
        "linear": lambda: LogisticRegression(solver="saga", l1_ratio=1.0, C=0.3, max_iter=5000, random_state=0),
        "tree": lambda: DecisionTreeClassifier(max_depth=3, min_samples_leaf=max(2, len(labels) // 50), random_state=0),
    }

    hits = _hits(features, labels, codes, _dense)
    base = float(_hits(features, labels, codes, _commonest).mean())
    null = [_hits(features, _shuffled(labels, codes, draw), codes, _dense).mean() for _ in range(shufflings)]
    drawn = draw.integers(count, size=(1000, count))
    size, right = np.bincount(codes), np.bincount(codes, hits)
    spread = right[drawn].sum(1) / size[drawn].sum(1)
    readable = {name: float(_hits(quantities, labels, codes, make).mean()) for name, make in makers.items()}
    fitted = {name: _scaled(make()).fit(quantities, labels) for name, make in makers.items()}
    tree = export_text(fitted["tree"][-1], feature_names=list(named), class_names=list(names), show_weights=False)
    gain = float(hits.mean()) - base
    return Rule(
        float(hits.mean()),
        (float(np.quantile(spread, 0.025)), float(np.quantile(spread, 0.975))),
        base,
        {name: float(_hits(each, labels, codes, _dense).mean()) for name, each in (surface or {}).items()},
        float(np.mean(null)),
        (float(np.quantile(null, 0.025)), float(np.quantile(null, 0.975))),
        (1 + sum(each >= hits.mean() for each in null)) / (1 + shufflings),
        readable,
        {name: (each - base) / gain if gain > MIN_SHARE else None for name, each in readable.items()},
        {"linear": _in_words(fitted["linear"][-1], list(named), list(names)), "tree": tree},
    )


def _dense() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=500)


def _commonest() -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="most_frequent")


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A tree splits on the quantities as they are, so that its thresholds can be read.
    return make_pipeline("passthrough" if hasattr(model, "max_depth") else StandardScaler(), model)


def _shuffled(labels: Codes, codes: Codes, draw: np.random.Generator) -> Codes:
    """Give each question the labels of another that has as many rows: rows of one question are no separate evidence."""
    shuffled = labels.copy()
    places = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    for size in {len(rows) for rows in places}:
        alike = [rows for rows in places if len(rows) == size]
        for own, other in zip(alike, draw.permutation(len(alike)), strict=True):
            shuffled[own] = labels[alike[other]]
    return shuffled


def _hits(features: Array, labels: Codes, codes: Codes, make: Callable[[], Any]) -> Array:
    """Return for each row whether a model that saw none of its group foretells it, as 0.0 or 1.0."""
    from sklearn.model_selection import GroupKFold

    hits = np.empty(len(labels))
    for fitted, tested in GroupKFold(FOLDS).split(features, groups=codes):
        seen = labels[fitted]
        # A fold may have met a single voice: it can foretell no other, and there is nothing to fit.
        model = _commonest() if (seen == seen[0]).all() else _scaled(make())
        hits[tested] = model.fit(features[fitted], seen).predict(features[tested]) == labels[tested]
    return hits


def _in_words(model: Any, named: list[str], names: list[str]) -> str:
    """Return the linear model's weights, a line a voice, without those that are nothing."""
    weights = model.coef_ if len(names) > 2 else np.concatenate([-model.coef_, model.coef_]) / 2
    lines = []
    for name, row in zip(names, weights, strict=True):
        order = sorted((place for place in range(len(row)) if abs(row[place]) > 1e-3), key=lambda at: -abs(row[at]))
        lines.append(f"{name}: " + (", ".join(f"{row[at]:+.2f} {named[at]}" for at in order) or "nothing tells it"))
    return "\n".join(lines)
