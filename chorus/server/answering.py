"""The spokesperson: one more call that writes the answer the way the client wants it.

Where a client asks for JSON or offers tools, the chorus debates first, in words of its own. Then one voice reads the
conversation as the client sent it, is told what the chorus came to, and writes the answer: guided by the schema where
the engine can be, else checked against it, and once sent back with the complaint. Its turn stands in the record after
all others, under the seat `spokesperson`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from chorus.debate import topology
from chorus.debate.budget import Limits
from chorus.debate.prompts import plain, quote
from chorus.debate.retries import Retries
from chorus.engines.base import Completion, Engine, Request, Sampling
from chorus.errors import ChorusError, EngineError, EngineUnreachable, SchemaRefused
from chorus.record import events
from chorus.record.events import Event
from chorus.server.conversation import Conversation
from chorus.server.formats import Format, unwrapped
from chorus.server.problems import late
from chorus.types import Answer, Message, Tool, ToolCall, Turn, Usage, well_formed

SEAT = "spokesperson"

_Emit = Callable[[str], None]

MAX_QUOTED_CHARS = 4000
"""Of the conclusion and of the dissent each, as the spokesperson reads them."""

BRIEFING = """\
Several voices have thought about the last message for you. Their conclusion ({sure} sure):
{conclusion}{dissent}
Write the reply that follows from it. Don't mention the voices."""
DISSENT = "\nWhat some of them held against it:\n{dissent}"
WITH_TOOLS = "They could not use the tools. Call a tool where the reply needs what it gives."
AS_JSON = "Reply with JSON only, nothing before or after it. It must fit this JSON schema:\n{schema}"
MENDING = "That can't be used: {complaint}. Write it again: JSON only, that fits the schema."


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client wants of the answer beyond its being right."""

    sampling: Sampling
    format: Format | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    """As in `Request.tool_choice`."""
    one_call: bool = False
    """Whether only the first tool call may go out."""

    def aloud(self, guided: bool) -> bool:
        """Tell whether the words can go out as they come: nothing may be found wrong with them later.

        Args:
            guided: whether the engine keeps to a schema by itself.
        """
        return not self.tools and (self.format is None or guided)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the spokesperson wrote."""

    text: str
    finish: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)


