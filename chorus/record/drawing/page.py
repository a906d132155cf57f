"""A debate as HTML: for notebooks a fragment, for files a page.

It reads from the top: the answer and how sure, what stood behind it, the dissent in its own words, who heard whom, who
changed their mind, what went wrong, what it cost, and folded below every word that was said. Nothing in it runs,
nothing is fetched, and every rule of its style holds inside it only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from chorus.record.drawing.labels import escaped, listed, percent, shortened
from chorus.record.drawing.stances import OTHER, Colour, Stances
from chorus.record.drawing.style import STYLE
from chorus.record.drawing.svg import svg
from chorus.record.drawing.words import NO_REASON, Stage, changed, stage, stage_name, sure
from chorus.types import Answer, Dissent, Support, Turn

LONG = 120
"""Answers longer than this, in characters, are set as text rather than as a headline."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html(answer: Answer) -> str:
    """Show a debate as a fragment of HTML, as notebooks take it from `_repr_html_`."""
    stances = Stances(answer)
    parts = (
        f"<style>{STYLE}</style>",
        _verdict(answer),
        _support(answer, stances),
        _dissent(answer.dissent, answer.turns),
        f'<div class="gc-drawing">{svg(answer, heading=False)}</div>',
        _list("Who changed their mind", (_flip(turn) for turn in answer.turns if changed(turn))),
        _list("What went wrong", _failures(answer.turns)),
        _list("Notes", _notes(answer)),
        f'<p class="gc-muted gc-usage">{_usage(answer)}</p>',
        _transcript(answer, stances),
    )
    label = escaped(shortened(answer.question.text, 200))
    return f'<section class="greek-chorus" aria-label="{label}">{"".join(parts)}</section>'


def page(answer: Answer) -> str:
    """Show a debate as a page of its own, in the reader's light or dark setting."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(shortened(answer.question.text, 120))}</title>"
        "<style>body{margin:2rem auto;padding:0 1rem;max-width:60rem}</style></head>"
        f"<body>{html(answer)}</body></html>\n"
    )


# ---- the outcome -----------------------------------------------------------------------------------------------------


def _verdict(answer: Answer) -> str:
    question = f'<p class="gc-question gc-text">{escaped(answer.question.text)}</p>'
    warning = ""
    if answer.status != "done":
        what = "Nothing was decided" if answer.answer is None else "Cut short"
        warning = f'<p class="gc-warning"><strong>{what}:</strong> {escaped(answer.reason or NO_REASON)}</p>'
    if answer.answer is None:
        return question + warning
    size = "gc-text" if len(answer.answer) > LONG or "\n" in answer.answer.strip() else "gc-answer"
    return (
        f'{question}{warning}<p class="{size}">{escaped(answer.answer)}</p>'
        f'<p class="gc-muted">{escaped(percent(answer.confidence))} confidence · {escaped(answer.decision.rule)}</p>'
    )


def _support(answer: Answer, stances: Stances) -> str:
    """A bar for every answer that was stood for in the end."""
    rows = []
    for one in answer.decision.support:
        stance = stances.find(one.answer)
        rows.append(_bar(one, stance.colour if stance else OTHER, wins=bool(stance and stance.wins)))
    return f'<div class="gc-support">{"".join(rows)}</div>' if rows else ""


def _bar(one: Support, colour: Colour, *, wins: bool) -> str:
    words = escaped(shortened(one.answer, 60))
    share = min(max(one.share, 0.0), 1.0) * 100
    return (
        f"<div>{f'<strong>{words}</strong>' if wins else words}</div>"
        f'<div class="gc-track"><div style="width:{share:.1f}%;background:{colour.fill}"></div></div>'
        f"<div>{escaped(percent(one.share))}</div>"
        f'<div class="gc-muted" title="weight {one.weight:.4g}">{escaped(listed(one.seats))}</div>'
    )


def _dissent(dissent: Dissent | None, turns: Iterable[Turn]) -> str:
    if dissent is None:
        return ""
    said = next((turn for turn in turns if turn.id == dissent.turn), None)
    speaker = f"{said.seat}, round {said.round}" if said else dissent.turn
    others = [seat for seat in dissent.seats if said is None or seat != said.seat]
    joined = f", with {listed(others)}" if others else ""
    return (
        f'<p class="gc-head">Dissent: {escaped(shortened(dissent.answer, 80))} ({escaped(percent(dissent.share))})</p>'
        f'<blockquote><div class="gc-text">{escaped(dissent.text.strip())}</div>'
        f'<p class="gc-muted">— {escaped(speaker + joined)}</p></blockquote>'
    )


# ---- the course of it ------------------------------------------------------------------------------------------------


def _list(head: str, items: Iterable[str]) -> str:
    rows = "".join(f"<li>{escaped(item)}</li>" for item in items)
    return f'<p class="gc-head">{head}</p><ul>{rows}</ul>' if rows else ""


def _flip(turn: Turn) -> str:
    return f"{turn.seat}: {changed(turn)} in round {turn.round}"


def _failures(turns: Iterable[Turn]) -> list[str]:
    """Turns that did not come to their end, those with one reason together."""
    alike: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for turn in turns:
        if turn.status != "done":
            alike[turn.status, turn.reason or NO_REASON].append(turn.id)
    return [f"{listed(ids)} {status}: {shortened(why, 500)}" for (status, why), ids in alike.items()]


def _notes(answer: Answer) -> list[str]:
    """Return what a reader should know; the decision's own remarks first."""
    own = (answer.decision.tie, answer.decision.note)
    return list(dict.fromkeys((*(note for note in own if note), *answer.notes)))


