"""Where is there room? What the embedded model scores on each task, so that tasks can be chosen that tell systems apart.

    python -m evals.tasks.headroom --records runs/headroom

One plain voice answers, greedily, in at most 32 tokens; `--methods` has the eight methods of the pack `reasoning` answer
too, for what any of them finds. A task has head-room where the voice scores from .1 to .9 and more than the majority
answer does: a model that repeats one answer shows nothing. Only `dev` is looked at. Resumable: records are kept.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chorus import Chorus
from chorus.batch import debate_file
from chorus.debate import grade
from chorus.record import transcript
from chorus.types import Answer, Question
from evals import report, tasks
from evals.tasks.gym_tasks import GYM_TASKS
from evals.tasks.splits import Split

LOW, HIGH = 0.1, 0.9
SPLIT: Split = "dev"
TOKENS = 32
NAME = "headroom"

Setup = Mapping[str, Any]
PLAIN: Setup = {"mode": "solo", "personas": "plain"}
METHODS: Setup = {"mode": "vote", "personas": "reasoning", "decision": "plurality"}


def candidates() -> list[str]:
    """Return the tasks that can be made here, at every difficulty."""
    gym = [task.name for gym in GYM_TASKS for task in gym.tasks()]
    return [name for name in tasks.names() if name in gym or tasks.find(name).source.startswith("evals/")]


async def answer(
    asked: Mapping[str, Sequence[Question]], setup: Setup, engine: str, records: Path, concurrency: int
) -> None:
    """Have every question answered that has no record yet."""
    lines = [
        question.model_dump_json(by_alias=True, exclude_defaults=True) for one in asked.values() for question in one
    ]
    records.parent.mkdir(parents=True, exist_ok=True)
    questions = records.with_suffix(".questions.jsonl")
    questions.write_text("\n".join(lines) + "\n", "utf-8")
    chorus = Chorus(engine=engine, temperature=0.0, max_tokens=TOKENS, **setup)
    summary = await debate_file(chorus, questions, records, concurrency=concurrency)
    print(summary.in_words())


def right(record: Answer, question: Question) -> bool:
    """Say whether the answer is right."""
    return record.answer is not None and _same(record.answer, question)


def found(record: Answer, question: Question) -> bool:
    """Say whether any voice gave the right answer."""
    return any(_same(turn.position.answer, question) for turn in record.turns if turn.position)


def has_room(accuracy: float, baseline: float) -> bool:
    """Say whether a task can tell systems apart on this model."""
    return LOW <= accuracy <= HIGH and accuracy > baseline


def _same(said: str, question: Question) -> bool:
    return grade.same(said, question.answer or "", grade.infer_kind(question), question.choices)


def _row(name: str, asked: Sequence[Question], plain: dict[str, Answer], methods: dict[str, Answer]) -> list[Any]:
    from statsmodels.stats.proportion import proportion_confint

    hits = sum(right(plain[question.id], question) for question in asked)
    low, high = proportion_confint(hits, len(asked), method="wilson")
    commonest, baseline = tasks.majority(asked)
    accuracy = hits / len(asked)
    heard = [question for question in asked if question.id in methods]
    any_of_8 = sum(found(methods[question.id], question) for question in heard) / len(heard) if heard else ""
    vote = sum(right(methods[question.id], question) for question in heard) / len(heard) if heard else ""
    room = "yes" if has_room(accuracy, baseline) else ""
    return [
        name, len(asked), accuracy, f"{low:.2f}–{high:.2f}", baseline, commonest, vote, any_of_8, room
    ]  # fmt: skip


COLUMNS = ("task", "questions", "accuracy", "95% (Wilson)", "majority answer", "which", "vote of 8", "any of 8", "room")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="vllm:smollm2-135m", help="engine SPEC")
    parser.add_argument("--records", type=Path, default=Path("runs/headroom"), help="folder for the records")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="folder for the table")
    parser.add_argument("--count", type=int, default=24, help="questions a task")
    parser.add_argument("--tasks", nargs="+", help="names; every candidate by default")
    parser.add_argument(
        "--methods", nargs="*", default=(), help="tasks that the eight methods answer too; none named: all"
    )
    parser.add_argument("--recorded", action="store_true", help="ask nothing: make the table of what is on record")
    parser.add_argument("--concurrency", type=int, default=32, help="questions at once")
    options = parser.parse_args(arguments)
    asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> None:
    """Do it."""
    asked = {name: tasks.load(name, SPLIT, options.count) for name in options.tasks or candidates()}
    eight = options.methods if options.methods != [] else list(asked)
    records: list[dict[str, Answer]] = []
    for setup, file, some in ((PLAIN, "plain.jsonl", list(asked)), (METHODS, "methods.jsonl", eight)):
        path = options.records / file
        if some and not options.recorded:
            await answer({name: asked[name] for name in some}, setup, options.engine, path, options.concurrency)
        records.append({record.question.id: record for record in transcript.read(path)} if path.exists() else {})
    plain, methods = records
    answered = {name: [one for one in questions if one.id in plain] for name, questions in asked.items()}
    rows = [_row(name, questions, plain, methods) for name, questions in answered.items() if questions]
    path = report.write(
        NAME,
        "What the embedded model scores on dev, and where there is room",
        "python -m evals.tasks.headroom",
        COLUMNS,
        rows,
        seed=0,
        notes=[
            f"One plain voice, greedy, at most {TOKENS} tokens, engine {options.engine}.",
            f"Room: accuracy from {LOW} to {HIGH}, and above the share of the commonest right answer.",
            "Levels, and the wording of questions, were chosen on these very questions: see dev as flattered.",
            "Where questions are few, dev has no more of them, or the rest is not answered yet.",
            "Vote of 8 and any of 8: the methods of the pack `reasoning`, greedy, one round.",
        ],
        folder=options.results,
    )
    print(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
