"""`run.json`: how a step's folder was made, from what, and how it ended; and by it, whether there is anything left to do.

A step begins by writing it (`running`) and ends by writing it again (`done`, or `stopped` with the reason), each time as
a whole. Begun again with the same work, a step that is done stays as it is, and one that is not goes on; with other
work it is refused, so that no folder ever mixes two. Beside exported weights it also marks them as baked.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from chorus.checkpoints.beside import digest
from chorus.chorus import versions
from chorus.distill import files
from chorus.distill.recipe import Recipe, Step
from chorus.errors import ChorusError, ConfigError, RecordError
from chorus.report import hardware

FILE = "run.json"
TRAINERS = ("trl", "peft", "datasets", "accelerate")


@dataclass
class Run:
    """A step under way: figures and hashes are added to it as they become known."""

    folder: Path
    card: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    """Hash of each set of weights that was made, by its name in the folder."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the card."""
    earlier: float = 0.0
    """Seconds that it had been under way before it was begun again."""
    began: float = field(default_factory=time.monotonic)

    def write(self, status: str, **fields: Any) -> None:
        """Write the card as it stands, with the seconds so far: what a killed run has cost is in it. Raises NotWritten."""
        seconds = round(self.earlier + time.monotonic() - self.began, 1)
        whole = self.card | self.more | {"metrics": self.metrics, "weights": self.weights, "status": status}
        whole |= {"seconds": seconds, **fields}
        files.put(self.folder / FILE, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> dict[str, Any] | None:
    """Return a folder's card; `None` where there is none. Raises RecordError when it can't be read."""
    if not (folder / FILE).is_file():
        return None
    try:
        card = json.loads(files.text_of(folder / FILE))
    except ValueError:
        raise RecordError(f"{folder / FILE} is not JSON") from None
    if not isinstance(card, dict) or card.get("schema") != 1:
        raise RecordError(f"{folder / FILE} is no card that this version reads")
    return card


def done(folder: Path) -> dict[str, Any]:
    """Return the card of a step that another one builds on. Raises RecordError when it isn't done."""
    card = read(folder)
    if card is None or card["status"] != "done":
        how = "has not been run" if card is None else f"is {card['status']}"
        raise RecordError(f"{folder.name} {how} in {folder.parent}: run `chorus distill {folder.name}` there first")
    return card


def stands(folder: Path, recipe: Recipe, step: Step, data: Mapping[str, str]) -> bool:
    """Say whether a step is done already, with this very work.

    Raises:
        ConfigError: the folder holds other work.
    """
    card = read(folder)
    if card is None:
        return False
    # The hash knows no order; by their order, which the card keeps, files have their roles.
    if card["work"] != _work(recipe, step, data) or list(card["data"]) != list(data):
        raise ConfigError(
            f"{folder} was made by another recipe or from other data (see its {FILE}): name another --out, or remove it"
        )
    return bool(card["status"] == "done")


@contextmanager
def running(folder: Path, recipe: Recipe, step: Step, data: Mapping[str, str]) -> Iterator[Run]:
    """Keep a step's card while it runs; whatever ends it is written down.

    Args:
        folder: of the step.
        recipe: what is run.
        step: of the recipe.
        data: sha256 of all that it reads, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = read(folder) or {}
    run = Run(
        folder,
        {
            "schema": 1,
            "step": step,
            "recipe": recipe.name,
            "arm": recipe.arm,
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "work": _work(recipe, step, data),
            "config": recipe.part(step),
            "seeds": {"run": recipe.seed},
            "data": dict(data),
            "git": revision(),
            "versions": versions() | _trainers(),
            "hardware": f"{hardware()}, Python {platform.python_version()}",
        },
        metrics=dict(before.get("metrics", {})),
        earlier=float(before.get("seconds", 0.0)),
    )
    run.write("running")
    try:
        yield run
    except BaseException as error:
        reason = str(error) if isinstance(error, ChorusError) else type(error).__name__
        # The reason that ended the step is the one to be seen, not that it could not be noted.
        try:
            run.write("stopped", reason=reason)
        except files.NotWritten as unwritten:
            error.add_note(str(unwritten))
        raise
    run.write("done")


def revision() -> str | None:
    """Return the git revision of this code, with `+` where the tree has changes; `None` outside a checkout."""
    root = Path(__file__).parents[2]
    try:
        head = _git(root, "rev-parse", "--show-toplevel", "HEAD").split()
        if len(head) != 2 or Path(head[0]).resolve() != root.resolve():
            return None
        return head[1] + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def _work(recipe: Recipe, step: Step, data: Mapping[str, str]) -> str:
    return digest({"step": step, "config": recipe.part(step), "data": dict(data)})


def _trainers() -> dict[str, str]:
    found = {}
    for name in TRAINERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
