"""A language model that says what its script says: the fake that tests and demonstrations are written against.

- The same request id, seed and script give the same text, delays and faults, whatever else is being asked.
- It honours what a real engine honours: `max_tokens`, stop strings, the context window, cancellation.
- It waits on the event loop's clock only, so on a `VirtualTimeLoop` simulated seconds cost nothing.

A token is up to 16 characters of a word with the white space before it; `count` and `usage` use the same tokens.
"""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from chorus.checkpoints import baked
from chorus.checkpoints.baked import Baked
from chorus.engines.base import Completion, Emit, EngineInfo, Request, Sampling, TokenLogprob
from chorus.engines.calls import Calls
from chorus.engines.script import Fail, Latency, Reply, Script, load_script
from chorus.engines.tool_calls import Ear
from chorus.errors import ContextTooLong, EngineError
from chorus.types import Message, Usage

WORD_CHARS = 16
MESSAGE_TOKENS = 4
"""What a message's role costs, as chat templates spend some tokens on it."""

_TOKEN = re.compile(rf"\s*\S{{1,{WORD_CHARS}}}|\s+")
_DEFAULT_KEY = -1

Speaker = Callable[[Request], "str | Reply"]
"""Answers a call in Python; may raise EngineError. Anything else that it raises comes through as it is."""


async def open_scripted(rest: str) -> ScriptedEngine:
    """Open the engine of `scripted:FILE.yaml`. A run card beside the file has it play a baked checkpoint.

    Raises:
        ConfigError: the file is not a script. CheckpointError: the run card can't be read.
    """
    return ScriptedEngine(load_script(rest), spec=f"scripted:{rest}", played=baked.read(Path(rest).parent))


class ScriptedEngine:
    """An engine that plays a `Script`, or calls a function to answer."""

    def __init__(
        self,
        script: Script | Speaker,
        *,
        settings: Script | None = None,
        spec: str = "scripted:memory",
        played: Baked | None = None,
    ) -> None:
        """Make the engine.

        Args:
            script: Answers the calls. A function gives a text, or a `Reply` with its delays and faults.
            settings: With a function, the rest of what an engine is: its window, latency and clock.
            spec: Goes into `info` and messages.
            played: How the baked checkpoint that it plays wants to be asked.
        """
        self._speaker = None if isinstance(script, Script) else script
        self._script = script if isinstance(script, Script) else settings or Script()
        self._rules = [(re.compile(fnmatch.translate(rule.turn)).match, rule) for rule in self._script.turns]
        self._asked: dict[tuple[int, str, str], int] = {}
        """Calls so far of each rule, debate and request id, where a fault needs to know."""
        self._count_text = lru_cache(maxsize=1024)(count_tokens)
        self._tokens = lru_cache(maxsize=1024)(_with_logprobs)
        self._info = EngineInfo(
            spec=spec,
            context_window=self._script.context_window,
            virtual_time=not self._script.real_time,
            max_concurrency=self._script.max_concurrency,
            guided=self._script.guided,
            baked=played,
        )
        self.calls = Calls()
        """What runs, what ran, what was aborted."""

    @property
    def info(self) -> EngineInfo:
        """What it is; constant."""
        return self._info

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Say what the script says. Raises EngineError where the script, or the lack of a rule, does."""
        with self.calls:
            clock = asyncio.get_running_loop().time
            started = clock()
            prompt_tokens = self._fit(request)
            key, reply = self._reply_to(request)
            fault = self._fault(key, reply, request)
            tokens, finish = self._utter(reply, request)
            spoken = tokens if fault is None else tokens[: fault.after_tokens]
            ear = Ear(request, emit)
            await _speak(spoken, _delays(reply.latency or self._script.latency, request), ear.take)
            if fault is not None:
                raise _error(fault)
            completion = Completion(
                text="".join([token.token for token in tokens]),
                finish=reply.finish or finish,
                usage=Usage(
                    calls=1,
                    prompt_tokens=prompt_tokens,
                    cached_tokens=min(reply.cached_tokens, prompt_tokens),
                    completion_tokens=len(tokens),
                    wall_s=clock() - started,
                ),
                logprobs=() if reply.confidence is None else tokens,
                openings=_openings(reply, request),
            )
            return ear.finish(completion)

    async def count(self, messages: Sequence[Message]) -> int:
        """Return the number of tokens that the messages take."""
        return self._count(messages)

    async def aclose(self) -> None:
        """Refuse new calls and cancel those in flight."""
        await self.calls.close()

    def _count(self, messages: Sequence[Message]) -> int:
        return sum(self._count_text(message.content) + MESSAGE_TOKENS for message in messages)

    def _fit(self, request: Request) -> int:
        """Return the prompt's tokens, once prompt and completion are known to fit the window."""
        prompt, room = self._count(request.messages), self._info.context_window
        if prompt + request.sampling.max_tokens > room:
            raise ContextTooLong(
                f"the prompt has {prompt} tokens and up to {request.sampling.max_tokens} were asked for: "
                f"the script's context_window is {room}"
            )
        return prompt

    def _reply_to(self, request: Request) -> tuple[int, Reply]:
        """Return what answers the request, and the number of its rule."""
        if self._speaker is not None:
            said = self._speaker(request)
            return _DEFAULT_KEY, said if isinstance(said, Reply) else Reply(text=said)
        for number, (matches, rule) in enumerate(self._rules):
            if matches(request.id) and (rule.contains is None or rule.contains.search(_prompt(request))):
                return number, rule
        if self._script.default is None:
            raise EngineError(f"no rule of {self._info.spec} answers the call {request.id!r}, and it has no default")
        return _DEFAULT_KEY, self._script.default

    def _fault(self, key: int, reply: Reply, request: Request) -> Fail | None:
        """Return the fault that strikes this call, if one does."""
        fault = reply.fail
        if fault is None or (fault.times is None and fault.share == 1):
            return fault
        name = (key, request.debate, request.id)
        asked = self._asked[name] = self._asked.get(name, 0) + 1
        spared = fault.times is not None and asked > fault.times
        return None if spared or _draw(f"fault\0{request.debate}\0{asked}", request) >= fault.share else fault

    def _utter(self, reply: Reply, request: Request) -> tuple[tuple[TokenLogprob, ...], str]:
        """Return the tokens that come out under the request's limits, and why they end."""
        texts = reply.choices
        text = texts[0] if len(texts) == 1 else texts[int(_draw("text", request) * len(texts))]
        logprob = 0.0 if reply.confidence is None else math.log(reply.confidence)
        tokens = self._tokens(text, logprob)
        short = tokens[: request.sampling.max_tokens]
        if request.sampling.stop:
            said = "".join([token.token for token in short])
            end = _stop_at(said, request.sampling)
            if end < len(said):
                return self._tokens(said[:end], logprob), "stop"
        return short, "length" if len(short) < len(tokens) else "stop"


