"""The audit: may this model's personas be believed to be understood, and what is it therefore granted?

Everything that could be chosen otherwise is fixed first, and its hash written down; then each persona's vector and
circuit are looked for on the discover split, the vector's layer is chosen on the select split, and only then is the test
split opened, where nothing is chosen any more. What is found is kept in a work folder step by step. The card appears
last, as a whole, beside the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chorus import report as machine
from chorus.checkpoints import Report
from chorus.checkpoints.beside import digest
from chorus.checkpoints.legibility import Card, Measured, Place, weakest
from chorus.chorus import versions
from interp import caps, figures, graph, verdicts
from interp.discover import Discovery
from interp.figures import Figures, Opened
from interp.plan import Config
from interp.probes import holm
from interp.said import check_dialogues
from interp.steps import Against, discovering, testing, together, vector
from interp.subject import Subject
from interp.vectors import Vector
from interp.work import Step, Work, now

PERSONAL = (
    "effect", "faithfulness", "thorough", "reliability", "cosines", "steering", "handles", "named", "residual",
)  # fmt: skip
"""Steps whose figures go onto the card as they are, in its order."""

Kept = dict[str, dict[str, Any]]
"""What steps found, by their names."""


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
    found = _found(subject, config, work, other)
    opened = work.do({"opened": ("the test split is opened", lambda: {"at": now()})})["opened"]["at"]
    one, tested = _tested(subject, config, work, other)
    kept = found | tested
    trained = other.base is not None
    left_out = verdicts.unasked(personas=len(names), base=trained)
    personas = {name: verdicts.judge(own, left_out) for name, own in _figures(one, kept, work).items()}
    capped = caps.held(caps.Asked(depth, names, other.owed, other.baked, trained, bool(other.dialogues)))
    return Card(
        schema=3,
        model=subject.name,
        weights=subject.weights,
        beside=subject.beside,
        base=other.base.weights if other.base else None,
        depth=depth,
        config=config.hashed(),
        config_sha256=digest(config.hashed()),
        config_fixed=fixed,
        test_opened=opened,
        personas=personas,
        layers=_layers(one, kept),
        sizes={name: tuple(kept[f"{name}.curves"]["sizes"]) for name in one if f"{name}.curves" in kept},
        drift=_gathered(kept, [name for name in kept if name.startswith("changes.")]),
        rules=_gathered(kept, [name for name in kept if name == "rule"]),
        capped=capped,
        grant=weakest([*(each.grant for each in personas.values()), *([caps.CAP] if capped else [])]),
        made=now(),
        versions=versions(),
        hardware=machine.hardware(),
    )


def _found(subject: Subject, config: Config, work: Work, other: Against) -> Kept:
    """Look for each persona's vector and circuit, where things may be chosen."""
    sought = {name: Discovery(subject, name, config) for name in config.personas}
    first: dict[str, Step] = {}
    steps: dict[str, Step] = {}
    for persona in config.personas:
        first |= vector(persona, sought)
        steps |= discovering(persona, sought, work, other.base)
    return work.do(first) | work.do(steps)


def _tested(subject: Subject, config: Config, work: Work, other: Against) -> tuple[dict[str, Opened], Kept]:
    """Test what was found, where nothing is chosen any more. Return what was tested, too, by persona."""
    names = config.personas
    circuits = {name: graph.to_mask(graph.load(work.folder / f"{name}.circuit.json")) for name in names}
    vectors = {name: Vector.load(work.folder / f"{name}.vector.json") for name in names}
    one = {name: Opened(subject, name, config, vectors[name], circuits, work.report) for name in names}
    steps: dict[str, Step] = {}
    for each in one.values():
        steps |= testing(each, work, other)
    return one, work.do(steps | together(one, work, other))


def _figures(one: Mapping[str, Opened], kept: Kept, work: Work) -> dict[str, Figures]:
    """Return each persona's figures, with those that had to wait for all personas."""
    probes, matrix = _probes(one, kept), kept["influence"]
    found: dict[str, Figures] = {}
    for name, opened in one.items():
        hook = opened.vector.hook
        steps = [f"{name}.{step}" for step in PERSONAL]
        own = _gathered(kept, [step for step in steps if step in kept])
        own |= _measured(kept.get(f"{name}.curves", {}).get("figures", {}))
        circuit = graph.load(work.folder / f"{name}.circuit.json")
        own |= {figure: Measured(**each) for figure, each in circuit.graph["stability"].items()}
        own |= probes[name][hook]
        cells = {f"moves {goal}": cell for goal, cell in matrix["behaviour"][name].items()}
        cells["moves the answer"] = matrix["answer"][name]
        cells |= {f"activity of {goal}": cell for goal, cell in matrix["activity"][name].items()}
        found[name] = own | {figure: _cell(cell) for figure, cell in cells.items()}
    return found


def _probes(one: Mapping[str, Opened], kept: Kept) -> dict[str, dict[str, Figures]]:
    """Return each persona's probes by hook, their p corrected for all layers and personas."""
    found = {name: kept[f"{name}.probes"] for name in one}
    corrected = holm({f"{name} {hook}": own["p"] for name, each in found.items() for hook, own in each.items()})
    return {
        name: {hook: figures.of_probe(own, corrected[f"{name} {hook}"]) for hook, own in each.items()}
        for name, each in found.items()
    }


def _layers(one: Mapping[str, Opened], kept: Kept) -> dict[str, tuple[Place, ...]]:
    """Return each persona's sweep; what a vector causes is known of other layers than the chosen one only if asked."""
    probes = _probes(one, kept)
    found: dict[str, tuple[Place, ...]] = {}
    for name, opened in one.items():
        here = kept[f"{name}.steering"] | kept[f"{name}.handles"]
        caused = {**kept.get(f"{name}.layers", {}), opened.vector.hook: here}
        found[name] = tuple(
            Place(
                at=int(hook.split(".")[1]),
                chosen=hook == opened.vector.hook,
                figures=_measured(own) | probes[name][hook] | _measured(caused.get(hook, {})),
            )
            for hook, own in kept[f"{name}.sweep"].items()
        )
    return found


def _gathered(kept: Kept, names: Sequence[str]) -> Figures:
    return {name: own for step in names for name, own in _measured(kept[step]).items()}


def _measured(found: Mapping[str, Any]) -> Figures:
    return {name: Measured.model_validate(value) for name, value in found.items()}


def _cell(found: Mapping[str, Any]) -> Measured:
    # Folders of earlier versions hold the same figures without intervals.
    return Measured(value=found["value"], interval=found.get("interval"), null=found["band"], p=found["p"])
