"""The whole comparison: find the arms, ask all of them, have them read, write the table. Goes on where it was killed.

The folder holds `results.jsonl` and `logs/` as of any suite, the same of questions asked one at a time in `alone/`,
`reading.json`, and the table. A table is written of what there is, even where something could not be finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chorus import checkpoints
from chorus.distill.questions import refuse_shared
from chorus.errors import ConfigError
from evals import run, tasks
from evals.baked import arms, reading, report, systems
from evals.baked.arms import Arm
from evals.baked.reading import Loss
from evals.baked.systems import BASE, Asking, Way
from evals.baked.table import Measured

ALONE = "alone"
"""Folder of the questions asked one at a time."""
READ = "reading.json"


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where."""

    checkpoint: Arm
    others: Sequence[Arm]
    asking: Asking
    base: str
    """SPEC of the model that all came from."""
    spec: Callable[[Path], str]
    """Gives the SPEC of a checkpoint's folder."""
    folder: Path
    """Of everything that comes of it."""
    alone: int = 5
    """Questions that are asked one at a time, to see how long they take; 0: none."""
    seed: int = 0
    """Of the bootstrap."""

    def hold(
        self,
        *,
        command: str,
        advance: run.Advance = lambda done, total, newest: None,
        report_step: Callable[[str], None] = lambda step: None,
    ) -> tuple[Path, list[str]]:
        """Do what is left to do, and return the table's path and what could not be done.

        Raises:
            QuestionError: a question is asked that was trained on. ConfigError: the folder holds another comparison.
            ChorusError: an engine can't be opened, questions can't be had, the folder can't be written to.
        """
        self._check_questions()
        unfinished: list[str] = []
        for suite in systems.suites(self.checkpoint, self.others, self.asking, self.base, self.spec):
            parts = [(suite, self.folder)]
            parts += [(systems.alone(suite, self.alone), self.folder / ALONE)] if self.alone else []
            for part, folder in parts:
                report_step(f"asking {part.engine}" + (", one question at a time" if folder != self.folder else ""))
                done = run.run(part, folder, advance=advance, report=report_step)
                unfinished += [] if done.complete else [done.in_words()]
        losses, unread = self._losses(report_step)
        return report.write(
            self._measured(losses),
            self.folder,
            command=command,
            checkpoint=self.checkpoint,
            notes=[*unread, *(f"**Unfinished:** {words}." for words in unfinished)],
        ), unfinished

    def _measured(self, losses: dict[str, list[Loss]]) -> Measured:
        ways = systems.ways(self.checkpoint, self.others)
        return Measured(
            outcomes=run.gathered(self.folder),
            alone=run.gathered(self.folder / ALONE) if self.alone else [],
            ways=ways,
            tasks=[Path(name).stem if "/" in name else name for name in self.asking.tasks],
            majority=systems.majority(self.asking) if self.asking.samples else None,
            losses=losses,
            seed=self.seed,
        )

    def _check_questions(self) -> None:
        """Refuse to ask what was trained on."""
        trained = arms.trained_on(self.checkpoint)
        for name in (*self.asking.tasks, *self.asking.elsewhere):
            refuse_shared(trained, tasks.load(name, self.asking.split, self.asking.questions), Path(name))

    def _losses(self, report_step: Callable[[str], None]) -> tuple[dict[str, list[Loss]], list[str]]:
        """Return how each way reads, and of those whose weights aren't at hand, that they don't."""
        found: dict[str, list[Loss]] = {}
        unread: list[str] = []
        ways: list[Way] = systems.ways(self.checkpoint, self.others)
        folders = {BASE: _weights_of(self.base)} | {way.name: _weights_of(self.spec(way.arm.folder)) for way in ways}
        for name, folder in folders.items():
            if folder is None:
                unread.append(name)
            else:
                report_step(f"reading ordinary text: {folder.name}")
                found[name] = reading.read(folder, self.folder / READ)
        return found, [f"No perplexity, as the weights are not at hand: {', '.join(unread)}."] if unread else []


def planned(
    checkpoint: Path,
    named: Sequence[Path],
    asking: Asking,
    *,
    kind: str,
    base: str | None,
    folder: Path,
    alone: int,
) -> Comparison:
    """Return the comparison that a command line asks for.

    Args:
        checkpoint: folder of the export in question.
        named: folders of further ones, beside those in the same distillation's folder.
        asking: what is asked; without tasks, those that the checkpoint says it was trained on.
        kind: of engine that opens the folders: `hf` or `vllm`.
        base: SPEC of the model that all came from; None: the one that the card names.
        folder: of everything that comes of it.
        alone: questions asked one at a time.

    Raises:
        ConfigError: a folder is no export; or the tasks aren't known. CheckpointError: a card can't be read.
    """
    own = arms.opened(checkpoint)
    wanted = asking.tasks or own.tasks
    if not wanted:
        raise ConfigError("the ids of the questions that it was trained on name no task: say which, with --task")
    elsewhere = tuple(task for task in asking.elsewhere if task not in wanted)
    asked = Asking(**{**vars(asking), "tasks": wanted, "elsewhere": elsewhere})
    return Comparison(
        checkpoint=own,
        others=arms.beside(own, named),
        asking=asked,
        base=base or f"{kind}:{own.card['model']}",
        spec=lambda found: f"{kind}:{found}",
        folder=folder,
        alone=alone,
    )


def _weights_of(spec: str) -> Path | None:
    """Return the folder of an engine's weights, where they are on this machine."""
    kind, _, name = spec.partition(":")
    return checkpoints.local_path(name) if kind in ("hf", "vllm") else None
