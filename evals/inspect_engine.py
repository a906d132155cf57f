"""A debate on a model of Inspect's, so that `inspect view` shows it turn by turn.

Every call becomes a ModelEvent in the sample's transcript, inside a span named after the turn (`2.skeptic`), with its
tokens and its time. Where the model is one of our engines (`provider`) the request also reaches it as the debate made
it, with all that Inspect has no words for: the turn's name, the debate's, a JSON schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace

from inspect_ai.model import Model, get_model_info
from inspect_ai.util import LimitExceededError, span

from chorus.engines.base import Completion, Emit, Engine, EngineInfo, Request, estimate_tokens
from chorus.errors import ChorusError, EngineError
from chorus.types import Message
from evals import translation

UNKNOWN_WINDOW = 32_768
"""Tokens of context that a model is taken to have where Inspect doesn't know."""

TURN: ContextVar[Request | None] = ContextVar("turn", default=None)
"""The request of the turn that is being spoken, for a provider that can use it whole."""


class InspectEngine:
    """An engine whose calls Inspect makes, records and counts.

    Args:
        model: any model of Inspect's.
        engine: of ours, where the model is one, opened in this event loop.
        salt: keeps its calls apart in the engine's prefix cache: what a system costs must not depend on which other
            systems were asked the same questions before.
    """

    def __init__(self, model: Model, engine: Engine | None = None, salt: str = "") -> None:
        self._model = model
        self._engine = engine
        self._salt = salt
        self._info = _info(model) if engine is None else _real(engine.info)

    @property
    def info(self) -> EngineInfo:
        """What it is; constant."""
        return self._info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages: the text comes in one piece. Raises EngineError, or Inspect's LimitExceededError."""
        token = TURN.set(replace(request, salt=self._salt))
        try:
            async with span(request.id or "call", type="turn"):
                config = translation.config(request.sampling)
                output = await self._model.generate(translation.chat(request.messages), config=config)
        except (ChorusError, LimitExceededError):
            raise
        except Exception as error:
            raise EngineError(f"{self._model} failed the call: {type(error).__name__}: {error}") from error
        finally:
            TURN.reset(token)
        if output.error or not output.choices:
            raise EngineError(f"{self._model} gave no answer: {output.error or 'no choice came back'}")
        completion = translation.completion(output)
        if completion.text:
            emit(completion.text)
        return completion

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt: exact on our engines, else never less."""
        return await self._engine.count(messages) if self._engine else estimate_tokens(messages)

    async def aclose(self) -> None:
        """Leave the model as it is: Inspect holds it."""


def _info(model: Model) -> EngineInfo:
    known = get_model_info(model)
    return EngineInfo(spec=f"inspect:{model}", context_window=(known and known.context_length) or UNKNOWN_WINDOW)


def _real(info: EngineInfo) -> EngineInfo:
    """Return an engine's info without its simulated time: Inspect runs on the machine's clock."""
    return replace(info, virtual_time=False)
