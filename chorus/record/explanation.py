"""An answer explained in words: who argued what, who changed their mind, how sure the chorus is, what speaks against it.

Plain text, for a person who was not there. Everything in it is read off the record; nothing is asked of a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from chorus.record.drawing.labels import percent
from chorus.record.drawing.stances import Stances
from chorus.types import Answer, Turn

WIDTH = 400
"""Characters of a turn that are shown; the record has the rest."""


def explain(answer: Answer, review: Sequence[str] = ()) -> str:
    """Return the explanation of a debate's outcome.

    Args:
        answer: the record.
        review: why a person should look at it.
    """
    parts = [
        _outcome(answer),
        _review(review),
        _support(answer),
        _dissent(answer),
        _voices(answer),
        _changes(answer),
        _notes(answer),
        _cost(answer),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _outcome(answer: Answer) -> str:
    asked = f"Question: {answer.question.text.strip()}"
    if answer.answer is None:
        return f"{asked}\n\nThere is no answer: {answer.reason}."
    sure = "a probability fitted on labelled questions" if answer.decision.calibrated else "a share of the vote"
    lines = [
        asked,
        "",
        f"Answer: {answer.answer}",
        f"Confidence: {percent(answer.confidence)} ({sure}), by {answer.decision.rule}.",
    ]
    if answer.status == "cut":
        lines.append(f"The debate was cut short: {answer.reason}.")
    lines += [note for note in (answer.decision.tie, answer.decision.note) if note]
    return "\n".join(lines)


def _review(review: Sequence[str]) -> str:
    return "A person should look at this:\n" + "\n".join(f"- {reason}" for reason in review) if review else ""


def _support(answer: Answer) -> str:
    rows = [
        f"- {row.answer}: {percent(row.share)} ({', '.join(row.seats) or 'no seat'})" for row in answer.decision.support
    ]
    return "How support stood in the end:\n" + "\n".join(rows) if rows else ""


def _dissent(answer: Answer) -> str:
    dissent = answer.dissent
    if dissent is None:
        return "Nobody stood for another answer." if answer.answer is not None else ""
    return f"The strongest dissent was for {dissent.answer}, in {dissent.turn}:\n{_quoted(dissent.text)}"


def _voices(answer: Answer) -> str:
    blocks = [f"{_title(turn)}\n{_quoted(turn.text) if turn.text.strip() else '> (nothing)'}" for turn in answer.turns]
    return "What was said:\n\n" + "\n\n".join(blocks) if blocks else ""


def _title(turn: Turn) -> str:
    title = f"{turn.id} ({turn.persona})" + ("" if turn.kind == "speech" else f", {turn.kind}")
    if turn.status != "done":
        return f"{title} {turn.status}: {turn.reason}"
    if turn.position is None:
        return f"{title} took no position"
    if turn.kind == "check" and turn.position.confidence is not None:
        return f"{title} of {turn.position.answer}: {percent(turn.position.confidence)} right"
    sure = "" if turn.position.confidence is None else f", {percent(turn.position.confidence)} sure"
    return f"{title} stood for {turn.position.answer}{sure}"


def _changes(answer: Answer) -> str:
    """Tell who changed their mind, and which of those they had heard already held what they changed to."""
    by_id, stances = {turn.id: turn for turn in answer.turns}, Stances(answer)
    lines = []
    for turn in answer.turns:
        if turn.flipped_from and turn.position:
            heard = [by_id[name] for name in turn.heard if name in by_id and by_id[name].seat != turn.seat]
            before = [other.id for other in heard if other.position and stances.of(other) == stances.of(turn)]
            why = f"after hearing it from {', '.join(before)}" if before else "which none of those it heard had said"
            lines.append(f"- {turn.id} changed from {turn.flipped_from} to {turn.position.answer}, {why}.")
    return "Who changed their mind:\n" + "\n".join(lines) if lines else ""


def _notes(answer: Answer) -> str:
    return "Along the way:\n" + "\n".join(f"- {note}" for note in answer.notes) if answer.notes else ""


def _cost(answer: Answer) -> str:
    used = answer.usage
    return (
        f"It took {used.calls} calls, {used.prompt_tokens:,} tokens read ({used.cached_tokens:,} of them cached), "
        f"{used.completion_tokens:,} written, {used.wall_s:.1f} s, on {answer.plan.engine}."
    )


def _quoted(text: str) -> str:
    short = text.strip()
    short = short if len(short) <= WIDTH else short[:WIDTH] + " …"
    return "\n".join(f"> {line}" for line in short.splitlines())
