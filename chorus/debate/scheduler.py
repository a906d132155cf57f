"""The debate as a dataflow: a turn starts the moment the turns it hears are in.

The rounds of the plan, unrolled over its graph, give a DAG of turns. `Debate.run` walks it and gives off one stream of
events, the last of which holds the answer. Invariants:

- every place in the DAG ends as exactly one turn in the record: done, failed, or cancelled with its reason;
- a failed turn is silence: those who would have heard it go on without, while a quorum of seats can speak;
- a spent budget ends the debate with the best decision so far, never with an exception;
- leaving the stream cancels every call in flight before `run` returns;
- on an engine with a virtual clock the same plan, question and seed give the same events.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from typing import Any

from chorus.debate import decide
from chorus.debate.budget import Budget, Limits
from chorus.debate.floor import Floor, Node
from chorus.debate.prompts import Prompter
from chorus.debate.speaker import COORDINATOR, JUDGE, BudgetSpent, Draft, Speaker
from chorus.engines.base import Engine
from chorus.errors import ChorusError
from chorus.record import events
from chorus.record.events import Event
from chorus.types import Answer, DebateStatus, Decision, Plan, Question, SeatPlan, Turn, Usage
from personas.persona import Persona


class Debate:
    """One debate, from its plan to its answer. Used once. Turns already `spoken` are not spoken again."""

    def __init__(
        self,
        plan: Plan,
        question: Question,
        cast: Mapping[str, Persona],
        engine: Engine,
        *,
        seed: int = 0,
        limits: Limits | None = None,
        versions: Mapping[str, str] | None = None,
        spoken: Iterable[Turn] = (),
    ) -> None:
        self.id = _debate_id(plan, question, seed)
        self._plan = plan
        self._question = question
        self._cast = dict(cast)
        self._seed = seed
        self._versions = dict(versions or {})
        self._limits = limits or Limits()
        self._seats = {seat.seat: seat for seat in plan.seats}
        self._floor = Floor(plan, question)
        for turn in spoken:
            self._floor.add(turn)
        self._speaker = Speaker(
            plan,
            question,
            Prompter(plan, question, self._cast),
            self._floor,
            engine,
            Budget(self._limits),
            seed,
            self.id,
            self._emit,
            self._note,
            self._now,
        )
        self._slots = asyncio.Semaphore(self._limits.concurrency)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._running: dict[Node, asyncio.Task[None]] = {}
        self._notes: list[str] = []
        self._began = 0.0
        self._cut: str | None = None
        """Why the debate ends before its plan does; set once."""
        self._settled: str | None = None
        """Why no further speech is needed; set once."""

    async def run(self) -> AsyncGenerator[Event]:
        """Hold the debate. Closing the iterator cancels whatever is in flight."""
        self._began = asyncio.get_running_loop().time()
        driver = asyncio.create_task(self._drive())
        driver.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await driver
        finally:
            driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await driver

    def record(self, reason: str) -> Answer:
        """Return the record as it stands, of a debate that is being abandoned; decided without the engine."""
        self._cut = self._cut or reason
        return self._conclude()

    # ---- the course of a debate ----------------------------------------------------------------------------------

    async def _drive(self) -> None:
        self._emit(
            events.Convened(
                debate=self.id,
                question=self._question,
                plan=self._plan,
                personas={name: card.sha256 for name, card in self._cast.items()},
                seed=self._seed,
            )
        )
        alarm = None
        if self._limits.max_seconds is not None:
            ran_out = f"the budget of {self._limits.max_seconds:g} seconds is spent"
            alarm = asyncio.get_running_loop().call_later(self._limits.max_seconds, self._stop, ran_out)
        try:
            if self._plan.mode != "inner":
                await self._walk()
            elif not self._floor.turns:
                await self._hold_inner()
            if self._cut is None and self._floor.answers():
                await self._ask_what_the_rule_needs()
        finally:
            if alarm:
                alarm.cancel()
            await self._cancel_running()
        answer = self._conclude()
        self._emit(events.Decided(at=self._now(), answer=answer))

    async def _walk(self) -> None:
        """Release every turn as soon as the turns it hears are in, until none is left."""
        dag = self._floor.dag.subgraph(node for node in self._floor.dag if node not in self._floor)
        missing = {node: dag.in_degree(node) for node in dag}
        ready = [node for node, count in missing.items() if not count]
        # Under this rule the debate may end after any round, so each round waits for the one before it.
        in_rounds = self._plan.decision == "unanimity"
        held: list[Node] = []
        while ready or self._running:
            for node in ready:
                self._start(node, Draft(node, self._seats[node[1]], "speech", self._floor.newly_heard(node)))
            ready = []
            done, _ = await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
            for node in [node for node, task in self._running.items() if task in done]:
                self._running.pop(node).result()
                for follower in dag.successors(node):
                    missing[follower] -= 1
                    if not missing[follower]:
                        (held if in_rounds else ready).append(follower)
                self._look_around(node)
            if in_rounds and not self._running:
                self._look_for_unanimity(held)
                ready, held = held, []
            if self._cut or self._settled:
                ready = []

    def _look_around(self, node: Node) -> None:
        """After a turn: is there still a quorum, and can the outcome still change?"""
        turns = self._floor.turns
        needed = math.ceil(self._limits.quorum * len(self._seats))
        failed = [turn for turn in turns if turn.round == node[0] and turn.status == "failed"]
        if len(self._seats) - len(failed) < needed:
            self._stop(f"{len(failed)} of {len(self._seats)} voices failed in round {node[0]}: {failed[-1].reason}")
        elif (
            node[0] == self._plan.rounds
            and not self._settled
            and any(not task.done() for task in self._running.values())
        ):
            names = list(self._seats)
            if decide.settled(self._plan.decision, self._question, self._plan.kind, turns, names, self._plan.rounds):
                self._settled = "the outcome could no longer change"
                self._note("stopped early: the votes still to come could not change the outcome")
                for task in self._running.values():
                    task.cancel()

    def _look_for_unanimity(self, held: list[Node]) -> None:
        spoken = self._floor.speeches()
        if held and decide.unanimous(self._question, self._plan.kind, spoken, list(self._seats), spoken[-1].round):
            self._settled = "all voices agreed"
            self._note(f"ended after round {spoken[-1].round}: all voices agreed")

    async def _hold_inner(self) -> None:
        first = self._plan.seats[0]
        seat = SeatPlan(seat=COORDINATOR, persona=COORDINATOR, temperature=first.temperature, top_p=first.top_p)
        draft = Draft((self._plan.rounds + 1, COORDINATOR), seat, "ruling")

        async def speak() -> Turn:
            voices, ruling = await self._speaker.inner(draft)
            for turn in voices:
                self._emit(events.TurnFinished(at=self._now(), turn=turn))
            return ruling

        await self._to_its_end(draft, speak())

    async def _ask_what_the_rule_needs(self) -> None:
        """Hold the ballot, or hear the judge or the coordinator, where the rule can't do without."""
        last = self._plan.rounds + 1
        needs = decide.rule(self._plan.decision).needs
        if needs is None or any(turn.kind == needs for turn in self._floor.turns):
            return
        if needs == "ballot":
            options = self._floor.answers()
            voters = {turn.seat for turn in self._floor.speeches()} if len(options) > 1 else set()
            drafts = [
                Draft((last, name), seat, needs, self._floor.newly_heard((last, name)))
                for name, seat in self._seats.items()
                if name in voters
            ]
            work = [(draft, self._speaker.ballot(draft, options)) for draft in drafts]
        else:
            name = JUDGE if needs == "ruling" else COORDINATOR
            everything = tuple(turn.id for turn in self._floor.speeches())
            seat = SeatPlan(seat=name, persona=name, temperature=0.0, top_p=1.0)
            draft = Draft((last, name), seat, needs, everything)
            work = [(draft, self._speaker.close(draft))]
        for draft, speak in work:
            self._running[draft.node] = asyncio.create_task(self._to_its_end(draft, speak))
        if self._running:
            await asyncio.wait(self._running.values())
            self._running.clear()

    def _conclude(self) -> Answer:
        self._close_places(self._cut or self._settled or "the debate ended before it")
        decision = self._decide(self._plan.decision)
        status: DebateStatus = "cut" if self._cut else "done"
        reason = self._cut
        if decision.answer is None:
            status = "failed"
            failures = [turn.reason for turn in self._floor.turns if turn.status == "failed"]
            reason = self._cut or (failures[-1] if failures else "no voice gave an answer")
        return self._answer(decision, status, reason)

    # ---- turns ---------------------------------------------------------------------------------------------------

    def _start(self, node: Node, draft: Draft) -> None:
        self._running[node] = asyncio.create_task(self._to_its_end(draft, self._speaker.speech(draft)))

    async def _to_its_end(self, draft: Draft, work: Coroutine[Any, Any, Turn]) -> None:
        """Await a turn and record it, whatever becomes of it."""
        try:
            async with self._slots:
                turn = await work
        except BudgetSpent as spent:
            self._cut = self._cut or str(spent)
            self._cancelled(draft, str(spent))
        except ChorusError as error:
            turn = draft.close("failed", str(error))
            self._floor.add(turn)
            self._emit(events.TurnFailed(at=self._now(), turn=turn))
        except asyncio.CancelledError:
            work.close()  # it may not have been awaited yet
            if not (self._cut or self._settled):
                self._cut = "interrupted"
            self._cancelled(draft, self._cut or self._settled or "")
        else:
            self._floor.add(turn)
            self._emit(events.TurnFinished(at=self._now(), turn=turn))
            if turn.kind == "speech" and turn.position:
                pure = decide.rule(self._plan.decision).needs is None
                moved = self._decide(self._plan.decision if pure else "plurality")
                self._emit(events.SupportMoved(at=self._now(), decision=moved))

    def _cancelled(self, draft: Draft, reason: str) -> None:
        turn = draft.close("cancelled", reason)
        self._floor.add(turn)
        self._emit(events.TurnCancelled(at=self._now(), turn=turn))

    def _stop(self, reason: str) -> None:
        """End the debate now: cancel what is in flight, start nothing more."""
        self._cut = self._cut or reason
        for task in self._running.values():
            task.cancel()

    async def _cancel_running(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _close_places(self, reason: str) -> None:
        """Give every place of the DAG that has no turn a cancelled one. An inner chorus has no places to fill."""
        if self._plan.mode == "inner" or self._settled == "all voices agreed":
            return
        for node in self._floor.dag:
            if node not in self._floor:
                self._floor.add(Draft(node, self._seats[node[1]], "speech").close("cancelled", reason))

    # ---- what goes out -------------------------------------------------------------------------------------------

    def _decide(self, rule: str) -> Decision:
        return decide.decide(rule, self._question, self._plan.kind, self._floor.turns, list(self._seats))

    def _answer(self, decision: Decision, status: DebateStatus, reason: str | None) -> Answer:
        turns = self._floor.turns
        usage = sum((turn.usage for turn in turns), Usage()).model_copy(update={"wall_s": round(self._now(), 6)})
        return Answer(
            id=self.id,
            status=status,
            reason=reason,
            question=self._question,
            answer=decision.answer,
            confidence=decision.confidence,
            dissent=decision.dissent,
            decision=decision,
            turns=turns,
            notes=tuple(self._notes),
            usage=usage,
            plan=self._plan,
            personas={name: card.sha256 for name, card in self._cast.items()},
            seed=self._seed,
            versions=self._versions,
        )

    def _emit(self, event: Event) -> None:
        self._events.put_nowait(event)

    def _note(self, note: str) -> None:
        self._notes.append(note)
        self._emit(events.Noted(at=self._now(), note=note))

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began


def _debate_id(plan: Plan, question: Question, seed: int) -> str:
    """Name a debate: its question's id, then a hash of all that shapes it."""
    shape = repr((plan, question, seed)).encode("utf-8", "backslashreplace")
    return f"{question.id}-{hashlib.sha256(shape).hexdigest()[:12]}"
