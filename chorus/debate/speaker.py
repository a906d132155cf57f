"""One turn: what the seat reads, the engine's words, and the position they stand for.

A call is made again after faults that may pass; words of a failed attempt are void. Model text that no file could hold
(lone surrogates) is mended here, before it goes anywhere.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence

from chorus.debate import checked, grade, inner, position_schema, structured
from chorus.debate.budget import Budget
from chorus.debate.calibration import Calibration
from chorus.debate.confidence import mean_probability, signals, span_probability
from chorus.debate.draft import Draft
from chorus.debate.floor import Floor, Node
from chorus.debate.minutes import Minutes
from chorus.debate.prompts import STOPS, Heard, Prompt, Prompter, fit
from chorus.debate.retries import Retries
from chorus.engines.base import Completion, Engine, Request, Sampling
from chorus.errors import ChorusError, EngineError, EngineUnreachable, SchemaRefused
from chorus.record import events
from chorus.types import Plan, Position, Question, Signals, Turn, Usage, well_formed

JUDGE = "judge"
COORDINATOR = "coordinator"

BALLOT_TOKENS = 32
"""Bound on a ballot's length: letters and commas."""

RANKED_TOKENS = 4
"""Tokens that a ballot in JSON may take for each answer, beyond `BALLOT_TOKENS`."""


CHECK_TOKENS = 8
"""Bound on the check of a voice that reads brief prompts: yes or no. Others reason first, as long as in any turn."""

CHECK_JSON_TOKENS = 24
"""The same in JSON."""


class BudgetSpent(ChorusError):
    """The call may not be made any more."""


