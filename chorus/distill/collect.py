"""Step 1, `collect`: debates over a train question file, marked, and made into rows.

Every debate's record is kept. The folder then holds

    questions.jsonl  what was asked                                   records.jsonl  the debates; held on Ray, they are
    marks.jsonl      what each came to                                               shards in a folder, records/
    cast.json        who spoke                                        rows.jsonl     prompts and completions to train on
                                                                      README.md      the data card
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chorus.batch import Advance, Summary, debate_file
from chorus.chorus import Chorus
from chorus.cluster.run import Fleet, debate_shards
from chorus.distill import cast, files, marks
from chorus.distill.rows import STYLE_OF, Row, rows
from chorus.errors import ConfigError
from chorus.question_file import read_questions
from chorus.record import transcript
from chorus.types import Answer, Question

QUESTIONS, RECORDS, SHARDS = "questions.jsonl", "records.jsonl", "records"
MARKS, ROWS, CARD = "marks.jsonl", "rows.jsonl", "README.md"


async def hold(
    chorus: Chorus,
    questions: Sequence[Question],
    folder: Path,
    *,
    concurrency: int = 8,
    advance: Advance = lambda done, total, newest: None,
) -> Summary:
    """Hold a debate over every question that has no record in the folder yet. Raises as `debate_file`."""
    _begin(chorus, questions, folder)
    if (folder / SHARDS).exists():
        raise ConfigError(f"{folder} was begun on Ray: go on there with --ray, or name another folder")
    return await debate_file(
        chorus, folder / QUESTIONS, folder / RECORDS, concurrency=concurrency, retry_failed=True, advance=advance
    )


def hold_on(
    fleet: Fleet,
    chorus: Chorus,
    questions: Sequence[Question],
    folder: Path,
    *,
    advance: Advance = lambda done, total, newest: None,
) -> Summary:
    """Do as `hold` does, on the workers of a fleet; their settings are those of the chorus. Raises as `debate_shards`."""
    _begin(chorus, questions, folder)
    if (folder / RECORDS).exists():
        raise ConfigError(f"{folder} was begun without Ray: go on without --ray, or name another folder")
    return debate_shards(fleet, folder / QUESTIONS, folder / SHARDS, retry_failed=True, advance=advance)


def _begin(chorus: Chorus, questions: Sequence[Question], folder: Path) -> None:
    if chorus.settings.personas == "written":
        raise ConfigError("a cast that the model writes anew for each question can't be baked: name the personas")
    asked = (question.model_dump(mode="json", by_alias=True, exclude_defaults=True) for question in questions)
    files.put_lines(folder / QUESTIONS, asked)


def write_rows(folder: Path, chorus: Chorus) -> dict[str, float]:
    """Make marks, cast, rows and the data card from the folder's records; return their figures.

    Raises:
        RecordError: a record can't be read, or its cast is not known to the chorus that held it.
    """
    wanted = {question.id for question in read_questions(folder / QUESTIONS)}
    kept = folder / (SHARDS if (folder / SHARDS).exists() else RECORDS)
    records = [record for record in transcript.read(kept) if record.question.id in wanted]
    named = () if chorus.settings.personas == "auto" else chorus.library.select(chorus.settings.personas)
    spoke = cast.of_records(records, [*chorus.library.personas, *named])
    marked = [marks.mark(record) for record in records]
    made = [row for record in records for row in rows(record, spoke)]
    files.put_lines(folder / MARKS, (mark.model_dump(mode="json") for mark in marked))
    files.put_lines(folder / ROWS, (row.model_dump(mode="json") for row in made))
    files.put(folder / cast.FILE, spoke.model_dump_json(indent=1) + "\n")
    figures = _figures(records, marked, made)
    files.put(folder / CARD, data_card(records, spoke, made, figures))
    return figures


def data_card(records: Sequence[Answer], spoke: cast.Cast, made: Sequence[Row], figures: dict[str, float]) -> str:
    """Return what a reader should know of the rows before training on them, as Markdown."""
    plan = records[0].plan
    lines = [
        "# Rows from debates",
        "",
        f"{len(records)} debates on `{plan.engine}`, mode {plan.mode}, topology `{plan.topology}`, {plan.rounds} rounds, "
        f"decided by {plan.decision}, seed {records[0].seed}. Weights: sha256 {plan.checkpoint_sha256 or 'not known'}.",
        "",
        f"Who spoke: {', '.join(f'{card.name} (`{card.id}`)' for card in spoke.personas)}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {value:g} |" for name, value in figures.items()),
        "",
        "Rows that come from wrong debates are kept and marked `right: false`; a mix takes right ones unless it says",
        "otherwise. What voices said is a model's text: it may be wrong even where the answer is right. Questions are those",
        "of a train split, checked against the held-out files named in `run.json`.",
    ]
    for form in STYLE_OF:
        if example := next((row for row in made if row.form == form), None):
            lines += ["", f"## `{form}`", "", *_quoted(example)]
    return "\n".join(lines) + "\n"


def _quoted(row: Row) -> list[str]:
    said = [f"{message.role}: {message.content}" for message in (*row.prompt, *row.completion)]
    return [f"> {line}" for line in "\n".join(said).split("\n")]


def _figures(records: Sequence[Answer], marked: Sequence[marks.Mark], made: Sequence[Row]) -> dict[str, float]:
    forms = Counter(row.form for row in made)
    return {
        "debates": len(records),
        "right": sum(mark.right is True for mark in marked),
        "wrong": sum(mark.right is False for mark in marked),
        "without_known_answer": sum(mark.right is None for mark in marked),
        "contested": sum(mark.contested for mark in marked),
        "flipped": sum(mark.flips > 0 for mark in marked),
        "corrected_turns": sum(mark.corrected for mark in marked),
        "misled_turns": sum(mark.misled for mark in marked),
        "prompt_tokens": sum(record.usage.prompt_tokens for record in records),
        "cached_tokens": sum(record.usage.cached_tokens for record in records),
        "completion_tokens": sum(record.usage.completion_tokens for record in records),
        **{f"rows_{form}": count for form, count in sorted(forms.items())},
    }
