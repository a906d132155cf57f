"""What the endpoints share: the engines, the store, and every debate under way.

A debate is begun here whatever asked for it, and let go of here however it ends. Invariants: no debate begins once the
server was told to end, or where the engine has no room for all its calls; one that began is stored, or kept in memory
where it can't be; a key is charged once for what its debates used, cut or not (`ledger`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chorus import config
from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines.base import Engine, estimate_tokens
from chorus.errors import ChorusError, ConfigError, ContextTooLong, StoreError
from chorus.server import review
from chorus.server.access import Caller
from chorus.server.admission import Place, planned_calls
from chorus.server.answering import Spokesperson, Wish
from chorus.server.conversation import Conversation
from chorus.server.desk import Desk
from chorus.server.hall import Hall
from chorus.server.ledger import Ledger
from chorus.server.live import LiveDebate, Reply, Tap
from chorus.server.meters import Meters
from chorus.server.models import Way, ways
from chorus.server.policy import Policy
from chorus.server.problems import Refusal, late
from chorus.server.replica import Replica
from chorus.server.webhook import Webhook
from chorus.types import Answer, Message, Question

if TYPE_CHECKING:
    from chorus.record.store import Store
    from chorus.server.keys import KeyRing

log = logging.getLogger("chorus.server")

STOPPING = "the server is being stopped"
STOPPED = "the server was stopped"

SHARE = 2 / 3
"""Of a request's time, what the debate may take where the answer has to be written for the client afterwards."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to be debated."""

    way: Way
    settings: Settings
    question: Question
    asked: str
    """The question as lists show it."""
    conversation: Conversation | None = None
    wish: Wish | None = None
    """What the answer must be, where the chorus' own words won't do; goes with `conversation`."""
    reply: Reply | None = None
    """Writes down what the client was answered, where that can be asked for later."""
    keep: bool = True
    """Whether the debate stays after its end."""