def _usage(answer: Answer) -> str:
    used = answer.usage
    calls = "1 call" if used.calls == 1 else f"{used.calls:,} calls"
    return (
        f"{calls} · {used.prompt_tokens:,} tokens read ({used.cached_tokens:,} cached) · "
        f"{used.completion_tokens:,} written · {used.wall_s:.1f} seconds · {escaped(answer.plan.engine)}"
    )


def _transcript(answer: Answer, stances: Stances) -> str:
    stages: defaultdict[Stage, list[Turn]] = defaultdict(list)
    for turn in answer.turns:
        stages[stage(turn)].append(turn)
    folds = (
        f'<details><summary>{stage_name(key).capitalize()} <span class="gc-muted">{len(turns)} '
        f"turn{'s' * (len(turns) > 1)}</span></summary>{''.join(_speech(turn, stances) for turn in turns)}</details>"
        for key, turns in sorted(stages.items())
    )
    return f'<p class="gc-head">What was said</p>{"".join(folds)}' if stages else ""


def _speech(turn: Turn, stances: Stances) -> str:
    stance = stances.of(turn)
    chip = ""
    if stance and turn.position:
        paint = f"background:{stance.colour.fill};color:{stance.colour.text}"
        chip = f'<span class="gc-chip" style="{paint}">{escaped(shortened(turn.position.answer, 40))}</span>'
    facts: list[str] = [turn.status] if turn.status != "done" else []
    facts += [f"as {turn.persona}"] if turn.persona != turn.seat else []
    facts += [sure(turn).removeprefix(", ")] if sure(turn) else []
    facts += [f"changed {changed(turn)}"] if changed(turn) else []
    facts += [f"heard {listed(turn.heard)}"] if turn.heard else []
    facts += [turn.reason] if turn.reason else []
    said = f'<div class="gc-text">{escaped(turn.text.strip())}</div>' if turn.text.strip() else ""
    return (
        f'<div class="gc-speech"><strong>{escaped(turn.seat)}</strong> {chip} '
        f'<span class="gc-muted">{escaped(" · ".join(facts))}</span>{said}</div>'
    )
