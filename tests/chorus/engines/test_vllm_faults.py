"""vLLM under bad luck and bad input: by way of its server and in this process, with the same cases.

What can't be tried without a GPU: memory that runs out on one, and adapters in its own kernels.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from debates import LIBRARY, plan
from test_vllm_local import checkpoint, make_adapter
from vllm_server import MODEL, START_S, VllmServer

from chorus import checkpoints
from chorus.debate.budget import Limits
from chorus.debate.scheduler import SETTLED, Debate
from chorus.engines.base import Completion, Engine, Request, Sampling
from chorus.engines.registry import open_engine
from chorus.engines.turnstile import Turnstile
from chorus.errors import ConfigError, ContextTooLong, EngineError
from chorus.record import events
from chorus.types import Answer, Message, Question

psutil = pytest.importorskip("psutil", reason="it comes with vLLM")

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

WINDOW = 1024
SEATS = ("skeptic", "estimator", "formalist")
CAST = {seat: LIBRARY.get(seat) for seat in SEATS}
SUM = Question(text="What is 7 * 8?", kind="number")
BRIEF = {"detail": "brief", "openness": None, "decision": "plurality", "max_tokens": 24}


@dataclasses.dataclass(frozen=True)
class Case:
    """A route to vLLM."""

    engine: Engine
    busy: Callable[[], Awaitable[int]]
    """Counts the requests that vLLM's scheduler holds."""
    kill: Callable[[], None]
    """Kills what computes."""
    server: VllmServer | None = None


@asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[Case]:
    engine = await open_engine(f"vllm:{MODEL}", max_model_len=WINDOW, kv_cache_memory_bytes=1 << 30)

    async def busy() -> int:
        return engine.load.running + engine.load.waiting

    yield Case(engine, busy, kill_workers)


