"""What is measured: systems that answer the same questions on one server, and what that costs each."""

from __future__ import annotations

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.chorus import Chorus
from chorus.debate import grade
from chorus.engines.openai_opening import open_openai
from chorus.errors import ChorusError
from chorus.types import Question
from evals.bench.peers import environments, patterns, runners
from evals.bench.served import Served, since
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
