"""The chorus beside its peers: same model, same server, same questions. Run `python -m evals.bench.peers`.

Real packages run in environments of their own (`environments.py`), each driven by a small program of ours (`runners.py`);
where a package can't run here, the table says why. Two debate programs are also played as call patterns
(`patterns.py`), and marked so. Every system answers the same questions, one after another, with as many voices and the same
bound on a reply. What it cost is counted at the server, so that all are counted alike; the prefix cache is emptied
between systems, their order is drawn anew each repeat, and failures are counted, not replaced.

Needs an environment with vLLM. Results are written as they come, and a run that was ended goes on where it stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chorus.chorus import Chorus
from chorus.debate import grade
from chorus.engines.openai_opening import open_openai
from chorus.errors import ChorusError
from chorus.types import Question
from evals import report
from evals.bench import charts
from evals.bench.peers import environments, patterns, runners
from evals.bench.served import Served, serve, since
from personas import Library

DEBATE, VOTE, MIX = "debate: 3 voices, 2 rounds", "vote: 5 voices", "mixture: 3 voices, then one more"
CAST = {DEBATE: "decomposer,estimator,skeptic", VOTE: "decomposer,estimator,formalist,skeptic,tester"}
CAST[MIX] = CAST[DEBATE]
ROUNDS = 2
OURS: dict[str, dict[str, Any]] = {
    DEBATE: {"rounds": ROUNDS, "decision": "weighted"},
    VOTE: {"mode": "vote", "decision": "weighted"},
    MIX: {"mode": "vote", "decision": "synthesis"},
}
"""The chorus's settings in each group."""

ASK = ' End with "Answer:" and the answer.'
"""Added to the questions for those that don't ask for it themselves."""

TIMEOUT_S = 300.0
"""For all questions of one system."""

Answers = list[dict[str, Any]]
"""One a question: `id`, `text`, `wall_s`, `error`."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers questions with several voices."""

    name: str
    group: str
    real: str
    """The package that runs; `pattern` for a call pattern."""


