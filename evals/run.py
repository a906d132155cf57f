"""Running a suite: systems x tasks x seeds, each cell one evaluation of Inspect's, several at once on one engine.

The folder of a run holds `logs/*.eval` (Inspect's, one a cell and start), `results.jsonl` (`outcomes`) and `suite.json`
(what was measured). Invariants:

- what has an outcome, in the results or in a log, is not run again: a run that was killed goes on where it ended, and
  shards fill one folder, at the same time or one after another, here or elsewhere;
- a question whose solver crashed has its outcome too, `failed` with the reason, and the run goes on;
- when the engine is gone (several debates in a row whose every call failed) the run ends early and says so;
- results come from what is in the folder: making them again changes nothing.

Inspect's own `eval_set` resumes as well, but wants a folder to itself and all of a set in one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import filelock
from inspect_ai import Task as InspectTask
from inspect_ai import eval_async
from inspect_ai.model import Model, get_model
from inspect_ai.solver import TaskState
from inspect_ai.util._display import init_display_type

from chorus import whole_file
from chorus.batch import GIVE_UP_AFTER, every_call_failed
from chorus.engines.registry import Opener, open_engine
from chorus.errors import ConfigError, RecordError
from chorus.types import Question
from evals import logs, outcomes, provider, samples, tasks
from evals.outcomes import Outcome
from evals.scorers import graded
from evals.suite import Suite, System

RESULTS = "results.jsonl"
SUITE = "suite.json"
LOGS = "logs"

Advance = Callable[[int, int, str], None]
"""Is told how many questions have their outcome, of how many, and the newest id."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A system on a task's questions with one seed."""

    system: System
    task: str
    seed: int
    questions: tuple[Question, ...]

    def key(self, question: Question) -> tuple[str, str, int, str]:
        """Return what the outcome of a question is known by."""
        return self.system.name, self.task, self.seed, question.id


@dataclass
class Summary:
    """How a run ended."""

    total: int = 0
    """Questions asked of all systems, of this shard."""
    found: int = 0
    """Of these, those that had their outcome before."""
    done: int = 0
    """Those that have one now."""
    failed: list[str] = field(default_factory=list)
    """Names of the outcomes that are failures."""
    gave_up: str | None = None
    """Why the run ended before its end."""

    @property
    def complete(self) -> bool:
        """Whether everything has an outcome."""
        return self.done == self.total and self.gave_up is None

    def in_words(self) -> str:
        """Return one line for people."""
        words = (
            f"{self.total} questions asked of all systems: {self.done - self.found} answered now, {self.found} before"
        )
        if self.failed:
            names = ", ".join(self.failed[:3]) + (" …" if len(self.failed) > 3 else "")
            words += f"; {len(self.failed)} failed ({names}; --retry-failed asks them again)"
        return words + (f". Ended early: {self.gave_up}" if self.gave_up else "")


def run(
    suite: Suite,
    folder: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    advance: Advance = lambda done, total, newest: None,
    report: Callable[[str], None] = lambda step: None,
    opener: Opener = open_engine,
) -> Summary:
    """Ask everything that has no outcome yet, and write the results.

    Args:
        suite: what to measure.
        folder: of the run; made if it isn't there.
        shard: `(i, n)`: every n-th question of each task, from the i-th on.
        retry_failed: ask again what has failed before.
        advance: is told of progress.
        report: is told of steps that take long.
        opener: opens the engines that systems speak on.

    Raises:
        ConfigError: the folder is another run's, or another process runs this shard in it.
        ChorusError: an engine can't be opened, questions can't be had, the folder can't be written to.
    """
    with _alone(folder, f"shard-{shard[0]}-of-{shard[1]}"):
        _same_suite(suite, folder)
        cells = list(cells_of(suite, shard))
        known = {one.key: one for one in gathered(folder)}
        settled = {key for key, one in known.items() if one.status != "failed" or not retry_failed}
        wanted = {cell.key(question) for cell in cells for question in cell.questions}
        summary = Summary(total=len(wanted), found=len(wanted & settled))
        missing = [left for cell in cells if (left := _without(cell, settled)).questions]
        if missing:
            asyncio.run(_Run(suite, folder, summary, advance, report, opener).hold(missing))
        final = {one.key: one for one in collect(folder)}
        summary.done = len(wanted & final.keys())
        summary.failed = [
            "/".join((key[0], key[3])) for key in sorted(wanted & final.keys()) if final[key].status == "failed"
        ]
        return summary


def cells_of(suite: Suite, shard: tuple[int, int] = (1, 1)) -> Iterator[Cell]:
    """Yield the cells of a suite, with the questions that belong to a shard. Raises QuestionError."""
    first, step = shard
    for system in suite.system:
        for name in system.tasks or suite.tasks:
            asked = tasks.load(name, suite.split, system.questions or suite.questions)
            for seed in system.seeds or suite.seeds:
                yield Cell(system, Path(name).stem if "/" in name else name, seed, tuple(asked[first - 1 :: step]))


