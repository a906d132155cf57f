"""What a drawing says in words: of a debate, of its stages, of one turn."""

from __future__ import annotations

from collections import defaultdict

from chorus.record.drawing.labels import listed, percent, shortened
from chorus.types import Answer, Turn

NO_REASON = "no reason was recorded"

_CLOSING = ("ballot", "check", "ruling", "synthesis")

Stage = tuple[int, int]
"""Rounds sort by number; ballots, checks, rulings and syntheses come after them, whatever round they carry. The checks of
each answer are a stage of their own."""


def stage(turn: Turn) -> Stage:
    """Return the stage that a turn belongs to."""
    if turn.kind == "speech":
        return 0, turn.round
    return 1 + _CLOSING.index(turn.kind), turn.round if turn.kind == "check" else 0


def stage_name(key: Stage) -> str:
    """Return what stands above the turns of a stage."""
    closing, number = key
    return _CLOSING[closing - 1] if closing else f"round {number}"


def heading(answer: Answer) -> list[str]:
    """Return the question, then the outcome, then why there is no better one."""
    lines = [answer.question.text, outcome(answer)]
    if answer.status != "done" or answer.reason:
        short = "cut short: " if answer.status == "cut" else ""
        lines.append(f"{short}{answer.reason or NO_REASON}")
    return lines


def outcome(answer: Answer) -> str:
    """Return the end of a debate on one line: its answer, how sure, by which rule."""
    if answer.answer is None:
        return "nothing decided"
    said = shortened(answer.answer, 40)
    return f"{said} · {percent(answer.confidence)} confidence · {shortened(answer.decision.rule, 20)}"


def describe(answer: Answer) -> str:
    """Tell the whole picture, for readers who hear it; long lists are cut."""
    plan = answer.plan
    seats = "1 seat" if len(plan.seats) == 1 else f"{len(plan.seats)} seats"
    words = [f"{plan.mode}, {seats}, topology {shortened(plan.topology, 60)}."]
    stages: defaultdict[Stage, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for turn in answer.turns:
        stages[stage(turn)][_said(turn)].append(turn.seat)
    for key in sorted(stages):
        groups = [f"{said}: {listed(who, 4)}" for said, who in stages[key].items()]
        more = f"; and {len(groups) - 6} more" if len(groups) > 6 else ""
        words.append(f"{stage_name(key).capitalize()}: {'; '.join(groups[:6])}{more}.")
    ending = "; ".join(shortened(line, 200) for line in heading(answer)[1:])
    return " ".join([*words, f"Outcome: {ending}."])


def told(turn: Turn) -> str:
    """Return everything about a turn that its box has no room for, line by line."""
    lines = [turn.id if turn.persona == turn.seat else f"{turn.id} ({shortened(turn.persona, 40)})"]
    if turn.status != "done":
        lines.append(f"{turn.status}: {shortened(turn.reason or NO_REASON, 160)}")
    if turn.position:
        lines.append(f"answer: {shortened(turn.position.answer, 120)}{sure(turn)}")
    if turn.position and turn.position.ranking:
        lines.append(f"ranking: {shortened(' > '.join(turn.position.ranking), 120)}")
    if change := changed(turn):
        lines.append(f"changed: {change}")
    if turn.heard:
        lines.append(f"heard: {listed(turn.heard)}")
    if turn.text.strip():
        lines.append(f"“{shortened(turn.text, 120)}”")
    return "\n".join(lines)


def changed(turn: Turn) -> str:
    """Return `54 → 56` for a turn that changed its seat's answer, else nothing."""
    if turn.flipped_from is None or turn.position is None:
        return ""
    return f"{shortened(turn.flipped_from, 60)} → {shortened(turn.position.answer, 60)}"


def sure(turn: Turn) -> str:
    """Return `, 90% sure` for a turn that says how sure it is, `, 90% right` for a check, else nothing."""
    if turn.position is None or turn.position.confidence is None:
        return ""
    return f", {percent(turn.position.confidence)} {'right' if turn.kind == 'check' else 'sure'}"


def _said(turn: Turn) -> str:
    if turn.status != "done":
        return turn.status
    if turn.position is None:
        return "no answer"
    if change := changed(turn):
        return f"changed {change}"
    return shortened(turn.position.answer, 60) + (sure(turn) if turn.kind == "check" else "")
