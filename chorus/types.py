"""The values that pass between the stages of a debate.

They are frozen: a stage reads what came before and makes something new. They are pydantic models, so that one
definition serves the Python API, `--json`, `--save`, the store and the wire (`schema: 1`), and so that a record read
back from disk is checked as strictly as one just made.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

SCHEMA = 1
"""Version of the debate record. It changes when a reader of the old one would go wrong."""

MAX_QUESTION_CHARS = 20_000
"""Longer questions are refused: they are documents, and a debate would repeat them to every voice."""

MAX_QUESTION_ID_CHARS = 200
"""Longer ids are refused."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Name the options of a question, and the answers on a ballot. Where they end, there are no more options."""

AnswerKind = Literal["number", "expression", "choice", "yesno", "short", "list", "code", "text"]
"""What sort of thing answers a question; `text` answers can't be compared, only read."""

Mode = Literal["debate", "vote", "inner", "solo"]
Layout = Literal["shared", "system"]
Positions = Literal["text", "json"]
"""How a voice states its position: at the end of its words, or as JSON with its reasoning beside its answer."""
Visibility = Literal["full", "answer", "summary"]
TurnKind = Literal["speech", "ballot", "check", "ruling", "synthesis"]
TurnStatus = Literal["done", "failed", "cancelled"]
DebateStatus = Literal["done", "cut", "failed"]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
QuestionText = Annotated[str, StringConstraints(max_length=MAX_QUESTION_CHARS)]


def well_formed(text: str) -> str:
    """Return text that every encoding of Unicode can hold: a lone surrogate becomes a question mark in a box."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Frozen(BaseModel):
    """A value that can't be changed after it is made, and has no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Tool(Frozen):
    """A function that the model may ask its caller to run. Nothing here runs it."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """What the model calls it by."""
    description: str = ""
    parameters: str = "{}"
    """JSON schema of its arguments, an object, as text; `{}` takes whatever comes."""

    @field_validator("parameters")
    @classmethod
    def _an_object(cls, parameters: str) -> str:
        try:
            schema = json.loads(parameters)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from None
        if not isinstance(schema, dict):
            raise ValueError("is no JSON object")
        return parameters


class ToolCall(Frozen):
    """The model's wish that a tool be run."""

    id: str
    """Names the call; the message with its result repeats it."""
    name: str
    arguments: str
    """JSON as the model wrote it: nobody has checked it against the tool's schema."""


class Message(Frozen):
    """One chat message, as every engine takes it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    """May be empty where an assistant only called tools."""
    tool_calls: tuple[ToolCall, ...] = ()
    """On an assistant's message: the tools that it asked for."""
    tool_call_id: str | None = None
    """On a tool's message: the call whose result its content is."""


class Question(Frozen):
    """What is asked. One line of a question file holds the same fields."""

    id: str = Field(default="question", min_length=1, max_length=MAX_QUESTION_ID_CHARS)
    """Names the question within its file; unique there."""
    text: QuestionText = Field(alias="question")
    """The question as asked."""
    kind: AnswerKind | None = None
    """What sort of answer is wanted; `None` lets the router judge by the wording."""
    choices: tuple[str, ...] = ()
    """The options of a multiple-choice question, in the order of their `LETTERS`; empty for an open one."""
    history: tuple[Message, ...] = ()
    """Earlier messages of the conversation that the question continues."""
    answer: str | None = None
    """The right answer where it is known. No voice ever sees it."""

    @field_validator("choices")
    @classmethod
    def _with_a_letter_each(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if len(choices) > len(LETTERS):
            raise PydanticCustomError(
                "too_many", f"are {len(choices)}: a question has at most {len(LETTERS)}, each named by a letter"
            )
        return choices


class Usage(Frozen):
    """What a turn or a debate cost."""

    calls: int = 0
    """Engine calls, retries counted."""
    prompt_tokens: int = 0
    """Tokens that the voices read, those found in the engine's prefix cache included."""
    cached_tokens: int = 0
    """The part of `prompt_tokens` that the engine did not compute again."""
    completion_tokens: int = 0
    """Tokens that the voices wrote."""
    wall_s: float = 0.0
    """Seconds from start to end, on the clock of the event loop."""

    def __add__(self, other: Usage) -> Usage:
        """Sum the counts. Seconds add up too; a debate, whose turns overlap, sets its own afterwards."""
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            wall_s=self.wall_s + other.wall_s,
        )


class Signals(Frozen):
    """What tells how sure a voice is; `None` where it can't be had."""

    span: Probability | None = None
    """Geometric mean of the probabilities of the answer's own tokens."""
    text: Probability | None = None
    """Mean probability of all tokens of the turn."""
    stated: Probability | None = None
    """What the voice says of itself."""


class Position(Frozen):
    """The answer that a turn stands for."""

    answer: str
    """As the voice wrote it, trimmed; two spellings of one answer are made equal by `debate.grade`, not here."""
    confidence: Probability | None = None
    """How sure the voice is; `None` when neither the engine nor the voice says. On a check: P(the answer is right)."""
    signals: Signals | None = None
    """What that was made of."""
    ranking: tuple[str, ...] | None = None
    """On a ballot: the answers on the table, best first."""


