"""The whole study: load, draw people, poll with and without party, score beside the baselines, report."""

from __future__ import annotations

from pathlib import Path

from chorus.batch import Advance
from chorus.engines.base import Engine
from chorus.engines.registry import open_engine
from evals import logbook
from evals.logbook import Logbook
from evals.silicon import baselines, poll, report
from evals.silicon.fidelity import Pairs
from evals.silicon.poll import Reply
from evals.silicon.survey import Asking, Survey, load

PARTY = {True: "with party", False: "without party"}


async def study(
    name: str,
    spec: str,
    *,
    size: int,
    temperature: float,
    concurrency: int,
    seed: int,
    folder: Path,
    advance: Advance = lambda done, total, newest: None,
) -> list[Path]:
    """Poll the personas of a survey, from where an earlier run ended, and write one report a question.

    Returns the tables' paths.

    Raises:
        ConfigError: the survey can't be used. PersonaError: its people don't fit on cards.
        ChorusError: the engine can't be opened, or the folder holds the beginning of another study.
    """
    survey = load(name)
    engine = await open_engine(spec)
    made_with = {"survey": name, "engine": spec, "size": size, "temperature": temperature, "seed": seed}
    several = len(survey.codebook.question) > 1
    asked = sum(len(poll.people(survey, question, size, seed)) for question in survey.codebook.question)
    pieces = asked * len(PARTY)
    paths = []
    try:
        with logbook.opened(folder / "silicon.part", Reply, made_with, pieces=pieces, advance=advance) as log:
            for question in survey.codebook.question:
                arms, replies = await hold(
                    engine,
                    survey,
                    question,
                    size=size,
                    temperature=temperature,
                    concurrency=concurrency,
                    seed=seed,
                    log=log,
                )
                failed = [reply.failed for reply in replies if reply.failed]
                notes = [f"{len(failed)} of {len(replies)} calls failed, the first: {failed[0]}."] if failed else []
                paths.append(
                    report.write(
                        survey,
                        question,
                        arms,
                        replies,
                        folder,
                        command=f"chorus eval silicon {Path(name).name} --engine {engine.info.spec} --people {size}",
                        seed=seed,
                        name=f"silicon-{question.column}" if several else "silicon",
                        notes=notes,
                    )
                )
    finally:
        await engine.aclose()
    return paths


async def hold(
    engine: Engine,
    survey: Survey,
    question: Asking,
    *,
    size: int,
    temperature: float = 1.0,
    concurrency: int = 8,
    seed: int = 0,
    log: Logbook[Reply] | None = None,
) -> tuple[dict[str, Pairs], list[Reply]]:
    """Poll on one question. Returns the arms, baselines among them, and everything that was said."""
    chosen = poll.people(survey, question, size, seed)
    arms: dict[str, Pairs] = {}
    replies: list[Reply] = []
    for party, words in PARTY.items():
        said = await poll.poll(
            engine,
            survey,
            question,
            chosen,
            party=party,
            seed=seed,
            temperature=temperature,
            concurrency=concurrency,
            log=log,
        )
        replies += said
        arms[f"personas {words}, sampled"] = poll.pairs(survey, question, said, sampled=True)
        if any(reply.shares for reply in said):
            arms[f"personas {words}, probabilities"] = poll.pairs(survey, question, said, sampled=False)
    everybody = poll.people(survey, question, len(survey.rows), seed)
    place = {at: number for number, at in enumerate(everybody)}
    truth = [question.answer(survey.rows[at]) or 0 for at in everybody]
    foretold = {"majority": baselines.majority(truth, len(question.options), seed=seed)}
    for party, words in PARTY.items():
        foretold[f"logistic regression {words}"] = baselines.regression(
            survey, everybody, question, party=party, seed=seed
        )
    for arm, whole in foretold.items():
        arms[arm] = poll.paired(survey, question, chosen, [whole[place[at]] for at in chosen])
    return arms, replies