SYSTEMS = (
    System("chorus debate", DEBATE, "greek-chorus"),
    System("mallm (memory)", DEBATE, "mallm==1.0.5"),
    System("MALLM's calls", DEBATE, "pattern"),
    System("AutoGen's calls", DEBATE, "pattern"),
    System("chorus vote", VOTE, "greek-chorus"),
    System("optillm majority_voting", VOTE, "optillm==0.4.0"),
    System("optillm self_consistency", VOTE, "optillm==0.4.0"),
    System("its-hub adaptive self-consistency", VOTE, "its-hub==1.2.0"),
    System("chorus synthesis", MIX, "greek-chorus"),
    System("optillm moa", MIX, "optillm==0.4.0"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One system's run over all questions. Tokens and calls are the server's own count."""

    system: str
    repeat: int
    wall_s: float
    """Median a question."""
    correct: int
    failed: int
    questions: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    problem: str | None = None
    """What went wrong first."""

    @property
    def computed(self) -> float:
        """Tokens computed a question: prompt tokens that were not cached, and all that were written."""
        return (self.prompt_tokens - self.cached_tokens + self.completion_tokens) / max(self.questions, 1)


class Bench:
    """Runs the systems on one server."""

    def __init__(self, server: Served, questions: Sequence[Question], max_tokens: int, seed: int) -> None:
        self._server = server
        self._questions = questions
        self._max_tokens = max_tokens
        self._seed = seed

    def run(self, system: System, repeat: int) -> Cell:
        """Have a system answer all questions, and count what that cost."""
        self._server.reset()
        before = self._server.settled()
        problem = None
        try:
            answers = self._answers(system)
        except (environments.NotInstalled, OSError, subprocess.SubprocessError, RuntimeError) as fault:
            answers, problem = [], f"{type(fault).__name__}: {fault}"[-300:]
        used = since(before, self._server.settled())
        by_id = {answer["id"]: answer for answer in answers if not answer["error"]}
        errors = [answer["error"] for answer in answers if answer["error"]]
        walls = [answer["wall_s"] for answer in by_id.values()]
        return Cell(
            system.name,
            repeat,
            statistics.median(walls) if walls else 0.0,
            sum(_right(question, by_id[question.id]["text"]) for question in self._questions if question.id in by_id),
            len(self._questions) - len(by_id),
            len(self._questions),
            calls=int(used["calls"]),
            prompt_tokens=int(used["prompt_tokens"]),
            cached_tokens=int(used["cached_tokens"]),
            completion_tokens=int(used["completion_tokens"]),
            problem=_placeless(problem or (errors[0] if errors else None)),
        )

    def _answers(self, system: System) -> Answers:
        if system.real == "greek-chorus":
            return asyncio.run(self._ours(system))
        if system.real == "pattern":
            return asyncio.run(self._pattern(system))
        return self._real(system)

    async def _ours(self, system: System) -> Answers:
        engine = await open_openai(f"{self._server.url}#{self._server.model}", max_concurrency=64, timeout_s=TIMEOUT_S)
        settings = {"detail": "brief", "max_tokens": self._max_tokens, **OURS[system.group]}
        chorus = Chorus(engine, CAST[system.group], **settings)

        async def answer(question: Question) -> str:
            return str(await chorus.aask(question))

        try:
            return await _timed(self._questions, answer)
        finally:
            await engine.aclose()

    async def _pattern(self, system: System) -> Answers:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        pattern = patterns.mallm if system.name.startswith("MALLM") else patterns.autogen
        cast = [Library.builtin().get(name) for name in CAST[system.group].split(",")]
        client = AsyncOpenAI(
            base_url=self._server.url, api_key="none", http_client=DefaultAsyncHttpxClient(trust_env=False)
        )
        async with client:
            call = patterns.Caller(client, self._server.model, self._max_tokens)

            async def answer(question: Question) -> str:
                return await pattern(call, question.text + ASK, cast, ROUNDS)

            return await _timed(self._questions, answer)

    def _real(self, system: System) -> Answers:
        peer = system.real.partition("==")[0]
        python = environments.python_of(peer)
        cast = [Library.builtin().get(name) for name in CAST[system.group].split(",")]
        job = {
            "url": self._server.url,
            "model": self._server.model,
            "voices": len(cast),
            "rounds": ROUNDS,
            "max_tokens": self._max_tokens,
            "personas": [[persona.name, persona.summary] for persona in cast],
            "questions": [{"id": question.id, "text": question.text + ASK} for question in self._questions],
        }
        if peer != "optillm":
            return _driven(python, {"mallm": runners.MALLM, "its-hub": runners.ITS_HUB}[peer], job)
        with _optillm(python, self._server) as proxy:
            return _driven(python, runners.OPTILLM, job | {"proxy": proxy, "approach": system.name.split()[1]})


async def _timed(questions: Sequence[Question], answer: Callable[[Question], Awaitable[str]]) -> Answers:
    answers = []
    for question in questions:
        began = time.perf_counter()
        try:
            text, error = await answer(question), None
        except (ChorusError, OSError) as fault:
            text, error = "", f"{type(fault).__name__}: {fault}"
        answers.append({"id": question.id, "text": text, "wall_s": time.perf_counter() - began, "error": error})
    return answers


def _driven(python: Path, program: str, job: dict[str, Any]) -> Answers:
    """Run a program of `runners` in a peer's environment; what it said until its time was up counts."""
    process = subprocess.Popen(
        [str(python), "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    try:
        out, err = process.communicate(json.dumps(job), timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err = f"{err}\nit was stopped after {TIMEOUT_S:g} s"
    finally:
        process.kill()
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if not answers:
        raise RuntimeError(" ".join(err.split())[-300:] or "it said nothing")
    return answers


@contextlib.contextmanager
def _optillm(python: Path, server: Served) -> Iterator[str]:
    """Run optillm's own proxy in front of the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python.with_name("optillm")), "--port", str(port), "--base-url", server.url, "--model", server.model]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("optillm's proxy did not start")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def _environment() -> dict[str, str]:
    """Return this process's environment, offline and without what would lead a peer elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "PYTHONPATH"
    }
    return kept | {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _right(question: Question, text: str) -> bool:
    kind = grade.infer_kind(question)
    found = grade.extract(text, kind, question.choices)
    return (
        found is not None and question.answer is not None and grade.same(found, question.answer, kind, question.choices)
    )


def _placeless(words: str | None) -> str | None:
    """Return a complaint's last sentences without this machine's folders."""
    return None if words is None else re.sub(r"\S*/(?=[\w.-]+)", "", words)[-250:]


def questions(number: int, seed: int) -> list[Question]:
    """Return one-digit sums and products, and their answers."""
    draw = random.Random(f"{seed}/peers")
    made = []
    for place in range(number):
        a, b, sign = draw.randint(2, 9), draw.randint(2, 9), "+*"[place % 2]
        right = a + b if sign == "+" else a * b
        made.append(Question(id=f"q{place}", text=f"What is {a} {sign} {b}?", kind="number", answer=str(right)))
    return made


# ---- the report ------------------------------------------------------------------------------------------------------

COLUMNS = (
    "group",
    "system",
    "runs",
    "wall s a question",
    "min–max",
    "ours / this, wall",
    "calls a question",
    "prompt tokens a question",
    "computed a question (prompt and written)",
    "right",
    "failed",
)


def rows(cells: Sequence[Cell]) -> list[tuple[Any, ...]]:
    """Return one line a system: medians over the repeats; the ratio of walls is taken repeat by repeat."""
    made = []
    for system in SYSTEMS:
        mine = [cell for cell in cells if cell.system == system.name]
        if not mine:
            continue
        ours = {cell.repeat: cell for cell in cells if cell.system == _ours_in(system.group)}
        ratios = [ours[cell.repeat].wall_s / cell.wall_s for cell in mine if cell.wall_s and cell.repeat in ours]
        walls = [cell.wall_s for cell in mine if cell.wall_s]
        asked = mine[0].questions
        made.append(
            (
                system.group,
                system.name,
                system.real,
                statistics.median(walls) if walls else "failed",
                f"{min(walls):.2f}–{max(walls):.2f}" if walls else "",
                statistics.median(ratios) if ratios else "",
                statistics.median(cell.calls / asked for cell in mine),
                statistics.median(cell.prompt_tokens / asked for cell in mine),
                statistics.median(cell.computed for cell in mine),
                f"{sum(cell.correct for cell in mine)} of {asked * len(mine)}",
                sum(cell.failed for cell in mine),
            )
        )
    return made


def verdicts(cells: Sequence[Cell]) -> list[str]:
    """Say for each group who was fastest and who computed least, the chorus or not."""
    told = []
    for group in dict.fromkeys(system.group for system in SYSTEMS):
        lines = [row for row in rows(cells) if row[0] == group and isinstance(row[3], float) and not row[10]]
        if lines:
            fastest, leanest = min(lines, key=lambda row: row[3]), min(lines, key=lambda row: row[8])
            told.append(f"{group}: fastest is {fastest[1]}, fewest tokens are computed by {leanest[1]}")
    return told


def _ours_in(group: str) -> str:
    return next(system.name for system in SYSTEMS if system.group == group and system.real == "greek-chorus")


def write(cells: Sequence[Cell], options: argparse.Namespace) -> Path:
    """Write what has been measured so far."""
    problems = {cell.system: cell.problem for cell in cells if cell.problem}
    groups = list(dict.fromkeys(system.group for system in SYSTEMS))
    middles = {row[1]: row[3] for row in rows(cells)}
    charts.bars(
        options.folder / "peers.svg",
        "Seconds a question, same model and server",
        groups,
        {
            system.name: [
                middles[system.name]
                if group == system.group and isinstance(middles.get(system.name), float)
                else float("nan")
                for group in groups
            ]
            for system in SYSTEMS
            if system.name in middles
        },
        "median seconds",
    )
    return report.write(
        "peers",
        f"The chorus beside its peers on one vLLM server, {options.model}, at most {options.max_tokens} tokens a reply",
        "python -m evals.bench.peers",
        COLUMNS,
        rows(cells),
        seed=options.seed,
        notes=[
            *verdicts(cells),
            *(f"{name}: {problem}" for name, problem in problems.items()),
            "`pattern` rows are played by a small driver of ours: who is called when, and what each reads, is the program's",
            "mallm runs by its own Coordinator; its Scheduler loads two sentence-transformers models from a hub",
            "calls and tokens are the server's count; failed calls that a peer repeated are in them",
            f"{options.questions} one-digit sums and products, one after another; `right` by the chorus's own grading",
        ],
        data={"settings": _settings(options), "cells": [asdict(cell) for cell in cells]},
        plots=["peers.svg"],
        folder=options.folder,
    )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = ("model", "questions", "max_tokens", "seed", "server_args")
    return {name: getattr(options, name) for name in names}


def kept(options: argparse.Namespace) -> list[Cell]:
    """Return what an earlier run with the same settings has measured."""
    file = options.folder / "peers.json"
    if options.anew or not file.exists():
        return []
    data = json.loads(file.read_text())["data"]
    return [Cell(**cell) for cell in data["cells"]] if data.get("settings") == _settings(options) else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the results as they come, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=64, help="bound on a reply  [64]")
    parser.add_argument("--only", default="", help="systems whose names begin with this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--anew", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument("--prepare", action="store_true", help="make the peers' environments, and nothing else")
    parser.add_argument("--folder", type=Path, default=report.RESULTS)
    parser.add_argument("--server-args", default="", help="arguments of vLLM's server, in one string")
    options = parser.parse_args(arguments)
    for peer in environments.PACKAGES:
        try:
            environments.python_of(peer)
        except environments.NotInstalled as fault:
            print(f"{peer} can't be installed: {fault}")
    if options.prepare:
        return
    cells = kept(options)
    chosen = [system for system in SYSTEMS if system.name.startswith(options.only)]
    with serve(options.model, options.server_args.split()) as server:
        bench = Bench(server, questions(options.questions, options.seed), options.max_tokens, options.seed)
        for repeat in range(options.repeats):
            order = random.Random(f"{options.seed}/{repeat}").sample(chosen, len(chosen))
            for system in order:
                if not any((cell.system, cell.repeat) == (system.name, repeat) for cell in cells):
                    cell = bench.run(system, repeat)
                    cells.append(cell)
                    print(f"{system.name:36}{cell.wall_s:8.2f} s  {cell.computed:8.0f} computed  {cell.failed} failed")
                    write(cells, options)
    print(write(cells, options).read_text())


if __name__ == "__main__":
    main()
