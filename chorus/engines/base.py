"""What an engine is: one coroutine that turns messages into text, streamed, counted and cancellable.

The rest of the chorus knows engines by this file alone. An engine

- is given a `Request` and calls `emit(piece)` with each piece of text as it comes, then returns the whole `Completion`;
- stops computing when the task that awaits `generate` is cancelled;
- raises `EngineError` (or `ContextTooLong`) and nothing else when it fails;
- may be called from many tasks of one event loop at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from chorus.types import Message, Tool, ToolCall, Usage

if TYPE_CHECKING:
    from chorus.checkpoints.baked import Baked

Emit = Callable[[str], None]
"""Takes the next piece of text. Called in the event loop's thread, never after `generate` has ended."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one completion is drawn."""

    max_tokens: int = 256
    """Bound on the completion's length, in tokens."""
    temperature: float = 0.0
    """0 is greedy decoding."""
    top_p: float = 1.0
    """Nucleus mass, in (0, 1]."""
    seed: int | None = None
    """Makes the draw repeatable where the engine can; `None` leaves it free."""
    stop: tuple[str, ...] = ()
    """Text that ends the completion; it is not part of it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    id: str = ""
    """Names the call in logs and to the scripted engine: a turn's id."""
    debate: str = ""
    """Names the debate that the call belongs to."""
    salt: str = ""
    """Calls of different salts share nothing of what vLLM keeps of prompts already read, so that what one way of asking
    costs does not depend on who asked before; other engines pass it over."""
    json_schema: str | None = None
    """A JSON schema as text: the completion is to be JSON that fits it. Where `EngineInfo.guided` says so, the engine
    sees to that as it decodes (a completion cut at `max_tokens` is cut JSON all the same); elsewhere it is ignored."""
    tools: tuple[Tool, ...] = ()
    """What the model may ask its caller to run."""
    openings: int = 0
    """How many of the likeliest first tokens to report, at most 20; an engine that can't reports none."""
    tool_choice: str | None = None
    """`auto`: as it likes; `none`: no calls; `required`: at least one; a tool's name: that one. `None` is `auto`."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of a completion, with the natural log of the probability that the model gave it at temperature 1."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back."""

    text: str
    finish: str
    """`stop`, `length`, or the engine's own word."""
    usage: Usage
    """`calls` is 1; `wall_s` is the call's own time."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token in order, joined they give `text`; empty where the engine has none, or read tool calls out of what
    the model wrote."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that the model asks for, among those offered; `text` is what it said beside them."""
    openings: tuple[TokenLogprob, ...] = ()
    """The likeliest first tokens, whatever was drawn, likeliest first; as many as the request asked for."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the planner may know of an engine."""

    spec: str
    """The SPEC that opens it again."""
    context_window: int
    """Tokens of prompt and completion together."""
    parameters: int | None = None
    """Number of weights, where it can be known."""
    checkpoint_sha256: str | None = None
    """Hash of the local weights, where there are any."""
    virtual_time: bool = False
    """True for an engine whose waiting is simulated: its debates run on a clock that jumps."""
    max_concurrency: int = 16
    """Calls at once that it serves well."""
    guided: bool = False
    """Whether `Request.json_schema` bounds what it decodes."""
    baked: Baked | None = None
    """How the model wants to be asked, where a chorus was baked into it."""


class Engine(Protocol):
    """A language model behind one call. See the module's docstring for what an engine promises."""

    @property
    def info(self) -> EngineInfo:
        """What it is; constant."""
        ...

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        ...

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt: exact where the engine can say, else never less."""
        ...

    async def aclose(self) -> None:
        """Release what the engine holds. Calls still running are cancelled."""
        ...


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Bound the number of prompt tokens from above without a tokenizer.

    A byte-level tokenizer never makes more tokens than there are UTF-8 bytes; each message adds its role's markers.
    """
    calls = [call for message in messages for call in message.tool_calls]
    texts = [message.content for message in messages] + [call.name + call.arguments for call in calls]
    # A call's braces, quotes and marks take more than a role's.
    return sum(len(text.encode("utf-8", "surrogatepass")) + 16 for text in texts) + 48 * len(calls) + 16
