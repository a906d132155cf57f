"""What each span says: a debate's plan and answer, a turn and its call, as attributes by name.

Names that begin with `gen_ai` are the conventions' (see `genai`); what they have no word for begins with `chorus`.
Text that voices read or wrote is added only where `capture` is true; so are answers, which are such text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chorus.engines.base import Request
from chorus.record.events import Convened, TurnCancelled, TurnFailed, TurnFinished, TurnStarted
from chorus.telemetry import genai
from chorus.telemetry.naming import EngineName
from chorus.types import Answer, Message, Turn

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

STATUS = "chorus.status"
"""Of a debate or a turn: the record's word for how it ended, or `abandoned`."""
ROUND = "chorus.round"
TURNS = "chorus.turns"
"""Turns that a round's span holds."""


def of_plan(convened: Convened, engine: EngineName, *, capture: bool) -> Attributes:
    """Return what a debate's span says from its start."""
    plan, question = convened.plan, convened.question
    said: dict[str, Value] = {
        genai.OPERATION: genai.INVOKE_WORKFLOW,
        genai.WORKFLOW: plan.mode,
        genai.CONVERSATION: convened.debate,
        genai.PROVIDER: engine.provider,
        genai.MODEL: engine.model,
        "chorus.kind": plan.kind,
        "chorus.seats": [seat.seat for seat in plan.seats],
        "chorus.topology": plan.topology,
        "chorus.rounds": plan.rounds,
        "chorus.decision": plan.decision,
        "chorus.seed": convened.seed,
    }
    if capture:
        asked = Message(role="user", content=question.text)
        said[genai.INPUT_MESSAGES] = genai.input_messages((*question.history, asked))
    return said


def of_answer(answer: Answer, *, capture: bool) -> Attributes:
    """Return what a debate's span says at its end."""
    usage = answer.usage
    said: dict[str, Value] = {
        STATUS: answer.status,
        "chorus.confidence": answer.confidence,
        "chorus.dissent": answer.dissent is not None,
        # Under names of its own: who adds up the conventions' names would count each token twice.
        "chorus.usage.calls": usage.calls,
        "chorus.usage.input_tokens": usage.prompt_tokens,
        "chorus.usage.cached_tokens": usage.cached_tokens,
        "chorus.usage.output_tokens": usage.completion_tokens,
    }
    if answer.reason:
        said["chorus.reason"] = answer.reason
    if capture and answer.answer is not None:
        said[genai.OUTPUT_MESSAGES] = genai.output_message(answer.answer, None)
    return said


def of_start(
    begun: TurnStarted | TurnFinished | TurnFailed | TurnCancelled, debate: str, engine: EngineName
) -> Attributes:
    """Return what a turn's span says from its start. Of a turn that failed before it started, its end says the same."""
    place = begun if isinstance(begun, TurnStarted) else begun.turn
    said: dict[str, Value] = {
        genai.OPERATION: genai.CHAT,
        genai.PROVIDER: engine.provider,
        genai.MODEL: engine.model,
        genai.CONVERSATION: debate,
        genai.AGENT: place.persona,
        "chorus.turn": place.turn if isinstance(place, TurnStarted) else place.id,
        ROUND: place.round,
        "chorus.seat": place.seat,
        "chorus.persona": place.persona,
        "chorus.kind": place.kind,
        "chorus.heard": place.heard,
    }
    if engine.host:
        said[genai.SERVER_ADDRESS] = engine.host
        if engine.port is not None:
            said[genai.SERVER_PORT] = engine.port
    return said


def of_request(request: Request, *, capture: bool) -> Attributes:
    """Return what a turn's span says of its call."""
    sampling = request.sampling
    said: dict[str, Value] = {
        genai.MAX_TOKENS: sampling.max_tokens,
        genai.TEMPERATURE: sampling.temperature,
        genai.TOP_P: sampling.top_p,
    }
    if sampling.seed is not None:
        said[genai.SEED] = sampling.seed
    if sampling.stop:
        said[genai.STOP_SEQUENCES] = sampling.stop
    if request.json_schema is not None:
        said[genai.OUTPUT_TYPE] = "json"
    if capture:
        said[genai.INPUT_MESSAGES] = genai.input_messages(request.messages)
    return said


def of_end(turn: Turn, *, capture: bool) -> Attributes:
    """Return what a turn's span says at its end; usage and position only of one that was spoken to its end."""
    said: dict[str, Value] = {STATUS: turn.status, "chorus.calls": turn.usage.calls}
    if turn.reason:
        said["chorus.reason"] = turn.reason
    if turn.finish:
        said[genai.FINISH_REASONS] = [turn.finish]
    if capture and turn.text:
        said[genai.OUTPUT_MESSAGES] = genai.output_message(turn.text, turn.finish)
    return said | _spoken(turn, capture=capture) if turn.status == "done" else said


def _spoken(turn: Turn, *, capture: bool) -> dict[str, Value]:
    position = turn.position
    said: dict[str, Value] = {
        genai.INPUT_TOKENS: turn.usage.prompt_tokens,
        genai.CACHED_TOKENS: turn.usage.cached_tokens,
        genai.OUTPUT_TOKENS: turn.usage.completion_tokens,
        "chorus.position.taken": position is not None,
        "chorus.position.flipped": turn.flipped_from is not None,
    }
    if position and position.confidence is not None:
        said["chorus.position.confidence"] = position.confidence
    if position and capture:
        said["chorus.position.answer"] = position.answer
    return said
