"""From a results file to points on a scale: one point a system, all on the same questions.

Two kinds of lines are read: outcomes, as `chorus eval` writes them (`evals.outcomes`), and a user's own
`{"x": 8, "right": 31, "of": 50}` with an optional `"name"`. From outcomes whole questions are drawn again, with every
system's answers to them, since answers to one question are right or wrong together; own rows leave binomial draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from chorus.errors import ConfigError, RecordError
from chorus.types import Frozen
from evals import outcomes, resample
from evals.outcomes import Outcome
from evals.scaling.curves import Point

Scale = Literal["personas", "rounds", "tokens", "size"]
"""What accuracy is put against: seats; rounds; computed tokens a question; weights of the model."""


class Row(Frozen):
    """A line of a user's own results."""

    x: float = Field(gt=0, allow_inf_nan=False)
    right: float = Field(ge=0, allow_inf_nan=False)
    of: int = Field(ge=1)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """Points, and what they can be drawn again from."""

    points: tuple[Point, ...]
    """By scale."""
    shares: np.ndarray[Any, np.dtype[np.float64]] | None = None
    """(points, questions): the share of seeds at which a system was right; None where only counts are known."""

    def again(self, rng: np.random.Generator) -> list[Point]:
        """Draw the points as they might have come out with other questions."""
        if self.shares is None:
            return [Point(p.x, float(rng.binomial(p.of, min(p.accuracy, 1.0))), p.of, p.name) for p in self.points]
        drawn = self.shares[:, rng.integers(0, self.shares.shape[1], self.shares.shape[1])].mean(axis=1)
        return [
            Point(point.x, float(share) * point.of, point.of, point.name)
            for point, share in zip(self.points, drawn, strict=True)
        ]

    def without_largest(self) -> tuple[Measured, Point]:
        """Return the points at all scales but the largest, and the point there."""
        last = max(range(len(self.points)), key=lambda at: self.points[at].x)
        kept = [at for at, point in enumerate(self.points) if point.x < self.points[last].x]
        shares = None if self.shares is None else self.shares[kept]
        return Measured(tuple(self.points[at] for at in kept), shares), self.points[last]


def read(
    path: Path,
    scale: Scale,
    *,
    systems: str = "*",
    tasks: str = "*",
    sizes: Mapping[str, float] | None = None,
    drafts: bool = False,
) -> Measured:
    """Return the points of a results file.

    Args:
        path: JSONL, of outcomes or of a user's own rows; for the latter the scale is whatever their `x` is.
        scale: what accuracy is put against.
        systems: glob on the systems to take; they should differ in nothing but the scale.
        tasks: glob on the tasks to take.
        sizes: for the scale `size`, the weights of each system's model.
        drafts: whether the points are votes of 1, 2, … of one system's stored first drafts, instead of systems.

    Raises:
        RecordError: a line is neither; names it. Or more answers are right than there are.
        ConfigError: nothing is left, a size is missing, no question was put to all systems, or drafts are wanted of
            several systems or of counts alone.
    """
    rows = _rows(path)
    if rows is not None and drafts:
        raise ConfigError(f"{path} holds counts: there are no drafts in it to vote again")
    if rows is not None:
        points = sorted((Point(row.x, row.right, row.of, row.name) for row in rows), key=lambda point: point.x)
        return Measured(tuple(points))
    kept = [one for one in outcomes.read(path) if fnmatch(one.system, systems) and fnmatch(one.task, tasks)]
    if not kept:
        raise ConfigError(f"{path} holds no outcome of a system like {systems!r} on a task like {tasks!r}")
    return _measured(_again(kept) if drafts else kept, scale, sizes or {})


def _again(kept: Sequence[Outcome]) -> list[Outcome]:
    """Return the votes of 1, 2, … first drafts of a system."""
    if several := sorted({one.system for one in kept})[1:]:
        raise ConfigError(f"votes are taken again of one system's drafts: {', '.join(several)} is there too")
    return [vote for k in range(1, resample.most(kept) + 1) for vote in resample.votes(kept, k)]


def _measured(kept: Sequence[Outcome], scale: Scale, sizes: Mapping[str, float]) -> Measured:
    by_system: dict[str, dict[tuple[str, str], list[Outcome]]] = {}
    for one in kept:
        by_system.setdefault(one.system, {}).setdefault((one.task, one.question), []).append(one)
    common = sorted(set.intersection(*(set(asked) for asked in by_system.values())))
    if not common:
        raise ConfigError("there is no question that every system was asked, so their accuracies can't be compared")
    placed = []
    for system, asked in by_system.items():
        answered = [one for question in common for one in asked[question]]
        shares = [float(np.mean([one.correct for one in asked[question]])) for question in common]
        placed.append((_place(system, answered, scale, sizes), system, shares))
    placed.sort(key=lambda one: (one[0], one[1]))
    points = tuple(Point(x, sum(shares), len(common), system) for x, system, shares in placed)
    return Measured(points, np.array([shares for _, _, shares in placed]))


def _place(system: str, answered: Sequence[Outcome], scale: Scale, sizes: Mapping[str, float]) -> float:
    """Return where a system stands on the scale."""
    if scale == "tokens":
        return float(np.mean([one.computed_tokens for one in answered]))
    if scale == "size":
        if system not in sizes:
            raise ConfigError(f"how many weights has the model of {system!r}? Say --size {system}=N")
        return sizes[system]
    return float(max(_extent(one, scale) for one in answered))


def _extent(one: Outcome, scale: Scale) -> int:
    """Return how many seats spoke, or in how many rounds."""
    speeches = [draft for draft in one.drafts if draft.kind == "speech"]
    return (
        len({draft.seat for draft in speeches}) if scale == "personas" else max((d.round for d in speeches), default=0)
    )


def _rows(path: Path) -> list[Row] | None:
    """Return a user's own rows; None for a file whose first line is none."""
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"can't read the results in {path}: {error}") from error
    if not lines:
        raise RecordError(f"{path} holds no results")
    try:
        first = json.loads(lines[0])
    except ValueError:
        return None
    return list(_checked(lines, path)) if isinstance(first, dict) and "x" in first else None


def _checked(lines: Iterable[str], path: Path) -> Iterable[Row]:
    for number, line in enumerate(lines, 1):
        try:
            row = Row.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            raise RecordError(f"{path}, row {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if row.right > row.of:
            raise RecordError(f"{path}, row {number}: {row.right:g} right answers of {row.of}")
        yield row
