r"""What a scripted engine says, as a file: rules from calls to replies, with their delays and faults.

    latency: {first: 0.2, per_token: 0.02, jitter: 0.3}
    default: {text: "Answer: 56"}
    turns:
      - {turn: "1.skeptic", text: "7 times 8 is 54.\nAnswer: 54", confidence: 0.4}
      - {turn: "*.guesser", texts: ["Answer: 56", "Answer: 63"]}
      - {turn: "2.*", contains: "capital of", text: "Answer: Paris", fail: {times: 2, after_tokens: 3}}
      - {contains: "weather", text: '<tool_call>{"name": "weather", "arguments": {"in": "Athens"}}</tool_call>'}

The first rule whose glob matches the request's id, and whose regex is found in the prompt, answers the call. Any text
is allowed, malformed text above all: that is what a script is for. Tool calls are read out of it (`tool_calls`) where
the request offers such a tool.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from chorus.errors import ConfigError
from chorus.types import Frozen

MAX_SCRIPT_BYTES = 1 << 20
MAX_REPEATED_CHARS = 1_000_000
MAX_PATTERN_CHARS = 200


class Latency(Frozen):
    """How long a reply takes, in seconds on the event loop's clock."""

    first: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Before the first token."""
    per_token: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Before each token after it. 0 gives the whole reply in one piece."""
    jitter: float = Field(default=0.0, ge=0, le=1)
    """Either delay is up to this share longer or shorter, drawn once a call from the request's id and seed."""


class Fail(Frozen):
    """A fault, raised as the engine's error."""

    times: int | None = Field(default=None, ge=1)
    """How often it strikes each request id, then the reply is given; `None` for always."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Of these calls, the share that is struck, drawn once a call from the debate, the request's id and seed."""
    after_tokens: int = Field(default=0, ge=0)
    """Tokens of the reply that come through first."""
    message: str = "the script lets this call fail"
    retryable: bool = False
    retry_after_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """What the engine asks the caller to wait, in seconds."""
    context_too_long: bool = False
    """Raise `ContextTooLong` rather than `EngineError`."""


class Repeat(Frozen):
    """One text over and over, as a model gives that got stuck."""

    char: str = Field(min_length=1)
    times: int = Field(ge=0)

    @model_validator(mode="after")
    def _bounded(self) -> Repeat:
        if len(self.char) * self.times > MAX_REPEATED_CHARS:
            raise ValueError(f"repeats to more than {MAX_REPEATED_CHARS} characters")
        return self


class Reply(Frozen):
    """What is said to one call. Of `text`, `texts` and `repeat` exactly one is given."""

    text: str | None = None
    texts: tuple[str, ...] = ()
    """One is drawn, by the request's id and seed."""
    repeat: Repeat | None = None
    confidence: float | None = Field(default=None, gt=0, le=1)
    """The probability reported for each token; `None` reports none."""
    openings: dict[str, float] = Field(default_factory=dict)
    """Probabilities of first tokens, for callers that ask for them."""
    latency: Latency | None = None
    """`None` takes the script's."""
    finish: Literal["stop", "length"] | None = None
    """The finish reason; `None` says `length` when `max_tokens` cut the text, else `stop`."""
    fail: Fail | None = None
    cached_tokens: int = Field(default=0, ge=0)
    """Prompt tokens reported as found in the prefix cache, at most the prompt's own."""

    @model_validator(mode="after")
    def _one_text(self) -> Reply:
        given = [self.text is not None, bool(self.texts), self.repeat is not None].count(True)
        always_fails = self.fail is not None and self.fail.times is None
        if given > 1 or (given == 0 and not always_fails):
            raise ValueError("needs exactly one of text, texts, repeat")
        return self

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that one is drawn from."""
        if self.repeat is not None:
            return (self.repeat.char * self.repeat.times,)
        return self.texts or (self.text or "",)


class Rule(Reply):
    """A reply, and the calls that it answers."""

    turn: str = "*"
    """Glob on the request's id, `ROUND.SEAT`."""
    contains: re.Pattern[str] | None = None
    """Regex that is found in the prompt."""

    @field_validator("contains", mode="before")
    @classmethod
    def _short(cls, pattern: Any) -> Any:
        if isinstance(pattern, str) and len(pattern) > MAX_PATTERN_CHARS:
            raise ValueError(f"is longer than {MAX_PATTERN_CHARS} characters")
        return pattern


class Script(Frozen):
    """A whole script: its rules, and the engine that it plays."""

    context_window: int = Field(default=8192, ge=1)
    """Tokens of prompt and completion together; a call that asks for more is refused."""
    max_concurrency: int = Field(default=16, ge=1)
    """Calls at once that the engine says it serves well."""
    guided: bool = False
    """Whether it says that it decodes by a schema. What it says is in the script all the same."""
    latency: Latency = Latency()
    real_time: bool = False
    """Whether callers should run it on the real clock; otherwise on one that jumps."""
    default: Reply | None = None
    """Answers what no rule matches; `None` makes that an error."""
    turns: tuple[Rule, ...] = ()


def load_script(path: str | Path) -> Script:
    """Read a script from YAML. Raises ConfigError, naming the file and the field."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_SCRIPT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"can't read the script {path}: {error.strerror or error}") from error
    if len(raw) > MAX_SCRIPT_BYTES:
        raise ConfigError(f"the script {path} is longer than {MAX_SCRIPT_BYTES} bytes")
    try:
        return Script.model_validate(yaml.load(raw, _NoAliases))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'script'}: {e['msg']}" for e in error.errors()[:5])
        raise ConfigError(f"the script {path} is not valid: {faults}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"the script {path} is not YAML that can be read: {error}") from error


class _NoAliases(yaml.SafeLoader):
    """Plain YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)
