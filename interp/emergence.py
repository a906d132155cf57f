"""Across the checkpoints of a training run: when does a persona's behaviour emerge, and does it stay explained?

At each checkpoint the personas' circuits are looked for anew on the discover split, and on the test split it is measured
how far the behaviour has shifted from the base model's and which share of that no circuit recovers (`drift.residual`).
Beside the accuracy of the same checkpoints this is capability against legibility. What is found is kept checkpoint by
checkpoint, so an interrupted run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from chorus import report as results
from chorus.checkpoints import Report
from chorus.checkpoints.legibility import Measured
from interp import drift
from interp.discover import Discovery
from interp.errors import LensError, NoShift
from interp.figures import ends
from interp.graph import strongest
from interp.plan import Config
from interp.subject import Subject
from interp.work import Work

NAME = "emergence"


@dataclass(frozen=True, slots=True)
class Stage:
    """A checkpoint that has not been loaded yet."""

    step: int
    """Of training."""
    weights: str
    """Its fingerprint."""
    load: Callable[[], Subject]


@dataclass(frozen=True, slots=True)
class Point:
    """What was found at one checkpoint."""

    step: int
    accuracy: Measured
    """On held-out questions, as it was measured elsewhere."""
    shift: dict[str, Measured]
    """Of each persona's behaviour from the base model's, in nats a token."""
    residual: dict[str, Measured]
    """The share of it that no circuit recovers; not there for a persona whose behaviour is as it was."""


def emergence(
    base: Subject,
    stages: Sequence[Stage],
    accuracy: Mapping[int, Measured],
    config: Config,
    folder: Path,
    report: Report = lambda _: None,
) -> list[Point]:
    """Look at each checkpoint in turn; only one of them is held in memory.

    Args:
        base: before training.
        stages: the checkpoints.
        accuracy: by training step; those of other steps are left out.
        config: what is chosen; the sweep's, the probes' and the voices' part of it is not used.
        folder: of what is found.
        report: is told of progress.

    Raises:
        LensError: two checkpoints of one step, or one without an accuracy; another run's folder; other shapes than the
            base's.
    """
    stages = sorted(stages, key=lambda stage: stage.step)
    steps = [stage.step for stage in stages]
    if len(set(steps)) < len(steps):
        raise LensError(f"two checkpoints of one training step: {', '.join(map(str, steps))}")
    if lacking := [step for step in steps if step not in accuracy]:
        known = ", ".join(map(str, sorted(accuracy))) or "none"
        raise LensError(f"no accuracy is known of training step {lacking[0]}; it is of {known}")
    work = Work(folder, report)
    work.fix(config, base=base.weights, stages={str(stage.step): stage.weights for stage in stages})
    found = work.do(
        {
            f"step-{stage.step}": (f"training step {stage.step}", partial(_looked, base, stage, config))
            for stage in stages
        }
    )
    points = []
    for step in steps:
        shift, residual = (
            {name: Measured.model_validate(own) for name, own in found[f"step-{step}"][part].items()}
            for part in ("shift", "residual")
        )
        points.append(Point(step, accuracy[step], shift, residual))
    return points


def _looked(base: Subject, stage: Stage, config: Config) -> dict[str, Any]:
    """Return `shift` and `residual` by persona at one checkpoint."""
    model = stage.load()
    wiring = model.lens.wiring
    size = max(1, round(config.share * wiring.edges))
    kept = [strongest(wiring, Discovery(model, name, config).scores().mean(0), size) for name in config.personas]
    named = torch.stack(kept).any(0)
    found: dict[str, dict[str, Any]] = {"shift": {}, "residual": {}}
    for name in config.personas:
        pairs = model.pairs(name, "test", config.test)
        try:
            left = drift.residual(
                base.lens, model.lens, pairs, named, randoms=config.circuits, batch=config.batch, seed=config.seed
            )
        except NoShift as unmoved:
            found["shift"][name] = {"value": unmoved.value, "interval": unmoved.interval}
            continue
        found["shift"][name] = asdict(left.shift)
        found["residual"][name] = {"value": left.share, "interval": left.interval, "null": ends(left.null)}
    return found


def accuracies(path: Path) -> dict[int, Measured]:
    """Read accuracy by training step.

    Args:
        path: the `run.json` of `chorus distill`'s step `rl`, or a JSON object of steps, each with an accuracy or with
            an accuracy and the two ends of its interval: `{"40": 0.51, "80": [0.6, 0.52, 0.67]}`.

    Raises:
        LensError: it holds none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        log = data.get("metrics", {}).get("log", [])
        rows = {each["step"]: each["gold/accuracy"] for each in log if "gold/accuracy" in each} if log else data
        found = {int(step): _accuracy(value) for step, value in rows.items()}
    except OSError as error:
        raise LensError(f"can't read {path}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise LensError(f"{path} holds no accuracy by training step: {error}") from error
    if not found:
        raise LensError(f"{path} holds no accuracy: no held-out questions were asked")
    return found


def _accuracy(value: float | Sequence[float]) -> Measured:
    if isinstance(value, int | float):
        return Measured(value=value)
    middle, low, high = value
    return Measured(value=middle, interval=(low, high))


def write(points: Sequence[Point], base: str, config: Config, command: str, folder: Path) -> Path:
    """Write figures, table and picture, and return the table's path."""
    draw(points, folder / f"{NAME}.svg")
    rows = [
        (
            each.step,
            _cell(each.accuracy),
            name,
            _cell(each.shift[name]),
            _cell(each.residual[name]) if name in each.residual else "no shift",
            "{:.3g} to {:.3g}".format(*null) if name in each.residual and (null := each.residual[name].null) else "-",
        )
        for each in points
        for name in config.personas
    ]
    return results.write(
        NAME,
        f"What training did to {base}, step by step",
        command,
        ("training step", "accuracy", "persona", "shift, nats a token", "unexplained residual", "of random circuits"),
        rows,
        seed=config.seed,
        notes=[
            f"circuits of {config.share:.0%} of all edges, found anew at each checkpoint on {config.discover} questions; "
            f"shift and residual on {config.test} others",
            "shift: of the mean log-probability of the persona's answer less that of the neutral one, under the persona's "
            "prompt, from the base model's; residual: the share of the shift that no circuit of any persona recovers",
            "in brackets: 95 %, by drawing questions anew",
        ],
        data={
            "points": [
                {
                    "step": each.step,
                    "accuracy": each.accuracy.model_dump(mode="json"),
                    "shift": {name: own.model_dump(mode="json") for name, own in each.shift.items()},
                    "residual": {name: own.model_dump(mode="json") for name, own in each.residual.items()},
                }
                for each in points
            ]
        },
        plots=[f"{NAME}.svg"],
        folder=folder,
    )


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw the emergence curve, each persona's shift over training, and capability against legibility."""
    from interp.plots import panels

    picture, (curve, against) = panels(2, (9, 4))
    for place, name in enumerate(points[0].shift):
        colour = f"C{place}"
        shifts = [each.shift[name] for each in points]
        steps = [each.step for each in points]
        low, high = zip(*(_ends(each) for each in shifts), strict=True)
        curve.plot(steps, [each.value for each in shifts], "o-", color=colour, label=name)
        curve.fill_between(steps, low, high, color=colour, alpha=0.2)
        there = [each for each in points if name in each.residual]
        places = [each.accuracy.value for each in there], [each.residual[name].value for each in there]
        against.plot(*places, color=colour, alpha=0.4)
        for each in there:
            x, y = each.accuracy, each.residual[name]
            against.errorbar(x.value, y.value, xerr=_arms(x), yerr=_arms(y), fmt="o", color=colour, markersize=4)
            against.annotate(str(each.step), (x.value, y.value), textcoords="offset points", xytext=(4, 4), fontsize=7)
    curve.axhline(0, color="0.6", linewidth=0.6)
    curve.set_xlabel("training step")
    curve.set_ylabel("shift of the behaviour, nats a token")
    curve.legend(fontsize=8)
    against.set_xlabel("accuracy on held-out questions")
    against.set_ylabel("unexplained residual")
    picture.tight_layout()
    picture.savefig(path)


def _ends(figure: Measured) -> tuple[float, float]:
    return figure.interval or (figure.value, figure.value)


def _arms(figure: Measured) -> list[list[float]]:
    """Return how far the interval's ends are from the value, as error bars want them."""
    low, high = _ends(figure)
    return [[max(0.0, figure.value - low)], [max(0.0, high - figure.value)]]


def _cell(figure: Measured) -> str:
    return f"{figure.value:.3g}" + ("" if figure.interval is None else " [{:.3g}, {:.3g}]".format(*figure.interval))