def split_tokens(text: str) -> list[str]:
    """Cut the text into tokens; joined they give it back."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Return `len(split_tokens(text))`, several times faster: prompts are counted on every call."""
    words = text.split()
    long = [len(word) for word in words if len(word) > WORD_CHARS]
    return len(words) + sum([(length - 1) // WORD_CHARS for length in long]) + text[-1:].isspace()


def _with_logprobs(text: str, logprob: float) -> tuple[TokenLogprob, ...]:
    return tuple([TokenLogprob(token, logprob) for token in split_tokens(text)])


def _openings(reply: Reply, request: Request) -> tuple[TokenLogprob, ...]:
    likely = sorted(reply.openings.items(), key=lambda one: -one[1])[: request.openings]
    return tuple(TokenLogprob(token, math.log(probability)) for token, probability in likely if probability > 0)


def _prompt(request: Request) -> str:
    return "\n".join([message.content for message in request.messages])


def _stop_at(text: str, sampling: Sampling) -> int:
    """Return where the first stop string begins, or the text's end."""
    return min([at for stop in sampling.stop if stop and (at := text.find(stop)) >= 0], default=len(text))


def _draw(what: str, request: Request) -> float:
    """Draw a number from [0, 1) that depends on nothing but the request's id, its seed, and what it is drawn for."""
    name = f"{what}\0{request.id}\0{request.sampling.seed}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=6).digest(), "big") / 2**48


def _delays(latency: Latency, request: Request) -> tuple[float, float]:
    """Return the seconds before the first token and before each further one."""
    if not latency.jitter:
        return latency.first, latency.per_token
    first = 1 + latency.jitter * (2 * _draw("first", request) - 1)
    per_token = 1 + latency.jitter * (2 * _draw("per_token", request) - 1)
    return latency.first * first, latency.per_token * per_token


async def _speak(tokens: Sequence[TokenLogprob], delays: tuple[float, float], emit: Emit) -> None:
    """Emit the tokens on time. Even at no delay others get their turn once, as they would with any engine."""
    first, per_token = delays
    await asyncio.sleep(first)
    if not per_token:
        if tokens:
            emit("".join([token.token for token in tokens]))
        return
    for number, token in enumerate(tokens):
        if number:
            await asyncio.sleep(per_token)
        emit(token.token)


def _error(fault: Fail) -> EngineError:
    kind = ContextTooLong if fault.context_too_long else EngineError
    return kind(fault.message, retryable=fault.retryable, retry_after_s=fault.retry_after_s)
