"""The steps of a recipe in one place on disk: which are to be run, what each starts from, and what it is given.

OUT/collect/      debates, rows, cast: shared by the arms of a recipe
OUT/[ARM/]STEP/   of the recipe itself, or of one of its arms
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.batch import Summary
from chorus.checkpoints import manifest
from chorus.chorus import Chorus
from chorus.distill import collect, ledger
from chorus.distill.questions import to_measure_on, to_train_on
from chorus.distill.recipe import Recipe, Step
from chorus.errors import ConfigError, MissingExtra, RecordError
from chorus.types import Question

if TYPE_CHECKING:
    from chorus.distill.training import Start

NEEDS = ("torch", "transformers", "trl", "peft", "datasets")
"""What the trainers import."""


class Unfinished(RecordError):
    """A step could not do all its work; what it did, is kept."""

    exit_code = 3


@dataclass(frozen=True)
class Given:
    """Files that the command line names; they go before the recipe's."""

    questions: Path | None = None
    held_out: tuple[Path, ...] = ()
    gold: Path | None = None
    split: str | None = None


@dataclass(frozen=True)
class Place:
    """A recipe and the folder that it is run in."""

    recipe: Recipe
    out: Path
    given: Given = field(default_factory=Given)

    def folder(self, step: Step) -> Path:
        """Return the folder of a step."""
        own = self.out / self.recipe.arm if self.recipe.arm and step != "collect" else self.out
        return own / step

    def questions(self) -> Path:
        """Return the question file to train on. Raises ConfigError when none is named."""
        named = self.recipe.collect.questions
        if self.given.questions is None and named is None:
            raise ConfigError(f"the recipe {self.recipe.name} names no question file: --questions FILE")
        return self.given.questions or self.recipe.file(str(named))

    def gold(self) -> Path | None:
        """Return the question file to measure on while reinforcing, if there is one."""
        named = self.recipe.rl.gold.questions
        return self.given.gold or (self.recipe.file(named) if named else None)

    def replayed(self) -> list[Path]:
        """Return the files whose ordinary chat, or questions of other tasks, the warm start has among its rows."""
        replay = self.recipe.sft.replay
        return [self.recipe.file(name) for name in (replay.file, replay.others) if name]

    def held_out(self) -> list[Path]:
        """Return the question files that must share nothing with the one to train on."""
        files = [*self.given.held_out, *(self.recipe.file(name) for name in self.recipe.collect.held_out)]
        gold = self.gold()
        return list(dict.fromkeys([*files, gold] if gold else files))


Hold = Callable[[Sequence[Question], Path], Summary]
"""Holds debates over questions, in a folder: `collect.hold` or `collect.hold_on`, with all else that they take."""


def collected(place: Place, chorus: Chorus, hold: Hold, report: Callable[[str], None]) -> None:
    """Run the step `collect`, if there is anything left to do.

    Raises:
        QuestionError: the questions may not be trained on. Unfinished: the engine was gone before the end.
    """
    recipe, folder = place.recipe, place.folder("collect")
    path, held_out = place.questions(), place.held_out()
    questions = to_train_on(path, split=place.given.split, held_out=held_out)[: recipe.collect.limit]
    if gold := place.gold():
        to_measure_on(gold, questions)
    data = _hashes([path, *held_out])
    if ledger.stands(folder, recipe, "collect", data):
        report("collect: done before")
        return
    with ledger.running(folder, recipe, "collect", data) as run:
        summary = hold(questions, folder)
        if summary.gave_up:
            raise Unfinished(f"collect: {summary.in_words()}")
        run.metrics |= collect.write_rows(folder, chorus)
        run.more["held_out"] = [file.name for file in held_out]


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    """Return the sha256 of each file by its name, and by its place among them too where an earlier one has that name.

    Raises:
        ConfigError: one can't be read.
    """
    hashes: dict[str, str] = {}
    for place, file in enumerate(files):
        name = file.name if file.name not in hashes else f"{place}/{file.name}"
        try:
            hashes[name] = manifest.sha256_of(file)
        except OSError as error:
            raise ConfigError(f"can't read {file}, which the recipe names: {error.strerror}") from error
    return hashes


def trained(place: Place, step: Step, report: Callable[[str], None]) -> None:
    """Run a step that trains or exports, if there is anything left to do.

    Raises:
        MissingExtra: the trainers are not installed.
        RecordError: a step that it builds on is not done.
        QuestionError: the questions of other tasks may not be trained on.
        ChorusError: it can't be run, or was stopped; `run.json` says why.
    """
    recipe, folder, base = place.recipe, place.folder(step), place.folder("collect")
    cards = {"collect": ledger.done(base)} | {
        earlier: ledger.done(place.folder(earlier)) for earlier in _before(recipe, step)
    }
    _need_trainers()
    start = _start(place, step, report)
    gold = place.gold() if step == "rl" else None
    data = {f"start/{name}": sha256 for name, sha256 in start.hashes().items()}
    data |= {name: manifest.sha256_of(base / name) for name in (collect.QUESTIONS, collect.ROWS, "cast.json")}
    data |= {f"gold/{name}": sha256 for name, sha256 in _hashes([gold] if gold else []).items()}
    replayed = place.replayed() if step == "sft" else []
    data |= {f"replay/{name}": sha256 for name, sha256 in _hashes(replayed).items()}
    if step == "sft" and (others := recipe.sft.replay.others):
        to_train_on(recipe.file(others), held_out=place.held_out())
    if ledger.stands(folder, recipe, step, data):
        report(f"{step}: done before")
        return
    from chorus.distill.training import quietly

    with ledger.running(folder, recipe, step, data) as run, quietly():
        _work(step)(recipe, start, base, run, report, **_more(step, gold, cards))


def _work(step: Step) -> Callable[..., None]:
    """Return what a step does; only its own libraries are imported."""
    if step == "sft":
        from chorus.distill.sft import warm_up

        return warm_up
    if step == "bake":
        from chorus.distill.bake import distil

        return distil
    if step == "rl":
        from chorus.distill.rl import reinforce

        return reinforce
    from chorus.distill.export import export

    return export


def _more(step: Step, gold: Path | None, cards: dict[str, Any]) -> dict[str, Any]:
    return {"gold": gold} if step == "rl" else {"before": cards} if step == "export" else {}


def _before(recipe: Recipe, step: Step) -> list[Step]:
    """Return the training steps of the recipe that come before a step."""
    return [other for other in recipe.steps[: _index(recipe, step)] if other != "collect"]


def _index(recipe: Recipe, step: Step) -> int:
    if step not in recipe.steps:
        arm = f", arm {recipe.arm}," if recipe.arm else ""
        raise ConfigError(f"the recipe {recipe.name}{arm} has no step {step}: {', '.join(recipe.steps)}")
    return recipe.steps.index(step)


def _start(place: Place, step: Step, report: Callable[[str], None]) -> Start:
    """Return the weights that a step starts from: the model's own, and what the steps before made of them."""
    from chorus import checkpoints
    from chorus.distill.training import ADAPTER, MODEL, Start

    start = Start(checkpoints.resolve(place.recipe.model, report))
    for earlier in _before(place.recipe, step):
        folder = place.folder(earlier)
        start = Start(folder / MODEL) if (folder / MODEL).is_dir() else Start(start.base, folder / ADAPTER)
    return start


def _need_trainers() -> None:
    import importlib.util

    if not all(importlib.util.find_spec(name) for name in NEEDS):
        raise MissingExtra("chorus distill", "distill")
