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
import functools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence

from chorus.debate import decide, grade
from chorus.debate.budget import Budget, Limits
from chorus.debate.calibration import Calibration
from chorus.debate.checked import MOST_ANSWERS
from chorus.debate.draft import Draft
from chorus.debate.floor import Floor, Node
from chorus.debate.minutes import Minutes, Observer
from chorus.debate.prompts import Prompter
from chorus.debate.sequential import likely_settled
from chorus.debate.speaker import COORDINATOR, JUDGE, BudgetSpent, Speaker
from chorus.engines.base import Engine
from chorus.errors import ChorusError
from chorus.record import events
from chorus.record.events import Event
from chorus.types import LETTERS, Answer, GatePlan, Plan, Question, SeatPlan, Turn, TurnKind, Usage
from personas.persona import Persona

AGREED = "all voices agreed"
"""Why a debate ends after a round under the rule `unanimity`, or at the gate; its other places were never needed."""

SETTLED = "the outcome could no longer change"
LIKELY = "the outcome was unlikely to change"
"""Why a final round ends before all have spoken."""


class Debate:
    """One debate, from its plan to its answer. Used once.

    Args:
        plan: who speaks, along which edges, how often.
        question: what is asked.
        cast: the personas of the plan's seats, by id.
        engine: speaks for all of them.
        seed: makes sampling repeatable.
        limits: what it may spend.
        versions: of the packages that a result may depend on, for the record.
        spoken: turns that are not spoken again.
        spent: what was used before it began.
        observer: looks on.
        calibration: says what confidences are worth; a plan with a gate needs it.
    """

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
        spent: Usage | None = None,
        observer: Observer | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self._plan = plan
        self._question = question
        self._seed = seed
        self._limits = limits or Limits()
        self._seats = {seat.seat: seat for seat in plan.seats}
        self._floor = Floor(plan, question)
        for turn in spoken:
            self._floor.add(turn)
        cards = {name: card.sha256 for name, card in cast.items()}
        self._minutes = Minutes(
            plan, question, cards, seed, self._floor, versions or {}, spent or Usage(), observer, calibration
        )
        prompter, budget = Prompter(plan, question, dict(cast)), Budget(self._limits, spent)
        self._speaker = Speaker(plan, question, prompter, self._floor, engine, budget, seed, self._minutes, calibration)
        self._doubts = calibration.doubts(plan) if calibration else []
        self._slots = asyncio.Semaphore(self._limits.concurrency)
        self._running: dict[Node, asyncio.Task[None]] = {}
        self._cut: str | None = None
        """Why the debate ends before its plan does; set once."""
        self._settled: str | None = None
        """Why no further speech is needed; set once."""
        self._gate: str | None = None
        """How the gate answered, if it did."""
        self._concluded: Answer | None = None
        self.failure: ChorusError | None = None
        """How the newest turn that failed did: the record has its words alone."""

    @property
    def id(self) -> str:
        """Names the debate: its question's id, then a hash of all that shapes it."""
        return self._minutes.debate

    @property
    def plan(self) -> Plan:
        """Who speaks, along which edges, how often."""
        return self._plan

    async def run(self) -> AsyncGenerator[Event]:
        """Hold the debate. Closing the iterator cancels whatever is in flight."""
        self._minutes.begin(asyncio.get_running_loop().time, listening=True)
        driver = asyncio.create_task(self._drive())
        driver.add_done_callback(lambda ended: self._minutes.end(_fault(ended)))
        try:
            while (event := await self._minutes.events.get()) is not None:
                yield event
            await driver
        finally:
            driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await driver

    async def hold(self) -> Answer:
        """Hold the debate with nobody listening, and return its record: the same as the stream's, for less work."""
        self._minutes.begin(asyncio.get_running_loop().time, listening=False)
        try:
            answer = await self._drive()
        except BaseException as fault:
            self._minutes.end(fault)
            raise
        self._minutes.end()
        return answer

    def record(self, reason: str) -> Answer:
        """Return the record as it stands, of a debate that was abandoned; decided without the engine."""
        if self._concluded is None:
            self._cut = self._cut or reason
            self._concluded = self._conclude()
        return self._concluded

    def failed(self, reason: str) -> Answer:
        """Return the record of a debate that a fault of ours ended. Nothing is decided: the fault may lie there."""
        self._leave_places(reason)
        self._concluded = self._minutes.failed(reason)
        return self._concluded

    # ---- the course of a debate ----------------------------------------------------------------------------------

    async def _drive(self) -> Answer:
        self._minutes.open()
        for doubt in self._doubts:
            self._minutes.note(doubt)
        alarm = None
        if self._limits.max_seconds is not None:
            ran_out = f"the budget of {self._limits.max_seconds:g} seconds is spent"
            alarm = asyncio.get_running_loop().call_later(self._limits.max_seconds, self._stop, ran_out)
        try:
            if self._plan.mode != "inner":
                if self._plan.gate:
                    await self._ask_the_gate(self._plan.gate)
                await self._walk()
            elif not self._floor.turns:
                await self._hold_inner()
            if self._cut is None and self._gate is None:
                await self._ask_what_the_rule_needs()
        finally:
            if alarm:
                alarm.cancel()
            await self._cancel_running()
        self._concluded = self._conclude()
        self._minutes.emit(events.Decided(at=self._minutes.now(), answer=self._concluded))
        return self._concluded

    async def _ask_the_gate(self, gate: GatePlan) -> None:
        """Have a few voices speak first, and leave it at that where they agree surely enough."""
        if not grade.comparable(self._plan.kind):
            self._minutes.note("the gate stood open: answers of this kind can't be compared")
            return
        for seat in gate.seats:
            if (1, seat) not in self._floor:
                self._start(Draft((1, seat), self._seats[seat], "speech"), self._speaker.speech)
        while self._running:
            await self._next_to_end()
        sure = None if self._cut else self._minutes.agreement()
        if sure is not None and sure >= gate.threshold:
            agreed = (
                f"{len(gate.seats)} of {len(self._seats)} voices agreed at {sure:.2f}, {gate.threshold:.2f} is enough"
            )
            self._gate = f"the gate answered: {agreed}"
            self._settled = AGREED
            self._minutes.note(self._gate)

    async def _walk(self) -> None:
        """Release every turn as soon as the turns it hears are in, until none is left."""
        if self._cut or self._settled:
            return
        dag = self._floor.unspoken()
        missing = {node: dag.in_degree(node) for node in dag}
        ready = [node for node, count in missing.items() if not count]
        # Under this rule the debate may end after any round, so each round waits for the one before it.
        in_rounds = self._plan.decision == "unanimity"
        held: list[Node] = []
        if in_rounds:
            ready, held = self._next_round(ready)
        while ready or self._running:
            for node in ready:
                draft = Draft(node, self._seats[node[1]], "speech", self._floor.newly_heard(node))
                self._start(draft, self._speaker.speech)
            ready = []
            for node in await self._next_to_end():
                for follower in dag.successors(node):
                    missing[follower] -= 1
                    if not missing[follower]:
                        (held if in_rounds else ready).append(follower)
                self._look_around(node)
            if in_rounds and not self._running:
                ready, held = self._next_round(held)
            if self._cut or self._settled:
                ready = []

    def _look_around(self, node: Node) -> None:
        """After a turn: is there still a quorum, and can the outcome still change?"""
        if self._cut or self._settled:
            return
        turns, last = self._floor.turns, self._plan.rounds
        needed = math.ceil(self._limits.quorum * len(self._seats) - 1e-9)  # 0.07 * 100 is a little more than 7
        failed = [turn for turn in turns if turn.round == node[0] and turn.status == "failed"]
        if len(self._seats) - len(failed) < needed:
            self._stop(f"{len(failed)} of {len(self._seats)} voices failed in round {node[0]}: {failed[-1].reason}")
        elif node[0] == last and self._plan.early_stop and any(not task.done() for task in self._running.values()):
            self._look_for_an_outcome(turns)

    def _look_for_an_outcome(self, turns: Sequence[Turn]) -> None:
        """End the debate when the votes still to come can't change its outcome, or are unlikely to."""
        plan, question, seats = self._plan, self._question, list(self._seats)
        error = plan.stop_error
        if decide.settled(plan.decision, question, plan.kind, turns, seats, plan.rounds):
            self._settle(SETTLED, "stopped early: the votes still to come could not change the outcome")
        elif error and likely_settled(
            plan.decision, question, plan.kind, turns, seats, plan.rounds, error=error, seed=self._seed
        ):
            risk = f"wrong in at most {100 * error:.3g}% of debates"
            self._settle(LIKELY, f"stopped early: {risk} (votes counted in an order drawn beforehand)")

    def _settle(self, reason: str, note: str) -> None:
        """Ask for no more speeches: cancel those in flight."""
        self._settled = reason
        self._minutes.note(note)
        for task in self._running.values():
            task.cancel()

    def _next_round(self, held: list[Node]) -> tuple[list[Node], list[Node]]:
        """Return the places of the first round not yet held, and the others, unless all agreed in the round before.

        Where a gate stood open, its seats wait for the others at the end of round 1.
        """
        number = min((node[0] for node in held), default=0)
        spoken = self._floor.speeches()
        if number > 1 and decide.unanimous(
            self._question, self._plan.kind, spoken, list(self._seats), round_=number - 1
        ):
            self._settled = AGREED
            self._minutes.note(f"ended after round {number - 1}: {AGREED}")
            return [], held
        return [node for node in held if node[0] == number], [node for node in held if node[0] > number]

    async def _hold_inner(self) -> None:
        first = self._plan.seats[0]
        draft = self._closing(COORDINATOR, "ruling", temperature=first.temperature, top_p=first.top_p)
        self._start(draft, functools.partial(self._speaker.inner, finished=self._finished))
        await self._next_to_end()

    async def _ask_what_the_rule_needs(self) -> None:
        """Hold the ballot, have the answers checked, or hear the judge or the coordinator, where the rule wants it."""
        needs = decide.rule(self._plan.decision).needs
        # A synthesis can be written of words in which no answer was found; a judge has nothing to choose from then.
        said = self._floor.speeches() if needs == "synthesis" else self._floor.answers()
        if needs is None or not said or any(turn.kind == needs and turn.status == "done" for turn in self._floor.turns):
            return
        if needs == "ballot":
            self._hold_ballot()
        elif needs == "check":
            self._check_answers()
        else:
            draft = self._closing(JUDGE if needs == "ruling" else COORDINATOR, needs)
            draft.heard = tuple(turn.id for turn in self._floor.speeches())
            self._start(draft, self._speaker.close)
        while self._running:
            await self._next_to_end()

    def _hold_ballot(self) -> None:
        """Have every seat that spoke rank the answers, where there are several."""
        options = self._on_the_table(len(LETTERS), "the ballot names the")
        for seat in self._voters(options):
            node = self._floor.place_after(self._plan.rounds, seat.seat)
            heard = self._floor.newly_heard((self._plan.rounds + 1, seat.seat))
            self._start(Draft(node, seat, "ballot", heard), functools.partial(self._speaker.ballot, options=options))

    def _check_answers(self) -> None:
        """Have every seat that spoke check each of the answers, where there are several: an answer a round."""
        options = self._on_the_table(MOST_ANSWERS, "checked are the")
        first = self._floor.round_after(self._plan.rounds)
        for seat in self._voters(options):
            heard = self._floor.newly_heard((self._plan.rounds + 1, seat.seat))
            for number, answer in enumerate(options, first):
                draft = Draft((number, seat.seat), seat, "check", heard)
                self._start(draft, functools.partial(self._speaker.check, answer=answer))

    def _on_the_table(self, most: int, named: str) -> list[str]:
        """Return the distinct answers, and note how many of them were left out where there are more than `most`."""
        options = self._floor.answers(most=most)
        if (held := len(self._floor.answers())) > len(options):
            self._minutes.note(f"{named} {len(options)} answers with most voices: {held} were held")
        return options

    def _voters(self, options: Sequence[str]) -> list[SeatPlan]:
        """Return the seats that spoke; none where there is nothing to choose from."""
        spoke = {turn.seat for turn in self._floor.speeches()} if len(options) > 1 else set()
        return [seat for name, seat in self._seats.items() if name in spoke]

    def _closing(self, name: str, kind: TurnKind, *, temperature: float = 0.0, top_p: float = 1.0) -> Draft:
        """Return the draft of a turn that no seat speaks, after the last round."""
        seat = SeatPlan(seat=name, persona=name, temperature=temperature, top_p=top_p)
        return Draft(self._floor.place_after(self._plan.rounds, name), seat, kind)

    def _conclude(self) -> Answer:
        self._leave_places(self._cut or self._settled or "the debate ended before it")
        return self._minutes.record(self._cut, self._gate)

    def _leave_places(self, reason: str) -> None:
        """End every place that nobody spoke from as a cancelled turn."""
        # Unanimity leaves no place that words could still be missing from, and an inner chorus has no places.
        if self._plan.mode != "inner" and self._settled != AGREED:
            for node in self._floor.dag:
                if node not in self._floor:
                    self._floor.add(Draft(node, self._seats[node[1]], "speech").close("cancelled", reason))

    # ---- turns ---------------------------------------------------------------------------------------------------

    def _start(self, draft: Draft, speak: Callable[[Draft], Awaitable[Turn]]) -> None:
        self._running[draft.node] = asyncio.create_task(self._to_its_end(draft, speak))

    async def _next_to_end(self) -> list[Node]:
        """Wait until a turn in flight has ended, and return all that have. Raises what is no `ChorusError`."""
        done, _ = await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        ended = [node for node, task in self._running.items() if task in done]
        for node in ended:
            self._running.pop(node).result()
        return ended

    async def _to_its_end(self, draft: Draft, speak: Callable[[Draft], Awaitable[Turn]]) -> None:
        """Await a turn and record it, whatever becomes of it."""
        try:
            async with self._slots:
                self._finished(await speak(draft))
        except BudgetSpent as spent:
            self._cut = self._cut or str(spent)
            self._cancelled(draft, str(spent))
        except ChorusError as error:
            self.failure = error
            turn = draft.close("failed", str(error))
            self._floor.add(turn)
            self._minutes.emit(events.TurnFailed(at=self._minutes.now(), turn=turn))
        except asyncio.CancelledError:
            if not (self._cut or self._settled):
                self._cut = "interrupted"
            self._cancelled(draft, self._cut or self._settled or "")

    def _finished(self, turn: Turn) -> None:
        self._floor.add(turn)
        self._minutes.emit(events.TurnFinished(at=self._minutes.now(), turn=turn))
        if turn.kind == "speech" and turn.position:
            self._minutes.support_moved()

    def _cancelled(self, draft: Draft, reason: str) -> None:
        turn = draft.close("cancelled", reason)
        self._floor.add(turn)
        self._minutes.emit(events.TurnCancelled(at=self._minutes.now(), turn=turn))

    def _stop(self, reason: str) -> None:
        """End the debate now: cancel what is in flight, start nothing more."""
        self._cut = self._cut or reason
        for task in self._running.values():
            task.cancel()

    async def _cancel_running(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


def _fault(ended: asyncio.Task[Answer]) -> BaseException | None:
    """Return what ended a task before its result, or None."""
    return asyncio.CancelledError() if ended.cancelled() else ended.exception()
