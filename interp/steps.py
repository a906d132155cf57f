"""What an audit does, step by step: each step has a name under which it is kept, says what it does, and does it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from chorus.types import Answer
from interp import causal, changes, graph, verdicts
from interp.discover import Discovery, cosines, late
from interp.errors import NothingToExplain
from interp.figures import Figures, Opened
from interp.foretold import RULE, foretold
from interp.influence import influence
from interp.named import named
from interp.subject import Subject
from interp.vectors import Vector
from interp.work import Step, Work


@dataclass(frozen=True)
class Against:
    """What a model may be held against; all of it may be missing."""

    base: Subject | None = None
    """The model that it was trained from."""
    twin: Subject | None = None
    """The base, trained as long on neutral text. Only beside a base."""
    dialogues: Sequence[Answer] = ()
    """Saved inner dialogues of the model: who acts when, and what does a speaker's name do?"""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the dialogues call each persona, by its id."""
    baked: bool = False
    """Whether the model was trained here, so that base and dialogues are owed; see `caps`."""
    owed: Collection[str] = ()
    """The personas that an audit of it has to look at."""


def vector(persona: str, sought: Mapping[str, Discovery]) -> dict[str, Step]:
    """Return what is to be found of one persona before anything else: its vector."""
    return {f"{persona}.vector": (f"{persona}: the vector", lambda: sought[persona].vector().data())}


def discovering(persona: str, sought: Mapping[str, Discovery], work: Work, base: Subject | None) -> dict[str, Step]:
    """Return what is to be found of one persona once its vector is, before the test split is opened."""
    found = sought[persona]
    config, lens = found.config, found.subject.lens

    def hook() -> str:
        return Vector.load(work.folder / f"{persona}.vector.json").hook

    def circuit(name: str, of: Discovery) -> dict[str, Any]:
        scores = of.scores()
        np.save(work.folder / f"{name}.scores.npy", scores.mean(0).numpy())
        try:
            return graph.data(of.circuit(scores))
        except NothingToExplain as idle:
            work.report(f"{name}: {idle}")
            none, model = torch.zeros_like(lens.wiring.possible), of.subject.weights
            return graph.data(
                graph.to_graph(lens.wiring, none, scores.mean(0), persona=persona, model=model, stability={})
            )

    steps: dict[str, Step] = {
        f"{persona}.sweep": (
            f"{persona}: every layer of the sweep",
            lambda: {hook: _data(own) for hook, own in found.layers().items()},
        ),
        f"{persona}.late": (f"{persona}: its end", lambda: found.at(late(lens)).data()),
        f"{persona}.reliability": (
            f"{persona}: the vector from halves",
            lambda: _data({"reliability": found.reliability(hook())}),
        ),
        f"{persona}.cosines": (
            f"{persona}: the vector beside others'",
            lambda: _data(cosines(sought, persona, hook())),
        ),
        f"{persona}.circuit": (f"{persona}: the circuit", partial(circuit, persona, found)),
    }
    if config.elsewhere:
        steps[f"{persona}.elsewhere"] = (
            f"{persona}: the vector at other layers",
            lambda: {place: found.at(place).data() for place in config.swept(lens.wiring) if place != hook()},
        )
    if base is not None:
        there = Discovery(base, persona, config)
        steps[f"{persona}.base.circuit"] = (
            f"{persona}: the circuit in the base",
            partial(circuit, f"{persona}.base", there),
        )
    return steps