class Service:
    """Everything behind the endpoints. Opened once, in the event loop that serves.

    Args:
        chorus: brings the engine, the library and the settings that requests start from.
        baked: checkpoints that answer beside it, each with the SPEC of its engine among its settings.
        store: where debates are kept; None keeps the newest in memory.
        keys: who may ask; None lets everybody.
        policy: what is allowed.
        meters: count what happens.
        webhook: is told of answers that a person should look at; needs the store.
    """

    def __init__(
        self,
        chorus: Chorus,
        *,
        baked: Sequence[Chorus] = (),
        store: Store | None,
        keys: KeyRing | None,
        policy: Policy,
        meters: Meters,
        webhook: Webhook | None = None,
    ) -> None:
        self.settings = config.load(
            {"max_seconds": chorus.settings.max_seconds or policy.deadline_s}, base=chorus.settings
        )
        self.library = chorus.library
        specs = [one.settings.engine for one in baked]
        self.ways = ways(chorus.settings, specs, allow_unaudited=policy.allow_unaudited)
        self.store, self.keys = store, keys
        self.policy, self.meters = policy, meters
        self.hall = Hall(policy)
        self.ledger = Ledger(store, keys, webhook, self.review)
        self.replica = Replica(store.relay, self._settle, self.ledger.noted) if store and store.relay else None
        """Where others may serve from the same store: this server among them."""
        self.draining = False
        self._choruses = {"": chorus} | {one.settings.engine: one for one in baked}
        self._desks: dict[str, Desk] = {}
        """By `Way.engine`; empty until all are open."""
        self._places: dict[str, Place] = {}
        """The place of each debate under way."""
        self._probe: asyncio.Task[bool] | None = None
        """Asks the store whether it is there."""

    async def open(self) -> None:
        """Open the engines. Raises ChorusError when one of them can't be."""
        shared = self.keys is not None
        opened = {spec: await Desk.open(one, self.policy, shared=shared) for spec, one in self._choruses.items()}
        if self.replica:
            await self.replica.open()
        self.meters.watch(self.hall, [desk.turnstile for desk in opened.values()])
        self._desks = opened

    @property
    def ready(self) -> bool:
        """Whether questions are taken."""
        return bool(self._desks) and not self.draining

    async def store_answers(self) -> bool:
        """Tell whether the store, if there is one, can be read right now."""
        if not self.store:
            return True
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self.store.answers())
        done, _ = await asyncio.wait({self._probe}, timeout=self.policy.ready_s)
        return bool(done) and self._probe.result()

    def guided(self, way: Way) -> bool:
        """Tell whether the engine of a way of answering keeps to a schema by itself."""
        return bool(self._desks) and self._desks[way.engine].engine.info.guided

    async def drain(self) -> None:
        """Take no more questions, give those under way their time, then end them; returns when all are written down."""
        self.draining = True
        if self.replica:
            self.replica.wake()  # who reads another server's debate here goes on reading there
        try:
            async with asyncio.timeout(self.policy.drain_s):
                await self.hall.empty()
        except TimeoutError:
            self.hall.end_all(STOPPED)
            await self.hall.empty()

    async def aclose(self) -> None:
        """End what is under way, and close the engine."""
        self.draining = True
        self.hall.end_all(STOPPED)
        await self.hall.empty()
        await self.ledger.charged(self.policy.store_s)
        if self.replica:
            await self.replica.aclose()
        for one in self._choruses.values():
            await one.aclose()

    async def begin(self, ask: Ask, caller: Caller, tap: Tap | None = None) -> LiveDebate:
        """Begin a debate.

        Args:
            ask: what is asked, and how it is to be answered.
            caller: who asks.
            tap: hears each event.

        Raises:
            Refusal: it can't be begun now, or is too large.
            StoreError: so many debates wait for the database that memory would run full of them.
            ChorusError: it can't be planned.
        """
        if not self.ready:
            raise self._closing()
        if self.replica and self.replica.owing >= max(1, self.policy.kept):
            raise StoreError("debates that ended wait to be written down: no more of them are begun")
        if not ask.keep:
            ask.way.standing.check_unkept()
        ask.way.standing.admit()
        place = self._desks[ask.way.engine].admission.place(caller.owner)
        engine = ask.way.standing.bounded(place)
        await self._check_window(ask.question, engine)
        spokesperson = self._spokesperson(ask, engine)
        debate = await self._convene(ask, engine, SHARE if spokesperson else 1)
        self._check_size(debate)
        live = LiveDebate(
            debate,
            owner=caller.owner,
            model=ask.way.id,
            asked=ask.asked,
            spokesperson=spokesperson,
            reply=ask.reply,
            keep=ask.keep,
        )
        if self.draining:  # it may have been told so while the cast was being written
            raise self._closing()
        place.take(planned_calls(debate.plan) + (spokesperson is not None))
        self.hall.add(live)
        self._places[live.id] = place
        self.ledger.bill(live, caller)
        if self.store and ask.keep:
            noting = self.ledger.noted(live)
            if self.replica:
                self.replica.hold(live, noting)
        live.start(self._ended, tap=tap)
        return live

    def review(self, live: LiveDebate) -> list[str]:
        """Return why a person should look at a debate that is over; empty when nobody needs to."""
        return self.reasons(live.answer) if live.answer else []

    def reasons(self, answer: Answer) -> list[str]:
        """Return why a person should look at an answer; empty when nobody needs to."""
        told = next((way.standing.review for way in self.ways.values() if self._by(way, answer)), [])
        return [*told, *review.reasons(answer, self.policy.review)]

    def _by(self, way: Way, answer: Answer) -> bool:
        """Tell whether an answer was given by the engine of a baked checkpoint, the server's own if it is one."""
        if not (way.standing.baked and self._desks):
            return False
        return self._desks[way.engine].engine.info.spec == answer.plan.engine

    # ---- beginning ---------------------------------------------------------------------------------------------------

    async def _convene(self, ask: Ask, engine: Engine, share: float) -> Debate:
        """Plan a debate that may take a share of the request's time."""
        seconds = ask.settings.max_seconds or self.policy.deadline_s
        settings = config.load({"max_seconds": round(seconds * share, 3)}, base=ask.settings)
        try:
            async with asyncio.timeout(seconds):  # a cast may have to be written
                return await Chorus(engine, library=self.library, settings=settings).convene(ask.question)
        except TimeoutError:
            raise late(f"the {seconds:g} seconds for it were over before the cast was written") from None

    def _spokesperson(self, ask: Ask, engine: Engine) -> Spokesperson | None:
        if not ask.wish or not ask.conversation:
            return None
        settings = ask.settings
        limits = Limits(attempts=settings.attempts, patience_s=settings.patience_s, max_seconds=settings.max_seconds)
        return Spokesperson(engine, ask.conversation, ask.wish, limits)

    def _closing(self) -> Refusal:
        return Refusal(STOPPING, status=503, code="stopping", retry_after_s=5)

    async def _check_window(self, question: Question, engine: Engine) -> None:
        """Refuse what can't fit the engine's context before anybody speaks."""
        messages = (*question.history, Message(role="user", content=question.text))
        window = engine.info.context_window
        if estimate_tokens(messages) > window and (count := await engine.count(messages)) >= window:
            raise ContextTooLong(f"the conversation has {count:,} tokens; the engine's context window holds {window:,}")

    def _check_size(self, debate: Debate) -> None:
        plan = debate.plan
        if (turns := len(plan.seats) * plan.rounds) > self.policy.max_turns:
            raise ConfigError(
                f"{len(plan.seats)} seats over {plan.rounds} rounds are {turns} turns: "
                f"at most {self.policy.max_turns} are allowed here"
            )

    # ---- ending ------------------------------------------------------------------------------------------------------

    async def _ended(self, live: LiveDebate) -> None:
        """Write a debate down, charge its key, and let go of it."""
        self._places.pop(live.id).release()
        self.meters.debate_ended(live)
        settled, fault = False, ""
        try:
            async with asyncio.timeout(self.policy.store_s):
                if self.replica and live.keep:
                    await self.replica.let_go(live)
                settled = await self._settle(live)
        except TimeoutError:
            fault = "the store takes too long"
        except Exception as error:
            fault = str(error) or type(error).__name__
            if not isinstance(error, ChorusError):
                log.exception("debate %s", live.id)
        finally:
            self.hall.release(live, keep=live.keep and not settled)
            if self.replica:
                self.replica.forget(live, owed=bool(fault))
        if fault:
            self.meters.store_failed()
            log.error("debate %s is kept in memory only: %s", live.id, fault)
            if not self.replica:
                self.ledger.forget(live)

    async def _settle(self, live: LiveDebate) -> bool:
        """Charge for a debate and write it down. Returns whether it need not be kept in memory. Raises StoreError."""
        stored = await self.ledger.settle(live)
        if stored:
            self.hall.forget(live.id)
        return stored
