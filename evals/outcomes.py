"""What came of one question under one system: a row of the tidy results that every figure is made from.

A debate's record holds everything in the order in which it happened; an `Outcome` holds what is counted, with the answers
already compared and graded, so that votes can be taken again, statistics drawn and pictures made without a grader and
without an engine. `results.jsonl` is one outcome a line. Invariants:

- `answers` are distinct by the one grader, and every `side` is an index into them;
- `correct` says that the system's answer is the right one, and no answer is never right;
- tokens and seconds are what the engine counted; `computed_tokens` are those it had to work on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field, ValidationError

from chorus import whole_file
from chorus.debate import grade
from chorus.errors import RecordError
from chorus.types import Answer, DebateStatus, Frozen, Probability, Signals, Turn, TurnKind, TurnStatus


class Draft(Frozen):
    """One turn of a debate, as far as it is counted."""

    turn: str
    """`ROUND.SEAT`."""
    round: int
    seat: str
    persona: str
    kind: TurnKind = "speech"
    status: TurnStatus = "done"
    side: int | None = None
    """Which of the outcome's answers it stands for; None: no answer was found in it."""
    confidence: Probability | None = None
    signals: Signals | None = None
    heard: tuple[str, ...] = ()
    """Ids of the turns that it read."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def computed_tokens(self) -> int:
        """Tokens that the engine had to work on: those read and not found in its cache, and those written."""
        return self.prompt_tokens - self.cached_tokens + self.completion_tokens


class Outcome(Frozen):
    """What came of one question under one system, once."""

    system: str
    """Names the way of answering within its suite."""
    task: str
    split: str
    """`train`, `dev` or `test`; empty for questions that have none."""
    question: str
    """Its id: the same for every system, so that they can be compared in pairs."""
    seed: int
    status: DebateStatus
    reason: str | None = None
    """Why it failed or was cut."""
    answers: tuple[str, ...] = ()
    """The distinct answers given, the system's own among them."""
    gold: str
    """The right answer."""
    right: int | None = None
    """Which of `answers` is right; None: nobody gave the right one."""
    side: int | None = None
    """Which of `answers` is the system's; None: it gave none."""
    confidence: Probability = 0.0
    share: Probability = 0.0
    """The winner's share of the support."""
    rule: str = ""
    """How it was decided."""
    engine: str = ""
    """SPEC of the engine."""
    checkpoint_sha256: str | None = None
    """Hash of the local weights, where the engine has any."""
    calibrated: bool = False
    """Whether `confidence` comes from a calibration file."""
    gated: bool = False
    """Whether the gate answered, so that the rest was never asked."""
    resampled: bool = False
    """Whether the vote was taken again from stored drafts: it then has no time of its own, and `wall_s` is 0."""
    calls: int = Field(ge=0)
    prompt_tokens: int = Field(ge=0)
    cached_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    wall_s: float = Field(ge=0)
    """Seconds from start to end, other questions' calls on the same engine included."""
    drafts: tuple[Draft, ...] = ()
    """Every turn, in the record's order."""

    @property
    def correct(self) -> bool:
        """Whether the system's answer is the right one."""
        return self.side is not None and self.side == self.right

    @property
    def computed_tokens(self) -> int:
        """Tokens that the engine had to work on."""
        return self.prompt_tokens - self.cached_tokens + self.completion_tokens

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Tells it apart from every other: system, task, seed, question."""
        return self.system, self.task, self.seed, self.question


def outcome(record: Answer, system: str, task: str, split: str) -> Outcome:
    """Return what is counted of a debate's record.

    Args:
        record: of a question whose right answer is known.
        system: the way of answering.
        task: what the question is one of.
        split: of that task.

    Raises:
        RecordError: the question holds no right answer.
    """
    gold = record.question.answer
    if gold is None:
        raise RecordError(f"question {record.question.id!r} has no answer to be graded by")
    given = [turn.position.answer for turn in record.turns if turn.position]
    own = [record.answer] if record.answer is not None else []
    said = [*given, *own, gold]
    sides = _sides(said, record)
    answers = {side: said[at] for at, side in reversed(list(enumerate(sides[:-1])))}
    counted = iter(sides)
    return Outcome(
        system=system,
        task=task,
        split=split,
        question=record.question.id,
        seed=record.seed,
        status=record.status,
        reason=record.reason,
        answers=tuple(answers[side] for side in sorted(answers)),
        gold=gold,
        right=sides[-1] if sides[-1] in answers else None,
        side=sides[-2] if own else None,
        confidence=record.confidence,
        share=record.decision.support[0].share if record.decision.support else 0.0,
        rule=record.decision.rule,
        engine=record.plan.engine,
        checkpoint_sha256=record.plan.checkpoint_sha256,
        calibrated=record.decision.calibrated,
        gated=record.plan.gate is not None and {turn.seat for turn in record.turns} <= set(record.plan.gate.seats),
        calls=record.usage.calls,
        prompt_tokens=record.usage.prompt_tokens,
        cached_tokens=record.usage.cached_tokens,
        completion_tokens=record.usage.completion_tokens,
        wall_s=record.usage.wall_s,
        drafts=tuple(_draft(turn, next(counted) if turn.position else None) for turn in record.turns),
    )


def read(path: str | Path) -> Iterator[Outcome]:
    """Yield the outcomes of a results file.

    Raises:
        RecordError: it can't be read, or a line is no outcome; names the line and the field.
    """
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _loads(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"can't read the results in {path}: {error}") from error


def write(outcomes: Iterable[Outcome], path: str | Path) -> None:
    """Replace a results file as a whole, so that a kill leaves the old one or the new one. Raises RecordError."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole_file.put(target, "".join(one.model_dump_json(exclude_defaults=True) + "\n" for one in outcomes))
    except OSError as error:
        raise RecordError(f"can't write the results to {path}: {error.strerror or error}") from error


def _sides(said: list[str], record: Answer) -> list[int]:
    """Number what was said by the distinct answers in it, in order of first appearance."""
    sides = [0] * len(said)
    for number, members in enumerate(grade.classes(said, record.plan.kind, record.question.choices)):
        for at in members:
            sides[at] = number
    return sides


def _draft(turn: Turn, side: int | None) -> Draft:
    return Draft(
        turn=turn.id,
        round=turn.round,
        seat=turn.seat,
        persona=turn.persona,
        kind=turn.kind,
        status=turn.status,
        side=side,
        confidence=turn.position.confidence if turn.position else None,
        signals=turn.position.signals if turn.position else None,
        heard=turn.heard,
        prompt_tokens=turn.usage.prompt_tokens,
        cached_tokens=turn.usage.cached_tokens,
        completion_tokens=turn.usage.completion_tokens,
    )


def _loads(line: str, where: str) -> Outcome:
    try:
        return Outcome.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the line"
        raise RecordError(f"{where}: {field}: {first['msg']}") from None