def gathered(folder: Path) -> list[Outcome]:
    """Return what is known in a run's folder: by its results, by its logs."""
    results = folder / RESULTS
    before = outcomes.read(results) if results.exists() else []
    return logs.together(before, logs.read(folder / LOGS) if (folder / LOGS).is_dir() else [])


def collect(folder: Path) -> list[Outcome]:
    """Write `results.jsonl` anew from what is in the folder, and return it. Raises RecordError."""
    with filelock.FileLock(folder / ".results.lock"):
        found = gathered(folder)
        outcomes.write(found, folder / RESULTS)
    return found


class _Run:
    """One start of a run: its engines, and the evaluations on them."""

    def __init__(
        self,
        suite: Suite,
        folder: Path,
        summary: Summary,
        advance: Advance,
        report: Callable[[str], None],
        opener: Opener,
    ) -> None:
        self._suite = suite
        self._folder = folder
        self._summary = summary
        self._advance = advance
        self._report = report
        self._opener = opener
        self._ended = summary.found
        self._unheard = 0
        """Debates in a row whose every call failed."""
        self._work: asyncio.Task[object] | None = None

    async def hold(self, cells: Sequence[Cell]) -> None:
        self._advance(self._ended, self._summary.total, "")
        models: list[Model] = []
        try:
            evaluations = [await self._evaluation(cell, models) for cell in cells]
            at_once = min(2, self._suite.max_samples, len(evaluations))
            init_display_type("none")
            self._work = asyncio.create_task(
                eval_async(
                    evaluations,
                    log_dir=str(self._folder / LOGS),
                    log_header_only=True,
                    # A sample is on disk when it is done: a kill loses what was being asked, and nothing else.
                    log_buffer=1,
                    log_realtime=False,
                    log_model_api=False,
                    fail_on_error=False,
                    score_display=False,
                    ctl_server=False,
                    # Two cells at once: while the last debates of one run out, the next one's keep the engine busy.
                    max_tasks=at_once,
                    max_samples=-(-self._suite.max_samples // at_once),
                    max_connections=provider.QUEUE,
                )
            )
            with contextlib.suppress(asyncio.CancelledError) if self._summary.gave_up else contextlib.nullcontext():
                await self._work
        except asyncio.CancelledError:
            if not self._summary.gave_up:
                raise
        finally:
            for model in models:
                await model.api.aclose()

    async def _evaluation(self, cell: Cell, models: list[Model]) -> InspectTask:
        """Return a cell as a task of Inspect's, its engine open and among `models`."""
        settings = self._suite.settings_of(cell.system, cell.seed)
        spec = str(settings["engine"])
        model = get_model(f"{provider.NAME}/{spec}", **settings.get("engine_options", {}))
        if model not in models:  # Inspect gives the same one for the same SPEC and options
            models.append(model)
            await provider.opened(model, self._report, self._opener)
        return InspectTask(
            samples.dataset(cell.questions, cell.task),
            solver=self._suite.solver_of(cell.system, cell.seed),
            scorer=graded(),
            cleanup=self._ended_one,
            model=model,
            name=f"{cell.task}-{cell.system.name}".replace("/", "-"),
            metadata={
                "system": cell.system.name,
                "task": cell.task,
                "split": self._suite.split,
                "seed": cell.seed,
                "engine": spec,
            },
        )

    async def _ended_one(self, state: TaskState) -> None:
        self._ended += 1
        self._advance(self._ended, self._summary.total, str(state.sample_id))
        record = samples.kept(state.store)
        self._unheard = self._unheard + 1 if record and every_call_failed(record) else 0
        if record and self._unheard >= GIVE_UP_AFTER and self._summary.gave_up is None:
            self._summary.gave_up = f"the engine has failed {self._unheard} debates in a row: {record.reason}"
            assert self._work is not None
            self._work.cancel()


def _without(cell: Cell, settled: set[tuple[str, str, int, str]]) -> Cell:
    left = tuple(question for question in cell.questions if cell.key(question) not in settled)
    return Cell(cell.system, cell.task, cell.seed, left)


@contextlib.contextmanager
def _alone(folder: Path, part: str) -> Iterator[None]:
    """Hold the right to run a part of a suite in a folder, or say that another process does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f".{part}.lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise ConfigError(f"another process runs {part} in {folder}") from None
    except OSError as error:
        raise RecordError(f"can't write to {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _same_suite(suite: Suite, folder: Path) -> None:
    """Refuse a folder in which a system of this name was measured with other settings; note what is measured."""
    path = folder / SUITE
    try:
        before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError as error:
        raise RecordError(f"can't read {path}: {error}") from error
    now = {
        system.name: {"solver": system.solver, **suite.settings_of(system, 0), "split": suite.split}
        for system in suite.system
    }
    for name, settings in now.items():
        if (old := before.get(name, settings)) != settings:
            changed = sorted(key for key in old.keys() | settings.keys() if old.get(key) != settings.get(key))
            raise ConfigError(
                f"{folder} holds results of another system {name!r} (differs in {', '.join(changed)}): "
                "name another folder, or the system otherwise"
            )
    whole_file.put(path, json.dumps(before | now, indent=1) + "\n")
