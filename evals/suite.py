"""A suite: which ways of answering are measured, on which questions. One TOML file.

    name = "quick"
    engine = "hf:smollm2-135m"      # any SPEC; `--engine` goes before it
    split = "dev"
    tasks = ["products", "./mine.csv"]
    questions = 20                  # of each task
    seeds = [0]

    [settings]                      # of every system: those of `chorus.toml`
    max_tokens = 32

    [[system]]
    name = "self-consistency@8"
    solver = "self_consistency"     # `debate` unless it says otherwise
    k = 8                           # what the solver takes, and any setting of the chorus

A system may name `seeds`, `questions`, `tasks` and an `engine` of its own. Everything is checked before anything runs.
"""

from __future__ import annotations

import difflib
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from inspect_ai.solver import Solver
from pydantic import Field, ValidationError, field_validator, model_validator

from chorus.errors import ChorusError, ConfigError
from chorus.types import Frozen
from evals import solvers
from evals.tasks.splits import Split

SOLVERS: Mapping[str, Callable[..., Solver]] = {
    one.__name__: one
    for one in (
        solvers.debate,
        solvers.single,
        solvers.self_consistency,
        solvers.adaptive_self_consistency,
        solvers.best_of_n,
        solvers.mixture_of_agents,
        solvers.inner_chorus,
        solvers.baked,
    )
}
"""What a system's `solver` may be."""


class System(Frozen):
    """One way of answering: a name, a solver, and what the solver takes."""

    name: str = Field(min_length=1, max_length=80)
    """Unique in its suite; the results know the system by it."""
    solver: str = "debate"
    seeds: tuple[int, ...] | None = None
    """Instead of the suite's."""
    questions: int | None = Field(default=None, ge=1)
    """Of each task, instead of the suite's."""
    tasks: tuple[str, ...] | None = None
    """Instead of the suite's."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Everything else that its table says."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, table: Any) -> Any:
        if not isinstance(table, dict) or "settings" in table:
            return table
        own = {name: value for name, value in table.items() if name in cls.model_fields}
        return own | {"settings": {name: value for name, value in table.items() if name not in own}}

    @field_validator("solver")
    @classmethod
    def _known(cls, solver: str) -> str:
        if solver not in SOLVERS:
            near = difflib.get_close_matches(solver.replace("-", "_"), SOLVERS, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(SOLVERS)}"
            raise ValueError(f"there is no solver {solver!r}{hint}")
        return solver


class Suite(Frozen):
    """A whole suite. The module's docstring shows one."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[\w.-]+$")
    engine: str = Field(min_length=1)
    split: Split
    tasks: tuple[str, ...] = Field(min_length=1)
    questions: int = Field(default=100, ge=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    max_samples: int = Field(default=32, ge=1)
    """Debates at once."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of every system; a system's own go before them."""
    system: tuple[System, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        names = [system.name for system in self.system]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two systems are named {twice!r}")
        if "seed" in self.settings or any("seed" in system.settings for system in self.system):
            raise ValueError("seeds are those of `seeds`: leave `seed` out of the settings")
        return self

    def settings_of(self, system: System, seed: int) -> dict[str, Any]:
        """Return all that the solver of a system is given, its engine and seed included."""
        return {"engine": self.engine, **self.settings, **system.settings, "seed": seed}

    def solver_of(self, system: System, seed: int = 0) -> Solver:
        """Return the solver of a system. Raises ConfigError, naming the system, where a setting doesn't fit."""
        make = SOLVERS[system.solver]
        try:
            inspect.signature(make).bind(**self.settings_of(system, seed))
            return make(**self.settings_of(system, seed))
        except (ChorusError, TypeError) as error:
            raise ConfigError(f"suite {self.name}, system {system.name!r}: {error}") from None

    def narrowed(
        self,
        *,
        engine: str | None = None,
        tasks: Sequence[str] = (),
        systems: Sequence[str] = (),
        seeds: Sequence[int] = (),
        questions: int | None = None,
        max_samples: int | None = None,
    ) -> Suite:
        """Return the suite with some of it replaced, or left out: what a command line asks for.

        Raises:
            ConfigError: there is no such system.
        """
        known = [system.name for system in self.system]
        if strange := [name for name in systems if name not in known]:
            raise ConfigError(f"suite {self.name} has no system {strange[0]!r}; it has {', '.join(known)}")
        kept = [system for system in self.system if not systems or system.name in systems]
        if tasks:
            kept = [system.model_copy(update={"tasks": None}) for system in kept]
        if seeds:
            kept = [system.model_copy(update={"seeds": None}) for system in kept]
        if questions:
            kept = [system.model_copy(update={"questions": None}) for system in kept]
        given = {
            "engine": engine,
            "tasks": tuple(tasks),
            "seeds": tuple(seeds),
            "questions": questions,
            "max_samples": max_samples,
        }
        return self.model_copy(update={name: value for name, value in given.items() if value} | {"system": tuple(kept)})


def load(name: str | Path) -> Suite:
    """Return a built-in suite by its name, or the one in a TOML file.

    Raises:
        ConfigError: there is none, it can't be read, or something in it is wrong; names the file and the field.
    """
    path = Path(name)
    if str(name) in built_in():
        text, where = (resources.files("evals") / "suites" / f"{name}.toml").read_text("utf-8"), f"suite {name}"
    elif path.suffix == ".toml":
        try:
            text, where = path.read_text("utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"can't read the suite {path}: {error}") from error
    else:
        near = difflib.get_close_matches(str(name), built_in(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"there is no suite {name!s:.80}: {hint}name one of {', '.join(built_in())}, or a .toml file")
    return _checked(text, where)


def built_in() -> list[str]:
    """Return the names of the suites that come with the package."""
    files = (resources.files("evals") / "suites").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _checked(text: str, where: str) -> Suite:
    try:
        suite = Suite.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(_faults(error))}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{where} is not TOML: {error}") from None
    for system in suite.system:
        suite.solver_of(system)
    return suite


def _faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors()[:5]:
        field = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        yield f"{field}: {said}" if field else said
