"""The checkpoints of a distillation: the one in question, and the arms that it has to be compared with.

What an arm is, its run card says: which steps made it, and by which settings. Its name says nothing. A control that there
is no checkpoint of is named as missing, so that no table passes for whole that isn't.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from chorus.checkpoints.baked import RUN_CARD, Style, read
from chorus.distill.collect import QUESTIONS
from chorus.distill.rows import STYLE_OF
from chorus.errors import ConfigError
from chorus.question_file import read_questions
from chorus.types import Question

Role = Literal["baked", "SFT only", "plain GRPO", "shuffled personas"]

MEANING: Mapping[Role, str] = {
    "baked": "trained on debates, in the steps that the card names",
    "SFT only": "the warm start alone",
    "plain GRPO": "reinforced, with no debate behind it",
    "shuffled personas": "names dealt anew to every turn, or methods under other names",
}
NEEDED = ("made_by", "tasks", "model", "recipe", "arm", "status")
"""What a run card must say to be compared."""

CONTROLS: tuple[Role, ...] = tuple(role for role in get_args(Role) if role != "baked")


@dataclass(frozen=True)
class Arm:
    """One exported checkpoint."""

    folder: Path
    card: Mapping[str, Any]
    """Its run card."""

    @property
    def name(self) -> str:
        """Tells it apart from the other arms of its recipe."""
        return str(self.card["arm"] or self.card["recipe"])

    @property
    def role(self) -> Role:
        """What it is in the comparison."""
        if self._config("sft").get("shuffle_names") or self._config("bake").get("shuffle_methods"):
            return "shuffled personas"
        if self.steps == {"rl"}:
            return "plain GRPO"
        return "SFT only" if self.steps == {"sft"} else "baked"

    @property
    def steps(self) -> set[str]:
        """The steps that trained it."""
        return set(self.card["made_by"]) & {"sft", "bake", "rl"}

    @property
    def styles(self) -> tuple[Style, ...]:
        """The ways of answering that it was trained on."""
        mixed = {STYLE_OF[form] for form in self._config("sft").get("mix", {})}
        known = mixed | ({"chorus"} if "bake" in self.steps else set()) | set(self._config("rl").get("styles", ()))
        return tuple(style for style in get_args(Style) if style in known)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it was trained on, as far as the ids of their questions say."""
        return tuple(self.card["tasks"])

    @property
    def rollout_tokens(self) -> int | None:
        """Tokens that it wrote while it was trained, distillation of the protocol included; `None` if it wrote none."""
        made = self.card["made_by"]
        written = [made[step]["metrics"].get("rollout_tokens", 0) for step in ("bake", "rl") if step in made]
        return int(sum(written)) if written else None

    @property
    def updates(self) -> int:
        """Optimizer steps of all its training."""
        return sum(int(self.card["made_by"][step]["metrics"].get("steps", 0)) for step in self.steps)

    def learning(self) -> list[tuple[float, float]]:
        """Return the tokens written while it was reinforced, and the accuracy on held-out questions by then.

        Empty where nothing was measured, or the step's own card no longer lies beside the export.
        """
        card = self.folder.resolve().parent / "rl" / RUN_CARD
        if "rl" not in self.steps or not card.is_file():
            return []
        written, found = 0.0, []
        for entry in json.loads(card.read_text("utf-8"))["metrics"]["log"]:
            written = entry.get("rollout_tokens", written)
            if "gold/accuracy" in entry:
                found.append((written, entry["gold/accuracy"]))
        return found

    def room(self, style: Style) -> int | None:
        """Return how many tokens a whole answer in a style may take: as many as were paid for while it was reinforced.

        Where it never was, an answer has the room of one turn of a debate, and a dialogue that of one for each voice.
        """
        rl = self._config("rl")
        if style in rl.get("styles", ()):
            return int(rl["max_tokens"])
        turn = self.debates.get("max_tokens")
        return None if turn is None else int(turn) * (len(self.card["cast"]) if style == "chorus" else 1)

    @property
    def debates(self) -> dict[str, Any]:
        """Settings of the chorus whose debates it comes from."""
        return dict(self.card["made_by"]["collect"]["config"]["chorus"])

    def _config(self, step: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.card["made_by"].get(step, {}).get("config", {})
        return found


def opened(folder: Path) -> Arm:
    """Return the arm whose export lies in a folder.

    Raises:
        ConfigError: there is no export, or it isn't finished. CheckpointError: its card can't be read.
    """
    card = _card(folder)
    if card is None:
        raise ConfigError(
            f"{folder} has no {RUN_CARD} of an export: give the folder that `chorus distill export` wrote"
        )
    if lacking := [name for name in NEEDED if name not in card]:
        raise ConfigError(f"{folder / RUN_CARD} doesn't say {', '.join(lacking)}: export it anew with this version")
    if card["status"] != "done":
        raise ConfigError(f"the export in {folder} is {card['status']}: finish it first")
    return Arm(folder, card)


def beside(checkpoint: Arm, named: Sequence[Path] = ()) -> list[Arm]:
    """Return the other arms: those in the same distillation's folder that are done, then those that are named.

    Raises:
        ConfigError: one that is named is no export, or of another model. CheckpointError: a card can't be read.
    """
    own = checkpoint.folder.resolve()
    house = own.parent.parent if checkpoint.card["arm"] else own.parent
    found = {own: checkpoint}
    for folder in sorted([house / "export", *house.glob("*/export")]):
        if (_card(folder) or {}).get("status") == "done":
            found.setdefault(folder, opened(_short(folder)))
    for folder in named:
        found.setdefault(folder.resolve(), opened(folder))
    others = [arm for folder, arm in found.items() if folder != own]
    for arm in others:
        if arm.card["model"] != checkpoint.card["model"]:
            raise ConfigError(f"{arm.folder} comes from {arm.card['model']}, not from {checkpoint.card['model']}")
    return others


def _short(folder: Path) -> Path:
    """Return a folder as seen from here, where it lies below: results name it, and are read on other machines."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def missing(arms: Sequence[Arm]) -> list[Role]:
    """Return the controls of which there is no checkpoint."""
    there = {arm.role for arm in arms}
    return [role for role in CONTROLS if role not in there]


def trained_on(checkpoint: Arm) -> list[Question]:
    """Return the questions that it was trained on, where they still lie beside it."""
    house = checkpoint.folder.resolve().parents[1 if checkpoint.card["arm"] else 0]
    path = house / "collect" / QUESTIONS
    return list(read_questions(path)) if path.is_file() else []


def _card(folder: Path) -> dict[str, Any] | None:
    """Return the run card of an export; `None` where there is none. Raises CheckpointError."""
    if read(folder) is None:
        return None
    card: dict[str, Any] = json.loads((folder / RUN_CARD).read_text("utf-8"))
    return card
