"""What a debate gives off while it runs, and the record that it leaves: one queue of events, then one `Answer`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

from chorus.debate import decide
from chorus.debate.calibration import Calibration
from chorus.debate.floor import Floor
from chorus.debate.sides import stand
from chorus.record import events
from chorus.record.events import Event
from chorus.types import Answer, DebateStatus, Decision, Plan, Question, Usage


class Observer(Protocol):
    """Looks on at a debate, whether anybody listens to it or not: told of all events but how the vote would stand."""

    def see(self, event: Event) -> None:
        """Take note of an event. Called where it happens, in the turn's own task: it must be quick, and never raise."""
        ...

    def close(self, fault: BaseException | None) -> None:
        """Take note of the end. `fault` is what ended the debate before its decision: an error, or being cancelled."""
        ...


class Minutes:
    """The minutes of one debate. `spent` is what was used before it began."""

    def __init__(
        self,
        plan: Plan,
        question: Question,
        cards: dict[str, str],
        seed: int,
        floor: Floor,
        versions: Mapping[str, str],
        spent: Usage,
        observer: Observer | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.debate = _debate_id(plan, question, cards, seed)
        """Names the debate."""
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        """What happened, oldest first; `None` is the end."""
        self._plan = plan
        self._question = question
        self._cards = cards
        self._seed = seed
        self._floor = floor
        self._versions = dict(versions)
        self._spent = spent
        self._observer = observer
        self._calibration = calibration
        self._notes: list[str] = []
        self._elapsed: Callable[[], float] = lambda: 0.0
        self._listening = True

    def begin(self, clock: Callable[[], float], *, listening: bool) -> None:
        """Set the debate's time to 0. Where nobody is listening, events are not kept."""
        self._listening = listening
        began = clock()
        self._elapsed = lambda: clock() - began

    def end(self, fault: BaseException | None = None) -> None:
        """Stop the debate's time, and end its events. `fault` is what ended the debate before its decision."""
        ended = self.now()
        self._elapsed = lambda: ended
        self.events.put_nowait(None)
        if self._observer:
            self._observer.close(fault)

    def now(self) -> float:
        """Return the seconds since the debate began, or that it took."""
        return self._elapsed()

    def emit(self, event: Event) -> None:
        """Give off an event."""
        if self._observer:
            self._observer.see(event)
        if self._listening:
            self.events.put_nowait(event)

    def open(self) -> None:
        """Say who has come together, and what for."""
        self.emit(
            events.Convened(
                debate=self.debate, question=self._question, plan=self._plan, personas=self._cards, seed=self._seed
            )
        )

    def note(self, note: str) -> None:
        """Say something that a reader of the record should know."""
        self._notes.append(note)
        self.emit(events.Noted(at=self.now(), note=note))

    def support_moved(self) -> None:
        """Say how it stands. Rules that wait for a last turn stand, until then, as a plain vote does."""
        if not self._listening:  # counting the votes after every turn is a good part of what a turn costs
            return
        pure = decide.rule(self._plan.decision).needs is None
        moved = self._decide(self._plan.decision if pure else "plurality")
        self.emit(events.SupportMoved(at=self.now(), decision=moved))

    def record(self, cut: str | None, gate: str | None = None) -> Answer:
        """Decide over what is on the floor and return the record.

        Args:
            cut: why the debate ended early, if it did.
            gate: how the gate answered, if it did; few voices are counted plainly, whatever the plan's rule.
        """
        decision = self._decide("plurality", gate) if gate else self._decide(self._plan.decision)
        status: DebateStatus = "cut" if cut else "done"
        reason = cut
        if decision.answer is None:
            status = "failed"
            failures = [turn.reason for turn in self._floor.turns if turn.status == "failed"]
            reason = cut or (failures[-1] if failures else "no voice gave an answer")
        return self._answer(decision, status, reason)

    def failed(self, reason: str) -> Answer:
        """Return the record of a debate in which nothing was decided."""
        return self._answer(Decision(rule=self._plan.decision, answer=None, confidence=0.0), "failed", reason)

    def _answer(self, decision: Decision, status: DebateStatus, reason: str | None) -> Answer:
        turns = self._floor.turns
        usage = sum((turn.usage for turn in turns), self._spent)
        return Answer(
            id=self.debate,
            status=status,
            reason=reason,
            question=self._question,
            answer=decision.answer,
            confidence=decision.confidence,
            dissent=decision.dissent,
            decision=decision,
            turns=turns,
            notes=tuple(self._notes),
            usage=usage.model_copy(update={"wall_s": round(self._spent.wall_s + self.now(), 6)}),
            plan=self._plan,
            personas=self._cards,
            seed=self._seed,
            versions=self._versions,
        )

    def _decide(self, rule: str, note: str | None = None) -> Decision:
        plan, turns = self._plan, self._floor.turns
        seats = decide.electorate(plan, turns)
        decision = decide.decide(rule, self._question, plan.kind, turns, seats)
        if self._calibration:
            decision = self._calibration.decided(decision, stand(self._question, plan.kind, turns, seats))
        return decision.model_copy(update={"note": note}) if note else decision

    def agreement(self) -> float | None:
        """Return how sure the voices heard so far are, together, of the one answer that all of them hold.

        None where they hold several or one of them holds none, or where no calibration file says.
        """
        decision = self._decide("plurality")
        seats = decide.electorate(self._plan, self._floor.turns)
        together = len(decision.support) == 1 and set(decision.support[0].seats) == set(seats)
        return decision.confidence if together and decision.calibrated else None


def _debate_id(plan: Plan, question: Question, cards: Mapping[str, str], seed: int) -> str:
    """Name a debate: its question's id, then a hash of all that shapes it."""
    shape = repr((plan, question, sorted(cards.items()), seed)).encode("utf-8", "backslashreplace")
    return f"{question.id}-{hashlib.sha256(shape).hexdigest()[:12]}"
