"""The chorus and what it is measured against, as solvers of Inspect's.

`debate` takes any setting of the chorus; each baseline is a handful of settings over it, so that every way of answering
leaves the same record and is counted in the same way. The model is the one under evaluation, unless `engine` names
another.

| solver | what it is |
|---|---|
| `debate` | a chorus, by any settings |
| `single` | one plain voice at temperature 0 |
| `self_consistency` | k samples of one plain voice, most votes win (Wang et al. 2022, arXiv:2203.11171) |
| `adaptive_self_consistency` | the same, until the majority is likely to stand (see `adaptive`) |
| `best_of_n` | n samples, the one with the most confidence wins |
| `mixture_of_agents` | drafts, in layers, then one voice that rules over them (Wang et al. 2024, arXiv:2406.04692) |
| `inner_chorus` | all voices in one call |
| `baked` | a checkpoint that was trained on a chorus, asked once |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from inspect_ai.model import Model, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from chorus import config
from chorus.checkpoints.baked import Style
from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.types import Answer, Question
from evals import adaptive, provider, samples
from evals.naming import named
from personas.library import PLAIN

Ask = Callable[[Chorus, Question], Awaitable[Answer]]
"""Has a chorus answer a question."""


@solver(name=named("debate"))
def debate(**settings: Any) -> Solver:
    """Hold a debate over the question.

    Args:
        **settings: any field of `chorus.config.Settings`: `topology`, `rounds`, `decision`, `personas`, `gate` … An
            `engine` is spoken through instead of the model under evaluation. Neither `chorus.toml` nor the environment
            is read. Each epoch of a sample has a seed of its own, from `seed` on.

    Raises:
        ConfigError: a setting that doesn't exist, or doesn't fit.
    """
    return _asking(settings, _hold)


@solver(name=named("single"))
def single(**settings: Any) -> Solver:
    """Ask one voice once, at temperature 0."""
    return debate(**{"mode": "solo", "personas": PLAIN, "temperature": 0.0, **settings})


@solver(name=named("self_consistency"))
def self_consistency(k: int = 8, **settings: Any) -> Solver:
    """Draw k samples and take the answer that most of them give; `decision="weighted"` weighs them by confidence."""
    return debate(**{**_drafts(k), "decision": "plurality", **settings})


@solver(name=named("adaptive_self_consistency"))
def adaptive_self_consistency(k: int = 16, window: int = 1, sure: float = adaptive.SURE, **settings: Any) -> Solver:
    """Draw samples until the majority among them is likely to stand.

    Args:
        k: samples at most.
        window: samples drawn at once between two looks at the votes.
        sure: probability that the majority stands at which to stop.
        **settings: as of `debate`.
    """

    async def ask(chorus: Chorus, question: Question) -> Answer:
        engine = await chorus.open()
        return await adaptive.hold(engine, chorus.settings, chorus.library, question, window=window, sure=sure)

    return _asking({**_drafts(k), "decision": "plurality", **settings}, ask)


@solver(name=named("best_of_n"))
def best_of_n(n: int = 8, **settings: Any) -> Solver:
    """Draw n samples and take the one that is most confident."""
    return debate(**{**_drafts(n), "decision": "surest", **settings})


@solver(name=named("mixture_of_agents"))
def mixture_of_agents(n: int = 3, layers: int = 1, **settings: Any) -> Solver:
    """Draw n drafts, let n voices write anew after reading all of them in each further layer, then let one rule."""
    wide = {"mode": "debate", "topology": "complete:visibility=full", "rounds": layers} if layers > 1 else {}
    return debate(**{**_drafts(n), **wide, "decision": "judge", **settings})


@solver(name=named("inner_chorus"))
def inner_chorus(**settings: Any) -> Solver:
    """Have one model write all the voices in one call."""
    return debate(**{"mode": "inner", **settings})


@solver(name=named("baked"))
def baked(engine: str, style: Style = "answer", **settings: Any) -> Solver:
    """Ask a checkpoint that was trained to answer as a chorus would once, by the prompt that it was trained on.

    Args:
        engine: its SPEC.
        style: `answer`, one voice, or `chorus`, its inner voices heard.
        **settings: as of `debate`.
    """
    return debate(**{"engine": engine, "mode": "inner" if style == "chorus" else "solo", **settings})


def _drafts(number: int) -> dict[str, Any]:
    """Return the settings of so many independent samples, each drawn to its end: the method as it was published."""
    return {"mode": "vote", "personas": f"{PLAIN}*{number}", "temperature": 0.7, "early_stop": False}


def _asking(settings: dict[str, Any], ask: Ask) -> Solver:
    """Return the solver that puts each sample's question to a chorus of these settings and keeps the record."""
    # Inspect's command line makes a list of what has commas in it.
    spelled = {name: ",".join(value) if isinstance(value, list) else value for name, value in settings.items()}
    base = config.load(spelled, base=Settings())
    elsewhere = settings.get("engine")
    choruses: dict[tuple[Model, int], Chorus] = {}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model(f"{provider.NAME}/{elsewhere}", **base.engine_options) if elsewhere else get_model()
        at = model, state.epoch
        if at not in choruses:
            seed = base.seed + state.epoch - 1
            choruses[at] = Chorus(await provider.opened(model), settings=base, seed=seed)
        samples.keep(state, await ask(choruses[at], samples.question(state)))
        return state

    return solve


async def _hold(chorus: Chorus, question: Question) -> Answer:
    return await (await chorus.convene(question)).hold()
