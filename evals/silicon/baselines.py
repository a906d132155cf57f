"""What a poll by simulation has to beat: the majority's answer, and a logistic regression on the same traits.

Both are told real answers of other people of the survey, which a language model is not: they say how much the traits
hold, not how a model should be judged alone. Every person is foretold from folds that they are not in.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from evals.silicon.survey import Asking, Survey

FOLDS = 5


def majority(truth: Sequence[int], options: int, *, seed: int = 0) -> list[list[float] | None]:
    """Return, for everybody, the commonest answer of the other folds, surely."""
    said: list[list[float] | None] = [None] * len(truth)
    for inside, outside in _folds(len(truth), seed):
        counts = np.bincount([truth[at] for at in outside], minlength=options)
        for at in inside:
            said[at] = [float(option == counts.argmax()) for option in range(options)]
    return said


def regression(
    survey: Survey, people: Sequence[int], question: Asking, *, party: bool, seed: int = 0
) -> list[list[float] | None]:
    """Return the probabilities that a multinomial logistic regression on the traits' subgroups gives everybody."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder

    truth = [question.answer(survey.rows[at]) or 0 for at in people]
    traits = [trait for trait in survey.traits(party) if trait.group]
    cells = [[trait.cell(survey.rows[at]) or "not known" for trait in traits] for at in people]
    coded = OneHotEncoder(handle_unknown="ignore").fit_transform(cells).toarray()
    said: list[list[float] | None] = [None] * len(people)
    for inside, outside in _folds(len(people), seed):
        known = [truth[at] for at in outside]
        if len(set(known)) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(max_iter=1000).fit(coded[outside], known)
        for at, row in zip(inside, model.predict_proba(coded[inside]), strict=True):
            full = np.zeros(len(question.options))
            full[model.classes_] = row
            said[at] = [float(share) for share in full]
    return said


def _folds(n: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return (inside, outside) of each fold; together the insides are everybody once."""
    order = np.random.default_rng(seed).permutation(n)
    folds = [sorted(map(int, fold)) for fold in np.array_split(order, min(FOLDS, n)) if len(fold)] if n else []
    return [(fold, sorted(set(range(n)) - set(fold))) for fold in folds]