class Turn(Frozen):
    """One utterance, finished or not."""

    id: str
    """`ROUND.SEAT`, for instance `2.skeptic`."""
    round: int
    """1 for the first drafts. Ballots, rulings and syntheses stand in the round after the last; checks of one answer too,
    those of the next in the round after that."""
    seat: str
    """The place in the debate graph that speaks."""
    persona: str
    """The card that speaks from it."""
    kind: TurnKind = "speech"
    """What the turn is for; only speeches are put to the vote."""
    status: TurnStatus = "done"
    text: str = ""
    """What was said; of a failed or cancelled turn, what had been said by then."""
    position: Position | None = None
    """`None` when no answer was found in the text."""
    heard: tuple[str, ...] = ()
    """Ids of the turns that this one read."""
    flipped_from: str | None = None
    """The answer that this seat gave before, when it now gives another; never set where answers can't be compared."""
    reason: str | None = None
    """Why the turn failed or was cancelled."""
    finish: str | None = None
    """The engine's finish reason: `stop`, `length` …"""
    seed: int | None = None
    """The sampling seed sent to the engine."""
    prompt_sha256: str | None = None
    """Hash of the messages that the engine was sent."""
    usage: Usage = Usage()


class Support(Frozen):
    """What one answer had behind it."""

    answer: str
    weight: float
    """In the decision rule's own unit: votes, summed confidences, points."""
    share: float
    """`weight` over the sum of all weights; 0 when that sum is 0."""
    seats: tuple[str, ...]
    """The seats whose final position it is."""


class Dissent(Frozen):
    """The strongest losing position, in its own words."""

    answer: str
    share: float
    """Its share of the support."""
    seats: tuple[str, ...]
    turn: str
    """Id of the turn that the words come from."""
    text: str


class Decision(Frozen):
    """The outcome over the final positions."""

    rule: str
    answer: str | None
    """`None` when no voice took a position."""
    confidence: Probability
    """The winner's share of the support under the rule, times the share of seats that took a position at all; where
    `calibrated`, the probability of being right that a calibration file gives."""
    calibrated: bool = False
    support: tuple[Support, ...] = ()
    """Every distinct answer, best first."""
    dissent: Dissent | None = None
    tie: str | None = None
    """How a tie was broken, in words; `None` when there was none."""
    note: str | None = None
    """What a reader should know about how the rule ran: fell back, stopped early …"""


class SeatPlan(Frozen):
    """One seat of the plan: which persona sits there and how its turns are sampled."""

    seat: str
    persona: str
    temperature: float = Field(ge=0.0, le=2.0)
    top_p: float = Field(gt=0.0, le=1.0)


class GatePlan(Frozen):
    """The gate: who speaks first, and how sure they must be together for the rest not to be asked."""

    seats: tuple[str, ...]
    threshold: Probability


class Plan(Frozen):
    """Everything that was settled before the first word: who, along which edges, how often, and how it is decided."""

    mode: Mode
    kind: AnswerKind
    seats: tuple[SeatPlan, ...]
    topology: str
    """The SPEC that the edges came from."""
    edges: tuple[tuple[str, str, Visibility], ...]
    """`(u, v, visibility)`: v hears u."""
    rounds: int
    decision: str
    layout: Layout
    openness: Probability | None
    """How readily a voice yields: 0 keep unless shown a concrete error … 1 follow the majority; `None`: it isn't told."""
    detail: Literal["brief", "full"]
    """Whether voices read the one-line form of their method or all its steps."""
    positions: Positions = "text"
    """How voices state their positions; with `json`, guided where the engine can."""
    trained_prompt: str | None = None
    """The system message by which a baked checkpoint was trained to answer; `None`: asked as any model is."""
    max_tokens: int
    """Bound on one turn's length, in tokens."""
    stop_error: float = Field(default=0.0, ge=0.0, lt=0.5)
    """The vote may end early where this share of such ends, at most, would be wrong; 0 ends it only when it is sure."""
    early_stop: bool = True
    """Whether it may end early at all; otherwise every voice speaks to its end."""
    gate: GatePlan | None = None
    """`None` convenes everybody from the start."""
    calibration_sha256: str | None = None
    """Hash of the calibration file that the confidences come from."""
    engine: str
    """The engine's SPEC."""
    checkpoint_sha256: str | None = None
    """Hash of the local weights, where the engine has any."""
    routed_by: str
    """Which way of routing chose the cast: `fixed`, `expertise`, `written`, `baked`; with the reason when it fell back."""


class Answer(Frozen):
    """A debate's record: the answer, how sure, what the dissent was, and everything that led there."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: str
    """Names the debate: the question's id, then its hash with the seed."""
    status: DebateStatus
    """`done`; `cut` when a budget or an interruption ended it early; `failed` when nothing could be decided."""
    reason: str | None = None
    """Why it was cut or failed."""
    question: Question
    answer: str | None
    confidence: Probability
    dissent: Dissent | None
    decision: Decision
    turns: tuple[Turn, ...]
    """By round, then by seat in the plan's order; failed and cancelled turns stay in the list."""
    notes: tuple[str, ...] = ()
    """What was shortened, retried or left out along the way."""
    usage: Usage
    plan: Plan
    personas: dict[str, str]
    """Of each persona in the plan, the sha256 of its card."""
    seed: int
    versions: dict[str, str]
    """Of the packages that a result may depend on."""

    def _repr_html_(self) -> str:
        """Show the debate in a notebook: the graph, who flipped, the transcript folded."""
        from chorus.record.picture import html  # the one import upwards: a value that shows itself

        return html(self)

    def __str__(self) -> str:
        return self.answer if self.answer is not None else f"(no answer: {self.reason})"
