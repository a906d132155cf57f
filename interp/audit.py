"""The audit: may this model's personas be believed to be understood, and what is it therefore granted?

Everything that could be chosen otherwise is fixed first, and its hash written down; then each persona's vector and
circuit are looked for on the discover split, the vector's layer is chosen on the select split, and only then is the test
split opened, where nothing is chosen any more. What is found is kept in a work folder step by step. The card appears
last, as a whole, beside the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chorus import report as machine
from chorus.checkpoints import Report
from chorus.checkpoints.legibility import Card, Measured, digest, weakest
from chorus.chorus import versions
from chorus.types import Answer
from interp import causal, changes, figures, graph, verdicts
from interp.discover import Discovery, cosines, late
from interp.figures import Figures, Opened
from interp.foretold import RULE, foretold
from interp.influence import influence
from interp.named import named
from interp.plan import Config, Step, Work, now
from interp.probes import holm
from interp.said import check_dialogues
from interp.subject import Subject
from interp.vectors import Vector

PERSONAL = (
    "effect", "faithfulness", "thorough", "reliability", "cosines", "steering", "handles", "named", "residual",
)  # fmt: skip
"""Steps whose figures go onto the card as they are, in its order."""

Kept = dict[str, dict[str, Any]]
"""What steps found, by their names."""


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


def audit(
    subject: Subject,
    config: Config,
    folder: Path,
    *,
    depth: str,
    against: Against | None = None,
    report: Report = lambda _: None,
) -> Card:
    """Examine a model and return its card, not yet sealed.

    Args:
        subject: the model.
        config: what is chosen.
        folder: of what is found on the way.
        depth: the config's name, for the card.
        against: what else there is.
        report: is told of progress.

    Raises:
        LensError: the work folder belongs to another audit, a persona can't be examined, or the dialogues are not the
            model's own.
    """
    other, names = against or Against(), config.personas
    check_dialogues(other.dialogues, subject.weights)
    work = Work(folder, report)
    fixed = work.fix(
        config,
        weights=subject.weights,
        base=other.base.weights if other.base else None,
        twin=other.twin.weights if other.twin else None,
        dialogues=digest([each.model_dump(mode="json", by_alias=True) for each in other.dialogues]),
    )
    before: dict[str, Step] = {}
    sought = {name: Discovery(subject, name, config) for name in names}
    for persona in names:
        before |= _discovering(persona, sought, work, other.base)
    first = work.do(before)
    opened = work.do({"opened": ("the test split is opened", lambda: {"at": now()})})["opened"]["at"]

    circuits = {persona: graph.to_mask(graph.load(folder / f"{persona}.circuit.json")) for persona in names}
    vectors = {persona: Vector.load(folder / f"{persona}.vector.json") for persona in names}
    one = {name: Opened(subject, name, config, vectors[name], circuits, report) for name in names}
    after: dict[str, Step] = {}
    for each in one.values():
        after |= _testing(each, work, other)
    after |= _together(one, work, other)
    kept = first | work.do(after)
    personas = {name: verdicts.judge(own) for name, own in _figures(one, kept, work).items()}
    return Card(
        schema=1,
        model=subject.name,
        weights=subject.weights,
        base=other.base.weights if other.base else None,
        depth=depth,
        config=config.hashed(),
        config_sha256=digest(config.hashed()),
        config_fixed=fixed,
        test_opened=opened,
        personas=personas,
        drift=_gathered(kept, [name for name in kept if name.startswith("changes.")]),
        rules=_gathered(kept, [name for name in kept if name == "rule"]),
        grant=weakest(each.grant for each in personas.values()),
        made=now(),
        versions=versions(),
        hardware=machine.hardware(),
    )


# The steps


def _discovering(persona: str, sought: Mapping[str, Discovery], work: Work, base: Subject | None) -> dict[str, Step]:
    """Return what is to be found of one persona before the test split is opened."""
    found = sought[persona]
    config, lens = found.config, found.subject.lens

    def vector() -> Vector:
        return Vector.load(work.folder / f"{persona}.vector.json")

    def circuit(name: str, of: Discovery) -> dict[str, Any]:
        scores = of.scores()
        np.save(work.folder / f"{name}.scores.npy", scores.mean(0).numpy())
        return graph.data(of.circuit(scores))

    steps: dict[str, Step] = {
        f"{persona}.vector": (f"{persona}: the vector", lambda: found.vector().data()),
        f"{persona}.late": (f"{persona}: its end", lambda: found.at(late(lens)).data()),
        f"{persona}.reliability": (
            f"{persona}: the vector from halves",
            lambda: _data({"reliability": found.reliability(vector().hook)}),
        ),
        f"{persona}.cosines": (
            f"{persona}: the vector beside others'",
            lambda: _data(cosines(sought, persona, vector().hook)),
        ),
        f"{persona}.circuit": (f"{persona}: the circuit", partial(circuit, persona, found)),
    }
    if config.elsewhere:
        steps[f"{persona}.elsewhere"] = (
            f"{persona}: the vector at other layers",
            lambda: {hook: found.at(hook).data() for hook in config.swept(lens.wiring) if hook != vector().hook},
        )
    if base is not None:
        there = Discovery(base, persona, config)
        steps[f"{persona}.base.circuit"] = (
            f"{persona}: the circuit in the base",
            partial(circuit, f"{persona}.base", there),
        )
    return steps


def _testing(one: Opened, work: Work, other: Against) -> dict[str, Step]:
    """Return what is measured of one persona on the test split."""
    persona, randoms = one.persona, one.config.randoms
    hooks = one.config.swept(one.lens.wiring)
    # Even the smallest p must outlast Holm's correction over all layers and personas.
    relabelled = math.ceil(len(hooks) * len(one.config.personas) / verdicts.ALPHA) - 1

    def thorough() -> dict[str, Any]:
        scores = np.load(work.folder / f"{persona}.scores.npy")
        return _data(one.thorough(torch.tensor(scores)))

    steps: dict[str, Step] = {
        f"{persona}.effect": (f"{persona}: its effect beside {randoms} placebos", lambda: _data(one.effect())),
        f"{persona}.steering": (f"{persona}: steering beside {randoms} others", lambda: _data(causal.steering(one))),
        f"{persona}.faithfulness": (f"{persona}: its circuit beside {randoms} others", lambda: _data(one.circuit())),
        f"{persona}.handles": (f"{persona}: its vector out and over", lambda: _data(causal.handles(one))),
        f"{persona}.probes": (
            f"{persona}: probes beside {relabelled} relabellings",
            partial(one.probes, hooks, relabelled),
        ),
    }
    if one.config.elsewhere:
        steps[f"{persona}.layers"] = (f"{persona}: its vector at other layers", partial(_layers, one, work))
    if one.config.thorough:
        steps[f"{persona}.thorough"] = (f"{persona}: its circuit at every size", thorough)
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


def _together(one: Mapping[str, Opened], work: Work, other: Against) -> dict[str, Step]:
    """Return what is measured of all personas at once."""
    first = next(iter(one.values()))
    steps: dict[str, Step] = {"influence": ("whom each persona moves", lambda: _influence(one, work))}
    if (base := other.base) is not None:
        for name, model in _trained(first, other).items():
            steps[f"changes.all{name}"] = ("how far training moved the model", partial(_far, first, base, model, name))
    if other.dialogues:
        vectors = {name: each.vector for name, each in one.items()}
        steps["rule"] = (
            "who acts when",
            lambda: _data(foretold(first.subject, vectors, other.dialogues, first.config, work.folder / RULE)),
        )
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


# From what was kept to the card


def _figures(one: Mapping[str, Opened], kept: Kept, work: Work) -> dict[str, Figures]:
    """Return each persona's figures, with those that had to wait for all personas."""
    probes = {name: kept[f"{name}.probes"] for name in one}
    corrected = holm({f"{name} {hook}": own["p"] for name, each in probes.items() for hook, own in each.items()})
    matrix = kept["influence"]
    found: dict[str, Figures] = {}
    for name, opened in one.items():
        hook = opened.vector.hook
        steps = [f"{name}.{step}" for step in PERSONAL]
        own = _gathered(kept, [step for step in steps if step in kept])
        circuit = graph.load(work.folder / f"{name}.circuit.json")
        own |= {figure: Measured(**each) for figure, each in circuit.graph["stability"].items()}
        own |= figures.of_probe(probes[name][hook], corrected[f"{name} {hook}"])
        own |= {
            f"moves {goal}": Measured(value=cell["value"], null=cell["band"], p=cell["p"])
            for goal, cell in matrix["behaviour"][name].items()
        }
        cell = matrix["answer"][name]
        own["moves the answer"] = Measured(value=cell["value"], null=cell["band"], p=cell["p"])
        found[name] = own
    return found


def _data(found: Figures) -> dict[str, Any]:
    return {name: figure.model_dump(mode="json") for name, figure in found.items()}


def _gathered(kept: Kept, names: Sequence[str]) -> Figures:
    return {name: Measured.model_validate(value) for step in names for name, value in kept[step].items()}