def testing(one: Opened, work: Work, other: Against) -> dict[str, Step]:
    """Return what is measured of one persona on the test split."""
    persona, randoms = one.persona, one.config.randoms
    hooks = one.config.swept(one.lens.wiring)
    # Even the smallest p must outlast Holm's correction over all layers and personas.
    relabelled = math.ceil(len(hooks) * len(one.config.personas) / verdicts.ALPHA) - 1

    def curves() -> dict[str, Any]:
        scores = np.load(work.folder / f"{persona}.scores.npy")
        return one.curves(torch.tensor(scores))

    steps: dict[str, Step] = {
        f"{persona}.effect": (f"{persona}: its effect beside {randoms} placebos", lambda: _data(one.effect())),
        f"{persona}.steering": (f"{persona}: steering beside {randoms} others", lambda: _data(causal.steering(one))),
        f"{persona}.faithfulness": (
            f"{persona}: its circuit beside {one.config.circuits} others",
            lambda: _data(one.circuit()),
        ),
        f"{persona}.handles": (f"{persona}: its vector out and over", lambda: _data(causal.handles(one))),
        f"{persona}.probes": (
            f"{persona}: probes beside {relabelled} relabellings",
            partial(one.probes, hooks, relabelled),
        ),
    }
    if one.config.elsewhere:
        steps[f"{persona}.layers"] = (f"{persona}: its vector at other layers", partial(_layers, one, work))
    if one.config.apart:
        steps[f"{persona}.curves"] = (f"{persona}: its circuit at every size", curves)
        steps[f"{persona}.thorough"] = (f"{persona}: its circuit taken apart", lambda: _data(one.thorough()))
    if other.dialogues:
        steps[f"{persona}.named"] = (
            f"{persona}: its name in the model's own dialogues",
            lambda: _data(named(one, other.dialogues, other.names)),
        )
    if (base := other.base) is not None:
        told = f"{persona}: what training changed"
        steps[f"{persona}.residual"] = (told, lambda: _data(one.residual(base)))
        steps[f"changes.{persona}.circuits"] = (told, lambda: _data(changes.circuits(one, base, work)))
        for name, model in _trained(one, other).items():
            steps[f"changes.{persona}{name}"] = (told, partial(_along, one, base, model, name))
    return steps


def together(one: Mapping[str, Opened], work: Work, other: Against) -> dict[str, Step]:
    """Return what is measured of all personas at once."""
    first = next(iter(one.values()))
    steps: dict[str, Step] = {"influence": ("whom each persona moves", lambda: _influence(one, work))}
    if (base := other.base) is not None:
        for name, model in _trained(first, other).items():
            steps[f"changes.all{name}"] = ("how far training moved the model", partial(_far, first, base, model, name))
    if other.dialogues:
        steps["rule"] = ("who acts when", lambda: _rule(one, work, other.dialogues))
    return steps


def _trained(one: Opened, other: Against) -> dict[str, Subject]:
    """Return the models that the base is held against, by what is put behind their figures' names."""
    return {"": one.subject} | ({" (twin)": other.twin} if other.twin else {})


def _along(one: Opened, base: Subject, model: Subject, name: str) -> dict[str, Any]:
    return _data(changes.along(one, base, model, name))


def _layers(one: Opened, work: Work) -> dict[str, Any]:
    """Return what the vector causes at each layer of the sweep but the chosen one."""
    others = work.found(f"{one.persona}.elsewhere")
    there = {hook: causal.elsewhere(one, Vector.of(own, hook)) for hook, own in others.items()}
    return {hook: _data(causal.steering(each) | causal.handles(each)) for hook, each in there.items()}


def _far(one: Opened, base: Subject, model: Subject, name: str) -> dict[str, Any]:
    return _data(changes.far(one, base, model, name))


def _rule(one: Mapping[str, Opened], work: Work, dialogues: Sequence[Answer]) -> dict[str, Any]:
    """Return how well it can be foretold who acts; nothing where the dialogues are too few or too alike to tell."""
    first, vectors = next(iter(one.values())), {name: each.vector for name, each in one.items()}
    try:
        return _data(foretold(first.subject, vectors, dialogues, first.config, work.folder / RULE))
    except NothingToExplain as untold:
        first.report(str(untold))
        return {}


def _influence(one: Mapping[str, Opened], work: Work) -> dict[str, Any]:
    first = next(iter(one.values()))
    found = influence(
        first.lens,
        {name: each.vector for name, each in one.items()},
        {name: Vector.load(work.folder / f"{name}.late.json").on(first.lens) for name in one},
        late(first.lens),
        {name: first.subject.pairs(name, "test", first.config.voices) for name in one},
        randoms=first.config.randoms,
        batch=first.config.batch,
        seed=first.config.seed,
        report=first.report,
    )
    return asdict(found)


def _data(found: Figures) -> dict[str, Any]:
    return {name: figure.model_dump(mode="json") for name, figure in found.items()}
