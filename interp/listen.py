"""Who is speaking in a saved debate: its turns under the lens of the model that spoke them, as data and as a page."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from chorus import whole_file
from chorus.checkpoints import Report
from chorus.types import Answer
from interp import graph, voices
from interp.errors import LensError
from interp.said import Said, audible, of_record
from interp.subject import Subject
from interp.vectors import Vector
from interp.voices import Voices
from interp.work import PLAN
from personas import Persona

By = Literal["vector", "circuit"]
"""What is taken out of the computation to see what hangs on it."""
DATA, PAGE = "voices.json", "voices.html"
PLAIN = "plain"
"""The persona without a method, whose prompt every turn is held against."""


def ear(folder: Path, by: By, subject: Subject) -> Callable[[Said], Voices]:
    """Return what hears every persona of whom an audit's work folder has the vector, or the circuit.

    Raises:
        LensError: the folder has none, or those of other weights.
    """
    try:
        weights = json.loads((folder / PLAN).read_text("utf-8"))["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LensError(
            f"{folder} is no work folder of an audit: run `chorus audit` first, or name its --work"
        ) from error
    if weights != subject.weights:
        raise LensError(f"{folder} holds the audit of other weights than those of {subject.name}")
    paths = {path.name.split(".")[0]: path for path in sorted(folder.glob(f"*.{by}.json")) if path.name.count(".") == 2}
    if not paths:
        raise LensError(f"{folder} holds no persona's {by}: its audit has not come so far")
    if by == "vector":
        vectors = {name: Vector.load(path) for name, path in paths.items()}
        return lambda told: voices.by_vector(subject.lens, told, vectors)
    circuits = {name: graph.load(path) for name, path in paths.items()}
    return lambda told: voices.by_circuit(subject.lens, told, circuits)


def listen(
    record: Answer,
    subject: Subject,
    hear: Callable[[Said], Voices],
    cards: Mapping[str, Persona],
    turns: Sequence[str] = (),
    report: Report = lambda _: None,
) -> dict[str, Voices]:
    """Return by turn's id what each persona weighs at each of its tokens.

    Args:
        record: a debate of this very model.
        subject: the model.
        hear: see `ear`.
        cards: of the debate's personas, and that of `PLAIN`.
        turns: ids of turns; empty means all in which something was said, and an inner dialogue's answer.
        report: is told of each turn.

    Raises:
        LensError: the record can't be put under the lens; see `said.of_record`.
    """
    heard = {}
    for turn in turns or audible(record, cards):
        report(f"listening to {turn}")
        heard[turn] = hear(of_record(record, turn, cards, subject.tokenizer, cards[PLAIN], subject.weights))
    return heard


def write(record: Answer, by: By, heard: Mapping[str, Voices], folder: Path) -> tuple[Path, Path]:
    """Write data and page into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {
        "schema": 1,
        "record": record.id,
        "weights": record.plan.checkpoint_sha256,
        "by": by,
        "turns": {turn: own.data() for turn, own in heard.items()},
    }
    strips = "".join(f"<h2>{html.escape(turn)}</h2>\n{own.strip()}" for turn, own in heard.items())
    title = html.escape(f"Who is speaking: {record.question.text}")
    head = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>'
    page = f"{head}\n<h1>{title}</h1>\n{strips}</html>\n"
    written = folder / DATA, folder / PAGE
    for path, text in zip(written, (json.dumps(data, indent=1) + "\n", page), strict=True):
        whole_file.put(path, text)
    return written


def in_words(heard: Voices) -> str:
    """Return how many of the tokens each persona speaks for."""
    count = Counter(speaker for speaker in heard.speakers if speaker)
    told = [f"{name} speaks for {tokens}" for name, tokens in count.most_common()]
    return f"of {len(heard.tokens)} tokens " + (", ".join(told) or "no persona speaks for any")