@asynccontextmanager
async def by_server(folder: Path) -> AsyncIterator[Case]:
    adapter = make_adapter(folder / "adapter")
    more = ("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"noise={adapter}")
    server = VllmServer(checkpoints.resolve(MODEL), folder / "server.log", *more, max_model_len=WINDOW)
    try:
        await asyncio.to_thread(server.wait)
        engine = await open_engine(f"openai:{server.root}/v1#{MODEL}", max_concurrency=32)
        yield Case(engine, lambda: asyncio.to_thread(server.running), server.kill, server)
    finally:
        await asyncio.to_thread(server.stop)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param(in_process, id="in process"), pytest.param(by_server, id="by server")],
)
async def route(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Case]:
    folder = tmp_path_factory.mktemp("vllm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))  # where the log of an engine's death is kept
        async with request.param(folder) as case:
            yield case
            await case.engine.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def case(route: Case) -> AsyncIterator[Case]:
    """A route that works, whatever became of it in the test before. A server that dies fails the test that it died in."""
    if route.server:
        await asyncio.to_thread(route.server.revive)
    yield route
    died = route.server and route.server.death()
    assert not died, f"the vLLM server died of this test:\n{died}"


def kill_workers() -> None:
    """Kill the processes that an engine in this process computes in."""
    family = psutil.Process().children(recursive=True)
    workers = [child for child in family if "Worker" in child.name() + " ".join(child.cmdline())]
    assert workers
    for worker in workers:
        worker.kill()


def children() -> set[int]:
    """The processes that were started from here and still run."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


async def ask(engine: Engine, text: str, **sampling) -> Completion:
    return await engine.generate(Request(user(text), Sampling(**sampling)), lambda piece: None)


async def comes_to(case: Case, busy: bool, within_s: float) -> bool:
    """Wait until vLLM says that it holds requests, or that it holds none."""
    until = time.monotonic() + within_s
    while bool(await case.busy()) is not busy:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.05)
    return True


async def idle(case: Case, within_s: float = 60.0) -> bool:
    """Wait until vLLM says that it holds no request."""
    return await comes_to(case, False, within_s)


def debate(engine: Engine, question: Question = SUM, seats=SEATS, spec="complete:visibility=answer", **more) -> Debate:
    limits = {name: more.pop(name) for name in list(more) if name in Limits.__dataclass_fields__}
    drawn = plan(spec, seats, **{**BRIEF, **more})
    return Debate(drawn, question, {seat: CAST[seat] for seat in seats}, engine, limits=Limits(**limits))


# Loads that can't be borne


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"kv_cache_memory_bytes": 1 << 44}, "out of memory|too little memory"),
        ({"max_model_len": 8192, "kv_cache_memory_bytes": 64 << 20}, "too little memory for its KV cache"),
    ],
    ids=["cache", "window"],
)
async def test_what_memory_cant_hold_is_one_error_and_leaves_no_process(options, wrong, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = children()
    with pytest.raises(EngineError, match=wrong) as refused:
        await open_engine(f"vllm:{MODEL}", **options)
    assert "engine option" in str(refused.value), "it says what to change"
    assert "Traceback" not in str(refused.value)
    for _ in range(100):
        if not children() - before:
            break
        await asyncio.sleep(0.1)
    assert not children() - before


async def test_a_server_without_a_chat_template_is_named_for_it(tmp_path):
    folder = checkpoint(tmp_path / "plain", chat_template__jinja=None)
    server = VllmServer(folder, tmp_path / "server.log", max_model_len=WINDOW)
    try:
        await asyncio.to_thread(server.wait)
        engine = await open_engine(f"openai:{server.root}/v1#{MODEL}")
        answer = await debate(engine).hold()
        await engine.aclose()
    finally:
        await asyncio.to_thread(server.stop)
    assert answer.status == "failed"
    assert "chat template" in answer.reason
    assert "--chat-template" in answer.reason, "it says what to do"


# Adapters, as a server lists them


async def test_an_adapter_of_a_server_is_a_model(case):
    if case.server is None:
        pytest.skip("in this process an adapter is an option (test_vllm_local)")
    adapted = await open_engine(f"openai:{case.server.root}/v1#noise")
    try:
        said = await ask(adapted, "What is the capital of France?", max_tokens=12)
    finally:
        await adapted.aclose()
    assert adapted.info.spec.endswith("#noise")
    assert adapted.info.context_window == WINDOW
    assert said.text != (await ask(case.engine, "What is the capital of France?", max_tokens=12)).text


async def test_an_unknown_adapter_is_refused_with_the_known_ones(case):
    if case.server is None:
        with pytest.raises(ConfigError, match=r"no LoRA adapter 'noize': did you mean 'noise'\? lora names noise"):
            await open_engine(f"vllm:{MODEL}", lora={"noise": "/nowhere"}, adapter="noize")
        return
    with pytest.raises(ConfigError, match=rf"'noize': did you mean 'noise'\? It serves {MODEL}, noise"):
        await open_engine(f"openai:{case.server.root}/v1#noize")


# The last tokens of the window


async def filled(engine: Engine, tokens: int, write: Callable[[str], tuple[Message, ...]]) -> str:
    """Return the words that make a prompt just so long."""
    words = tokens - await engine.count(write("")) - 16
    while await engine.count(write("word " * words + "end")) < tokens:
        words += 1
    assert await engine.count(write("word " * words + "end")) == tokens
    return "word " * words + "end"


async def test_one_token_that_is_left_can_be_written_and_none_is_refused(case):
    one_left = await filled(case.engine, WINDOW - 1, user)
    said = await ask(case.engine, one_left, max_tokens=1)
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (WINDOW - 1, 1)
    for text, asked in ((one_left, 2), (await filled(case.engine, WINDOW, user), 1)):
        with pytest.raises(ContextTooLong):
            await ask(case.engine, text, max_tokens=asked)
    assert await idle(case)


async def test_a_question_that_leaves_no_room_fails_its_debate_by_name(case):
    answer = await debate(case.engine, Question(text="word " * WINDOW, kind="number")).hold()
    assert answer.status == "failed"
    assert "shorten the question" in answer.reason
    assert str(WINDOW) in answer.reason
    assert not await case.busy()


# Many at once


async def test_a_hundred_debates_at_once_are_held_in_order(case):
    """100 debates of two voices, 16 calls at once: none is overtaken by more than were inside with it."""
    count, limit, ended, peak = 100, 16, [], 0
    turnstile = Turnstile(case.engine, limit=limit, max_waiting=2 * count)
    resident = psutil.Process().memory_info().rss

    async def hold(number: int) -> Answer:
        asked = Question(id=f"q{number}", text=f"What is {number} + 1?", kind="number")
        answer = await debate(turnstile.lane("anna"), asked, SEATS[:2], "none", rounds=1, max_tokens=4).hold()
        ended.append(number)
        return answer

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, await case.busy())
            await asyncio.sleep(0.05)

    watcher = asyncio.create_task(watch())
    try:
        async with asyncio.TaskGroup() as crowd:
            held = [crowd.create_task(hold(number)) for number in range(count)]
    finally:
        watcher.cancel()
    answers = [one.result() for one in held]
    assert [turn.status for answer in answers for turn in answer.turns] == ["done"] * 2 * count
    assert 1 <= peak <= limit
    assert max(abs(place - number) for place, number in enumerate(ended)) <= 2 * limit
    assert psutil.Process().memory_info().rss - resident < 128 << 20
    assert await idle(case)


async def test_a_thousand_streams_dropped_at_any_moment_leave_no_request(case):
    """Some are dropped while they wait, some at their first words, some later; 48 are open at once."""
    chance, slots, dropped = random.Random(7), asyncio.Semaphore(48), []

    async def drop(number: int, after_s: float, after_pieces: int) -> None:
        heard: list[str] = []
        gone = asyncio.Event()

        def hear(piece: str) -> None:
            heard.append(piece)
            if len(heard) >= after_pieces:
                gone.set()

        async with slots:
            request = Request(user(f"Tell story {number % 9}."), Sampling(max_tokens=400), debate=str(number))
            call = asyncio.create_task(case.engine.generate(request, hear))
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gone.wait(), after_s)
                dropped.append(len(heard))
            finally:
                call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call

    moments = [(chance.choice((0, 0.01, 0.2, 60)), chance.choice((1, 1, 2, 4))) for _ in range(1000)]
    async with asyncio.TaskGroup() as storm:  # if one fails the rest end with it, and trouble no other test
        for number, moment in enumerate(moments):
            storm.create_task(drop(number, *moment))
    assert min(dropped) == 0
    assert max(dropped) >= 2, "some were dropped amid their words"
    assert await idle(case)
    assert (await ask(case.engine, "What is 7 * 8?", max_tokens=4)).text


# An outcome that can no longer change


class Rigged:
    """Lets vLLM compute every call, of which two voices' are short and agree, and the third's is long."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._engine = case.engine
        self.info = case.engine.info
        self.count = case.engine.count
        self.seen: list[bool] = []
        """Whether vLLM held a request when a short call had ended, and its voice had not yet been heard."""
        self.token_s = 0.0
        """Seconds that a token of a short call took."""

    async def generate(self, request: Request, emit) -> Completion:
        if request.id.endswith(".formalist"):
            long = Request(user("Tell a long story about a river."), Sampling(max_tokens=900), request.id)
            return await self._engine.generate(long, emit)
        short = dataclasses.replace(request, sampling=Sampling(max_tokens=12))
        said = await self._engine.generate(short, emit)
        self.token_s = max(self.token_s, said.usage.wall_s / said.usage.completion_tokens)
        self.seen.append(await comes_to(self._case, True, 60))
        return dataclasses.replace(said, text="Answer: 56", logprobs=())


async def test_when_the_outcome_is_settled_what_is_in_flight_is_aborted_in_vllm(case):
    assert await idle(case)
    engine, aborted = Rigged(case), case.engine.calls.aborted
    answer = await debate(engine, spec="none", rounds=1).hold()
    assert engine.seen == [True, True], "the long call was being computed when the short ones had ended"
    assert await idle(case, 200 * engine.token_s), "it has 900 tokens to write"
    late = next(turn for turn in answer.turns if turn.seat == "formalist")
    assert (answer.status, answer.answer, late.status, late.reason) == ("done", "56", "cancelled", SETTLED)
    assert case.engine.calls.aborted == aborted + 1


# Engines that are killed


async def killed_in_round_two(case: Case, then: Callable[[], None] = lambda: None, **limits) -> Answer:
    """Hold a debate, kill what computes it amid the second round, and return what came of it."""
    held, killed = debate(case.engine, rounds=2, **limits), False
    async with aclosing(held.run()) as stream:
        async for event in stream:
            if isinstance(event, events.TurnDelta) and event.turn.startswith("2.") and not killed:
                killed = True
                await asyncio.to_thread(case.kill)
                then()
            if isinstance(event, events.Decided):
                answer = event.answer
    assert killed
    return answer


async def test_a_server_that_is_killed_and_restarted_is_waited_for(case):
    if case.server is None:
        pytest.skip("an engine in this process is opened again by whoever opened it")
    answer = await killed_in_round_two(case, case.server.start, patience_s=START_S)
    assert answer.status == "done", answer.reason
    assert not [turn for turn in answer.turns if turn.status == "failed"]
    assert any("the engine could not be reached for" in note for note in answer.notes), answer.notes
    assert sum(turn.usage.calls for turn in answer.turns) > 6, "what broke off was called again"


async def test_an_engine_that_is_killed_for_good_leaves_the_best_decision_so_far(case):
    started = time.monotonic()
    answer = await killed_in_round_two(case, patience_s=4)
    assert answer.status == "cut"
    assert answer.answer is not None, "the first drafts stand"
    assert "voices failed in round 2" in answer.reason
    assert ("vLLM's engine died" if case.server is None else "can't reach http") in answer.reason
    assert time.monotonic() - started < 60
    assert json.loads(answer.model_dump_json())["turns"]
