"""The ways of answering that are compared, as suites: one for each engine, so that only one model is in memory at a time.

Every arm is asked by the prompts that it was trained on. What it came from is asked plainly, k times, with the chorus's
prompt inside, and as the chorus that the debates were collected with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chorus.checkpoints.baked import Style
from chorus.errors import ConfigError
from evals.baked.arms import Arm
from evals.suite import Suite, System
from evals.tasks.splits import Split

BASE, INNER, CHORUS = "base", "base, chorus prompt inside", "the chorus"
DRAWN = ", drawn"
"""What the name of a system ends with whose answers are drawn, for pass@k, and not the likeliest ones."""

ELSEWHERE = ("capitals", "products", "decimal-sums")
"""Tasks on which to see what training on others has cost, unless they are named: the embedded model can do them a little,
and none is like another."""

TOLD = ("personas", "voices", "rounds", "detail", "max_tokens", "temperature", "top_p")
"""Settings of the debates that an inner chorus has, too."""


@dataclass(frozen=True)
class Asking:
    """What is asked of whom."""

    tasks: tuple[str, ...]
    """Those that the checkpoint was trained on."""
    elsewhere: tuple[str, ...] = ()
    """Other tasks, to see what training on these has cost."""
    questions: int = 100
    """Of each task."""
    samples: int = 8
    """Of majority@k and of pass@k; 0 leaves both out."""
    temperature: float = 0.7
    """Of what is drawn."""
    split: Split = "test"
    max_samples: int = 8
    """Questions at once."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to each engine as it is opened."""


@dataclass(frozen=True)
class Way:
    """An arm in one of its styles."""

    arm: Arm
    style: Style

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.arm.role} ({self.arm.name}), {self.style}"


def ways(checkpoint: Arm, others: Sequence[Arm]) -> list[Way]:
    """Return the checkpoint in both its styles, then each other arm in those that it was trained on.

    Raises:
        ConfigError: two arms can't be told apart by role and name.
    """
    both: tuple[Style, ...] = ("answer", "chorus")
    found = [Way(checkpoint, style) for style in both]
    found += [Way(arm, style) for arm in others for style in arm.styles]
    names = [way.name for way in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two checkpoints would both be named {twice!r}: leave one out")
    return found


def majority(asking: Asking) -> str:
    """Return the name of the vote of so many samples."""
    return f"majority@{asking.samples}"


def suites(
    checkpoint: Arm, others: Sequence[Arm], asking: Asking, base: str, spec: Callable[[Path], str]
) -> Iterator[Suite]:
    """Yield the suites in the order of the table.

    Args:
        checkpoint: the arm in question.
        others: what it is compared with.
        asking: what is asked.
        base: SPEC of the model that all came from.
        spec: gives the SPEC of a checkpoint's folder.
    """
    yield _suite(base, _of_base(checkpoint, asking), asking)
    engines: dict[Path, list[System]] = {}
    for way in ways(checkpoint, others):
        engines.setdefault(way.arm.folder, []).extend(_of_arm(way, asking))
    for folder, systems in engines.items():
        yield _suite(spec(folder), systems, asking)


def alone(suite: Suite, questions: int) -> Suite:
    """Return a suite with one question at a time, and few of them: how long it takes when nobody else asks."""
    first = suite.tasks[:1]
    kept = [one for one in suite.system if not one.name.endswith(DRAWN)]
    return suite.model_copy(
        update={
            "system": tuple(one.model_copy(update={"tasks": first, "questions": questions}) for one in kept),
            "tasks": first,
            "max_samples": 1,
        }
    )


def _suite(engine: str, systems: Iterable[System], asking: Asking) -> Suite:
    return Suite(
        name="baked",
        engine=engine,
        split=asking.split,
        tasks=(*asking.tasks, *asking.elsewhere),
        questions=asking.questions,
        max_samples=asking.max_samples,
        settings={"engine_options": dict(asking.engine_options)} if asking.engine_options else {},
        system=tuple(systems),
    )


def _of_base(checkpoint: Arm, asking: Asking) -> Iterator[System]:
    debates = {name: value for name, value in checkpoint.debates.items() if name not in ("engine", "engine_options")}
    debates.pop("seed", None)
    told = {name: value for name, value in debates.items() if name in TOLD}
    yield System(name=BASE, solver="single", settings=_bound(checkpoint))
    yield System(name=INNER, solver="inner_chorus", settings=told, tasks=asking.tasks)
    if asking.samples:
        drawn = {"k": asking.samples, "temperature": asking.temperature, **_bound(checkpoint)}
        yield System(name=majority(asking), solver="self_consistency", settings=drawn, tasks=asking.tasks)
    yield System(name=CHORUS, settings=debates, tasks=asking.tasks)


def _of_arm(way: Way, asking: Asking) -> Iterator[System]:
    settings = {"style": way.style, **_room(way)}
    yield System(name=way.name, solver="baked", settings=settings)
    if asking.samples:
        yield System(
            name=way.name + DRAWN,
            solver="baked",
            settings={**settings, "temperature": asking.temperature},
            seeds=tuple(range(asking.samples)),
            tasks=asking.tasks,
        )


def _room(way: Way) -> Mapping[str, Any]:
    """Return the bound on a turn that gives a whole answer its room: a dialogue's is that of all its turns."""
    room = way.arm.room(way.style)
    if room is None:
        return {}
    turns = len(way.arm.card["cast"]) * int(way.arm.card["rounds"]) if way.style == "chorus" else 1
    return {"max_tokens": math.ceil(room / turns)}


def _bound(checkpoint: Arm) -> Mapping[str, Any]:
    """Return the bound on a turn of what all came from: that of the debates."""
    bound = checkpoint.debates.get("max_tokens")
    return {} if bound is None else {"max_tokens": bound}