class Spokesperson:
    """Writes one answer. Used once.

    Args:
        engine: what it speaks on.
        conversation: as the client sent it.
        wish: what the answer must be.
        limits: how often a failed call is made again, and until when after the debate began the answer must be there.
    """

    def __init__(self, engine: Engine, conversation: Conversation, wish: Wish, limits: Limits) -> None:
        self._engine, self._conversation, self._wish = engine, conversation, wish
        self._deadline_s = limits.max_seconds
        self._retries = Retries(limits, seed=0)
        self._calls = 0
        self._usage = Usage()
        self._said = ""
        self.spoken: Spoken | None = None
        """The answer, once it is written."""
        self.failure: ChorusError | None = None
        """Why there is none."""

    async def speak(self, decided: events.Decided) -> AsyncGenerator[Event]:
        """Write the answer; give off the turn's events, and last the end of the debate with the turn in its record."""
        record = decided.answer
        last = max((turn.round for turn in record.turns), default=0)
        turn = Turn(
            id=topology.turn_id(last + 1, SEAT),
            round=last + 1,
            seat=SEAT,
            persona=SEAT,
            kind="synthesis",
            heard=_heard(record),
        )
        began, now = asyncio.get_running_loop().time(), asyncio.get_running_loop().time
        yield events.TurnStarted(
            at=decided.at, turn=turn.id, round=turn.round, seat=SEAT, persona=SEAT, kind=turn.kind, heard=turn.heard
        )
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def emit(text: str) -> None:
            self._said += well_formed(text)
            queue.put_nowait(events.TurnDelta(at=decided.at + now() - began, turn=turn.id, text=well_formed(text)))

        def again(reason: str) -> None:
            self._said = ""
            reason = well_formed(reason)
            queue.put_nowait(
                events.TurnRetried(at=decided.at + now() - began, turn=turn.id, attempt=self._calls, reason=reason)
            )

        work = asyncio.create_task(self._write(record, turn.id, emit, again))
        work.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await work
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        at = decided.at + now() - began
        turn = self._closed(turn)
        yield events.TurnFinished(at=at, turn=turn) if turn.status == "done" else events.TurnFailed(at=at, turn=turn)
        usage = (record.usage + self._usage).model_copy(
            update={"wall_s": round(record.usage.wall_s + now() - began, 6)}
        )
        yield events.Decided(at=at, answer=record.model_copy(update={"turns": (*record.turns, turn), "usage": usage}))

    async def _write(self, record: Answer, name: str, emit: _Emit, again: _Emit) -> None:
        """Leave the answer in `spoken`, or the reason why there is none in `failure`."""
        left = None if self._deadline_s is None else self._deadline_s - record.usage.wall_s
        try:
            async with asyncio.timeout(left):
                self.spoken = self._checked(await self._completion(record, name, emit, again))
        except TimeoutError:
            self.failure = late(f"the {self._deadline_s:g} seconds for it were over before it was written")
        except ChorusError as error:
            self.failure = error

    async def _completion(self, record: Answer, name: str, emit: _Emit, again: _Emit) -> Completion:
        """Return words that fit the format, if there is one. Raises EngineError."""
        request = self._request(record, name)
        try:
            completion = await self._call(request, emit, again)
        except SchemaRefused:
            # Not guided after all: what comes now may yet have to be taken back, so it waits for its check.
            request, emit = replace(request, json_schema=None), _to_nobody
            completion = await self._call(request, emit, again)
        if complaint := self._complaint(completion):
            again(complaint)
            said = Message(role="assistant", content=completion.text or "(nothing)")
            mend = Message(role="user", content=MENDING.format(complaint=complaint))
            completion = await self._call(replace(request, messages=(*request.messages, said, mend)), emit, again)
            if complaint := self._complaint(completion):
                raise EngineError(f"the answer could not be written as JSON that fits the schema: {complaint}")
        return completion

    async def _call(self, request: Request, emit: _Emit, again: _Emit) -> Completion:
        """Call the engine, and again after faults that may pass."""
        now, failed = asyncio.get_running_loop().time, 0
        while True:
            self._calls += 1
            try:
                completion = await self._engine.generate(request, emit)
            except EngineError as error:
                if not isinstance(error, EngineUnreachable):
                    failed += 1
                    self._usage += Usage(calls=1)
                wait = self._retries.wait(request.id, failed, error, now())
                if wait is None:
                    raise self._retries.given_up(error, now()) from error
                if self._retries.announces(request.id, error):
                    again(str(error))
                await asyncio.sleep(wait)
            else:
                self._retries.heard(now())
                self._usage += completion.usage
                return completion

    def _request(self, record: Answer, name: str) -> Request:
        wish = self._wish
        parts = [self._conversation.instructions, _briefing(record)]
        parts += [WITH_TOOLS] if wish.tools else []
        parts += [AS_JSON.format(schema=wish.format.schema)] if wish.format else []
        system = Message(role="system", content="\n\n".join(part for part in parts if part.strip()))
        return Request(
            (system, *self._conversation.messages),
            wish.sampling,
            id=name,
            debate=record.id,
            json_schema=wish.format.schema if wish.format and not wish.tools else None,
            tools=wish.tools,
            tool_choice=wish.tool_choice,
        )

    def _complaint(self, completion: Completion) -> str | None:
        """Return what is wrong with the words; cut words are the client's own wish."""
        if self._wish.format is None or completion.tool_calls or self._cut(completion):
            return None
        return self._wish.format.complaint(unwrapped(completion.text))

    def _cut(self, completion: Completion) -> bool:
        return completion.finish == "length"

    def _checked(self, completion: Completion) -> Spoken:
        calls = completion.tool_calls[:1] if self._wish.one_call else completion.tool_calls
        choice = self._wish.tool_choice
        if choice not in (None, "auto", "none") and not calls and not self._cut(completion):
            wanted = "a tool" if choice == "required" else f"the tool {choice}"
            raise EngineError(f"the model did not call {wanted}, as tool_choice wants")
        text = well_formed(completion.text)
        if self._wish.format and not calls and not self._wish.aloud(self._engine.info.guided):
            text = unwrapped(text)
        return Spoken(text, "tool_calls" if calls else completion.finish, calls, self._usage)

    def _closed(self, turn: Turn) -> Turn:
        """Return the turn as it ended."""
        if self.spoken is None:
            reason = well_formed(str(self.failure))
            return turn.model_copy(
                update={"status": "failed", "text": self._said, "reason": reason, "usage": self._usage}
            )
        called = [f"{call.name}({call.arguments})" for call in self.spoken.tool_calls]
        text = well_formed("\n".join(filter(None, [self.spoken.text, *called])))
        return turn.model_copy(update={"text": text, "finish": self.spoken.finish, "usage": self._usage})


def _to_nobody(text: str) -> None:
    """Take words that nobody may hear yet."""


def _heard(record: Answer) -> tuple[str, ...]:
    """Return the last word of every seat."""
    return tuple(
        {turn.seat: turn.id for turn in record.turns if turn.kind == "speech" and turn.status == "done"}.values()
    )


def _briefing(record: Answer) -> str:
    dissent = quote(record.dissent.answer[:MAX_QUOTED_CHARS]) if record.dissent else ""
    return BRIEFING.format(
        sure=f"{record.confidence:.0%}",
        conclusion=quote(plain(record.answer or "")[:MAX_QUOTED_CHARS]),
        dissent=DISSENT.format(dissent=dissent) if dissent else "",
    )
