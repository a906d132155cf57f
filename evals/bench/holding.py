"""Holds debates in the ways of `ways.py` on a server, and measures each.

Invariants:

- the prefix cache is empty before each measurement, and nothing else runs on the server meanwhile;
- the order of the ways is drawn anew for each repeat, so that none always runs on a warm or a throttled machine;
- the engine's limit is measured right after the run whose calls it replays;
- a debate that lost a turn is no measurement: it raises.
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.debate.topology import turn_id
from chorus.engines.base import Engine
from chorus.engines.openai_opening import open_openai
from chorus.types import Answer
from evals.bench.driving import Agreeing, Barrier, Call, Noting, Paced, lengths, replay
from evals.bench.served import since
from evals.bench.ways import BATCH, CAST, LIMIT, OURS, PARTS, ROUNDS, SEATS, SPREAD, Cell, Part, Way, asked


class Server(Protocol):
    """What is measured on: `served.Served`, or a stand-in."""

    url: str
    model: str

    def counters(self) -> dict[str, float]:
        """Return what has been counted so far."""
        ...

    def settled(self) -> dict[str, float]:
        """Return the same, once nothing runs."""
        ...

    def reset(self) -> None:
        """Empty the prefix cache."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """Debates that were held at once. Times are seconds on the performance counter."""

    began: float
    ended: float
    answers: tuple[Answer, ...]
    calls: tuple[Call, ...]
    """Those that were answered, as they ended."""
    begun: int
    """How many were made."""
    counted: dict[str, float]
    """What the server counted meanwhile."""
    latencies: tuple[float, ...] = ()
    """Seconds from each question to its answer, in the order of the questions."""

    @property
    def wall_s(self) -> float:
        """Seconds from the first question to the last answer."""
        return self.ended - self.began

    @property
    def heard(self) -> dict[str, tuple[str, ...]]:
        """Turn id -> what it waits for: the turns that it hears of the round before."""
        return {turn.id: turn.heard for turn in self.answers[0].turns}


class Bench:
    """Measures on one server, and keeps what was measured, by the cells' keys.

    Args:
        server: with the model.
        tokens: mean length of a turn.
        seed: of the lengths and of the order of the ways.
        done: measured before; not measured again.
        report: is told of each measurement.
    """

    def __init__(
        self,
        server: Server,
        tokens: int,
        seed: int,
        done: Iterable[Cell] = (),
        report: Callable[[str], None] = print,
    ) -> None:
        self.cells = {cell.key: cell for cell in done}
        self._server = server
        self._tokens = tokens
        self._seed = seed
        self._report = report

    def measure(
        self,
        part: Part,
        debates: int,
        repeat: int,
        kept: Callable[[], object] = lambda: None,
        ways: Sequence[Way] | None = None,
    ) -> None:
        """Measure each way of a part once, or those named, but for what is there already. `kept` is called after each.

        Raises:
            RuntimeError, ChorusError: as `hold`.
        """
        order = list(PARTS[part] if ways is None else ways)
        random.Random(f"{self._seed}/{part}/{debates}/{repeat}").shuffle(order)
        for way in order:
            wanted = [way.name, *((LIMIT, BATCH) if way.name == OURS else ())]
            if all((part, name, debates, repeat) in self.cells for name in wanted):
                continue
            for cell in asyncio.run(self._cells(part, way, debates, repeat)):
                self.cells[cell.key] = cell
                self._report(
                    f"{part:7}{cell.way:38}{debates:3} at once{cell.wall_s:8.2f} s{cell.computed_tokens:8} computed"
                )
            kept()

    async def _cells(self, part: Part, way: Way, debates: int, repeat: int) -> list[Cell]:
        held = await self.hold(part, way, debates)
        place = (part, way.name, debates, repeat)
        cells = [_cell(place, held.wall_s, held.begun, held.counted, _latencies(held))]
        for name, waits in ((LIMIT, held.heard), (BATCH, None)) if way.name == OURS else ():
            replayed = functools.partial(replay, self._server.url, self._server.model, held.calls, waits)
            wall, counted = await self._counted(replayed)
            cells.append(_cell((part, name, debates, repeat), wall, len(held.calls), counted))
        return cells

    async def hold(self, part: Part, way: Way, debates: int, after: Sequence[float] = ()) -> Held:
        """Hold debates on an empty cache: all at once, or each `after` so many seconds.

        Raises:
            RuntimeError: a turn failed, so that the times are not those of the whole debate.
            ChorusError: nothing could be decided, or the server can't be reached.
        """
        address = f"{self._server.url}#{self._server.model}"
        engine = await open_openai(address, extra_body={"ignore_eos": True}, max_concurrency=1024, timeout_s=3600.0)
        try:
            noting = Noting(Paced(engine, self._lengths(part)))
            chorus = self._chorus(Barrier(noting, len(SEATS)) if way.barrier else noting, way)
            questions = [asked(number) for number in range(debates)]
            ask = functools.partial(_ask, chorus, questions, after or [0.0] * debates)
            (began, ended, answers, latencies), counted = await self._counted(ask)
        finally:
            await engine.aclose()
        _check(way, answers)
        return Held(began, ended, answers, tuple(noting.calls), noting.begun, counted, latencies)

    def _chorus(self, engine: Engine, way: Way) -> Chorus:
        return Chorus(
            Agreeing(engine),
            CAST,
            settings=Settings(),  # not those of the folder or the environment that this happens to run in
            topology=way.topology,
            rounds=ROUNDS,
            decision=way.decision,
            layout=way.layout,
            detail="full",
            concurrency=way.concurrency,
            max_tokens=3 * self._tokens,
            attempts=1,
        )

    def _lengths(self, part: Part) -> dict[str, int]:
        turns = [turn_id(number, seat) for number in range(1, ROUNDS + 1) for seat in SEATS]
        return lengths(turns, self._tokens, spread=SPREAD if part == "uneven" else 0.0, seed=self._seed)

    async def _counted(self, work: Callable[[], Awaitable[Any]]) -> tuple[Any, dict[str, float]]:
        """Do the work on an empty cache, and return what came of it and what the server counted."""
        self._server.reset()
        before = self._server.counters()
        result = await work()
        # In a thread: connections that are being closed need this loop.
        return result, since(before, await asyncio.to_thread(self._server.settled))


async def _ask(
    chorus: Chorus, questions: Sequence[str], after: Sequence[float]
) -> tuple[float, float, tuple[Answer, ...], tuple[float, ...]]:
    async def one(question: str, wait_s: float) -> tuple[Answer, float]:
        await asyncio.sleep(wait_s)
        began = time.perf_counter()
        return await chorus.aask(question), time.perf_counter() - began

    began = time.perf_counter()
    held = await asyncio.gather(*map(one, questions, after))
    answers, latencies = zip(*held, strict=True)
    return began, time.perf_counter(), answers, latencies


def _check(way: Way, answers: Sequence[Answer]) -> None:
    fine = ("done", "cancelled") if way.may_stop else ("done",)
    lost = [turn for answer in answers for turn in answer.turns if turn.status not in fine]
    if lost:
        raise RuntimeError(f"{way.name}: {len(lost)} turns were not spoken, the first because: {lost[0].reason}")


def _cell(
    place: tuple[Part, str, int, int],
    wall_s: float,
    calls: int,
    counted: dict[str, float],
    latencies: tuple[float | None, float | None, float | None] = (None, None, None),
) -> Cell:
    prompt, cached, written = (int(counted[f"{name}_tokens"]) for name in ("prompt", "cached", "completion"))
    return Cell(*place, wall_s, prompt, cached, written, calls, *latencies)


def _latencies(held: Held) -> tuple[float, float, float]:
    """Return the time of the first token, and the median and 95th percentile of the turns'."""
    turns = sorted(call.ended - call.began for call in held.calls)
    firsts: dict[str, float] = {}
    for call in held.calls:
        firsts[call.request.debate] = min(firsts.get(call.request.debate, math.inf), call.first - held.began)
    return statistics.median(firsts.values()), statistics.median(turns), turns[math.ceil(0.95 * len(turns)) - 1]