class Speaker:
    """Speaks the turns of one debate on an engine."""

    def __init__(
        self,
        plan: Plan,
        question: Question,
        prompter: Prompter,
        floor: Floor,
        engine: Engine,
        budget: Budget,
        seed: int,
        minutes: Minutes,
        calibration: Calibration | None = None,
    ) -> None:
        self._plan = plan
        self._question = question
        self._prompter = prompter
        self._floor = floor
        self._engine = engine
        self._budget = budget
        self._seed = seed
        self._minutes = minutes
        self._calibration = calibration
        self._refuses_schemas = False
        self._retries = Retries(budget.limits, seed)

    async def speech(self, draft: Draft) -> Turn:
        """Speak a seat's turn of a round."""
        seat = draft.seat

        def write(kept: Sequence[Heard], dropped: int) -> Prompt:
            return self._prompter.speech(seat.seat, seat.persona, kept, dropped=dropped)

        completion = await self._state(draft, write, self._floor.heard(draft.node))
        position = self._position(completion)
        return draft.finish(completion, position, self._flipped_from(draft.node, position))

    async def ballot(self, draft: Draft, options: Sequence[str]) -> Turn:
        """Ask a seat to rank the answers on the table."""
        seat = draft.seat

        def write(kept: Sequence[Heard], dropped: int) -> Prompt:
            return self._prompter.ballot(seat.seat, seat.persona, kept, options, dropped=dropped)

        heard = self._floor.heard(draft.node)
        if self._plan.positions == "json":
            schema, room = position_schema.ballot_schema(len(options)), BALLOT_TOKENS + RANKED_TOKENS * len(options)
            completion = await self._say(draft, write, heard, room, schema=schema)
        else:
            completion = await self._say(draft, write, heard, BALLOT_TOKENS)
        ranking = tuple(grade.ranking(structured.ballot_text(completion.text), options))
        position = Position(answer=ranking[0], ranking=ranking) if ranking else None
        return draft.finish(completion, position, None)

    async def check(self, draft: Draft, answer: str) -> Turn:
        """Ask a seat whether an answer on the table is right. Its position is that answer, with P(right)."""
        seat, brief, in_json = draft.seat, self._plan.detail == "brief", self._plan.positions == "json"

        def write(kept: Sequence[Heard], dropped: int) -> Prompt:
            return self._prompter.check(seat.seat, seat.persona, kept, answer, dropped=dropped)

        heard = self._floor.heard(draft.node)
        room = self._plan.max_tokens if not brief else CHECK_JSON_TOKENS if in_json else CHECK_TOKENS
        if in_json:
            schema = position_schema.check_schema(None if brief else room)
            completion = await self._say(draft, write, heard, room, schema=schema, listen=structured.Listener)
        else:
            completion = await self._say(draft, write, heard, room)
        said = grade.verdict(completion.text)
        if said is None:
            return draft.finish(completion, None, None)
        sure = span_probability(completion, "yes" if said else "no")  # that word's, not that of the reasons before it
        worth = checked.right(said, mean_probability(completion.logprobs) if sure is None else sure)
        return draft.finish(completion, Position(answer=answer, confidence=worth), None)

    async def close(self, draft: Draft) -> Turn:
        """Speak the judge's ruling or the coordinator's synthesis, over everything that was said."""

        def write(kept: Sequence[Heard], dropped: int) -> Prompt:
            return self._prompter.closing(draft.kind, kept, dropped=dropped)

        heard = [Heard(turn, "full") for turn in self._floor.speeches()]
        if draft.kind == "synthesis":
            completion = await self._say(draft, write, heard, self._plan.max_tokens)
            position = _as_a_whole(completion, self._position(completion))
        else:
            completion = await self._state(draft, write, heard)
            position = self._position(completion)
        return draft.finish(completion, position, None)

    async def inner(self, draft: Draft, finished: Callable[[Turn], None]) -> Turn:
        """Hold the whole debate in one call. Hands over its voices as turns, and returns the call as the ruling."""

        def write(kept: Sequence[Heard], dropped: int) -> Prompt:
            return self._prompter.inner()

        # A large cast may talk for long, but no longer than half of what the model can hold.
        room = self._plan.max_tokens * len(self._plan.seats) * self._plan.rounds
        room = max(self._plan.max_tokens, min(room, self._engine.info.context_window // 2))
        completion = await self._say(draft, write, [], room, stop=())
        draft.heard = self._take_apart(completion.text, finished)
        if not draft.heard:
            self._minutes.note("no voices could be told apart in what the inner chorus wrote")
        return draft.finish(completion, self._position(completion), None)

    def _take_apart(self, text: str, finished: Callable[[Turn], None]) -> tuple[str, ...]:
        """Make turns of what the inner voices said, and return their ids. Each heard all that was said before it."""
        heard: tuple[str, ...] = ()
        for voice in inner.voices(text, self._plan, self._prompter.personas):
            part = Draft((voice.round, voice.seat.seat), voice.seat, "speech", heard)
            said = Completion(voice.text, "stop", Usage())
            position = self._position(said)
            finished(part.finish(said, position, self._flipped_from(part.node, position)))
            heard = (*heard, part.id)
        return heard

    async def _state(
        self, draft: Draft, write: Callable[[Sequence[Heard], int], Prompt], heard: Sequence[Heard]
    ) -> Completion:
        """Have a position stated, in words or in JSON that comes back as words."""
        room = self._plan.max_tokens
        if self._plan.positions == "text":
            return await self._say(draft, write, heard, room)
        schema = position_schema.schema(self._plan.kind, self._question.choices, room)
        return await self._say(draft, write, heard, room, schema=schema, listen=structured.Listener)

    async def _say(
        self,
        draft: Draft,
        write: Callable[[Sequence[Heard], int], Prompt],
        heard: Sequence[Heard],
        max_tokens: int,
        stop: tuple[str, ...] = STOPS,
        schema: str | None = None,
        listen: Callable[[Callable[[str], None]], structured.Listener] | None = None,
    ) -> Completion:
        """Call the engine, and again after faults that may pass."""
        prompt = await self._fit(draft, write, heard, max_tokens)
        del heard  # a thousand debates wait below, and each would hold its list
        draft.seed = turn_seed(self._seed, self._question.text, draft.id) if draft.seat.temperature > 0 else None
        sampling = Sampling(max_tokens, draft.seat.temperature, draft.seat.top_p, draft.seed, stop)
        request = Request(prompt.messages, sampling, draft.id, self._minutes.debate, json_schema=self._guide(schema))

        def hear(piece: str) -> None:
            self._heard_from_engine()
            draft.text += piece
            self._minutes.emit(events.TurnDelta(at=self._minutes.now(), turn=draft.id, text=piece))

        self._begin_call(draft)
        self._emit_started(draft)
        while True:
            listener = listen(hear) if listen else None
            take = _mending(listener.take if listener else hear)
            try:
                completion = await self._engine.generate(request, take)
            except SchemaRefused as error:
                request = self._unguided(draft, request, error)
                self._begin_call(draft)
            except EngineError as error:
                await self._wait_to_retry(draft, error)
                if not isinstance(error, EngineUnreachable):
                    self._begin_call(draft)
            else:
                self._heard_from_engine()
                self._budget.end_call(completion.usage)
                text, finish = well_formed(completion.text), well_formed(completion.finish)
                completion = dataclasses.replace(completion, text=text, finish=finish)
                return self._stated(draft, listener.finish(completion)) if listener else completion

    def _guide(self, schema: str | None) -> str | None:
        """Return the schema where the engine decodes by one."""
        return schema if self._engine.info.guided and not self._refuses_schemas else None

    def _unguided(self, draft: Draft, request: Request, error: SchemaRefused) -> Request:
        """Return the call without its schema, which the engine refused."""
        draft.text = ""
        if request.json_schema is None:
            raise error
        if not self._refuses_schemas:
            self._refuses_schemas = True
            self._minutes.note(f"positions were not guided: {well_formed(str(error))}")
        return dataclasses.replace(request, json_schema=None)

    def _stated(self, draft: Draft, stated: structured.Stated) -> Completion:
        if stated.trouble:
            self._minutes.note(f"{draft.id} {stated.trouble}: its answer was sought in its words")
        return stated.completion

    async def _fit(
        self,
        draft: Draft,
        write: Callable[[Sequence[Heard], int], Prompt],
        heard: Sequence[Heard],
        max_tokens: int,
    ) -> Prompt:
        """Return the prompt. What it has no room for was not heard."""
        prompt = await fit(self._engine, write, heard, max_tokens)
        draft.prompt_sha256 = prompt.sha256
        if prompt.dropped:
            left_out = {one.turn.id for one in heard[: prompt.dropped]}
            draft.heard = tuple(turn for turn in draft.heard if turn not in left_out)
            self._minutes.note(
                f"{draft.id} read the transcript without its {prompt.dropped} oldest turns: the context was full"
            )
        return prompt

    def _begin_call(self, draft: Draft) -> None:
        if refused := self._budget.begin_call():
            raise BudgetSpent(refused)
        draft.calls += 1

    def _emit_started(self, draft: Draft) -> None:
        self._minutes.emit(
            events.TurnStarted(
                at=self._minutes.now(),
                turn=draft.id,
                round=draft.node[0],
                seat=draft.seat.seat,
                persona=draft.seat.persona,
                kind=draft.kind,
                heard=draft.heard,
            )
        )

    async def _wait_to_retry(self, draft: Draft, error: EngineError) -> None:
        """Wait until the call may be made again. Raises the error when it may not."""
        now = self._minutes.now()
        if not isinstance(error, EngineUnreachable):
            self._heard_from_engine()
        wait = self._retries.wait(draft.id, draft.calls, error, now)
        if wait is None:
            raise self._retries.given_up(error, now) from error
        draft.text = ""
        if self._retries.announces(draft.id, error):
            reason = well_formed(str(error))
            self._minutes.emit(events.TurnRetried(at=now, turn=draft.id, attempt=draft.calls, reason=reason))
        await asyncio.sleep(wait)

    def _heard_from_engine(self) -> None:
        if gone := self._retries.heard(self._minutes.now()):
            self._minutes.note(f"the engine could not be reached for {gone:.1f} s: the debate waited for it")

    def _position(self, completion: Completion) -> Position | None:
        answer = grade.extract(completion.text, self._plan.kind, self._question.choices)
        if answer is None:
            return None
        seen = signals(completion, answer)
        sure = self._calibration.confidence(seen) if self._calibration else None
        if sure is None:
            sure = seen.stated if seen.text is None else seen.text
        return Position(answer=answer, confidence=sure, signals=None if seen == Signals() else seen)

    def _flipped_from(self, node: Node, position: Position | None) -> str | None:
        before = self._floor.previous_answer(node)
        if before is None or position is None or not grade.comparable(self._plan.kind):
            return None
        same = grade.same(before, position.answer, self._plan.kind, self._question.choices)
        return None if same else before


def turn_seed(seed: int, question: str, turn: str) -> int:
    """Return the sampling seed of a turn: 32 bits that repeat from run to run, and differ from turn to turn.

    They differ from question to question too: a voice that drew the same chances for each would be lucky or unlucky with
    all of them at once, and a hundred questions would say no more of it than one.
    """
    drawn = json.dumps([seed, question, turn]).encode()
    return int.from_bytes(hashlib.sha256(drawn).digest()[:4], "big")


def _mending(hear: Callable[[str], None]) -> Callable[[str], None]:
    """Return what passes text on in the form that every encoding can hold."""
    return lambda piece: hear(well_formed(piece))


def _as_a_whole(completion: Completion, position: Position | None) -> Position | None:
    """A synthesis stands for all it says, not for the one answer that could be found in it."""
    text = completion.text.strip()
    if not text:
        return None
    return Position(answer=text, confidence=position.confidence if position else mean_probability(completion.logprobs))
