"""The audit: may this model's personas be believed to be understood, and what is it therefore granted?

Everything that could be chosen otherwise is fixed first, and its hash written down; then each persona's vector and
circuit are looked for on the discover split, the vector's layer is chosen on the select split, and only then is the test
split opened, where nothing is chosen any more. What is found is kept in a work folder as it comes, so an audit that was
interrupted goes on from there; one with another plan, or on other weights, is refused that folder. The card appears
last, as a whole, beside the weights.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chorus import report as machine
from chorus.checkpoints import Report
from chorus.checkpoints.legibility import Card, Measured, digest, weakest
from chorus.chorus import versions
from interp import drift, graph, verdicts
from interp.activations import in_batches, pooled
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.errors import LensError, NoShift
from interp.faithfulness import behaviours, random_circuits, stability
from interp.graph import strongest
from interp.pairs import Pairs, behaviour
from interp.steering import slopes
from interp.subject import Subject
from interp.vectors import Vector, random_like, sweep

PLAN = "plan.json"
DRAWS = 1000
"""For every interval: groups of items, drawn anew."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that could be chosen otherwise."""

    personas: tuple[str, ...]
    discover: int
    """Questions of the split."""
    select: int
    test: int
    layers: int
    """How many layers the sweep looks at, spread evenly."""
    steps: int
    """Of integrated gradients."""
    share: float
    """The circuit's size, as a share of all edges."""
    randoms: int
    """Placebo prompts, random circuits and random directions, each."""
    seed: int = 0
    batch: int = 4

    def hashed(self) -> dict[str, Any]:
        """Return it as it is hashed, with the bars that decide."""
        return json.loads(json.dumps({**asdict(self), "bars": verdicts.table()}))  # type: ignore[no-any-return]


DEPTHS: dict[str, dict[str, Any]] = {
    "quick": {"discover": 6, "select": 6, "test": 6, "layers": 4, "steps": 3, "share": 0.05, "randoms": 19},
    "full": {"discover": 60, "select": 30, "test": 30, "layers": 12, "steps": 5, "share": 0.05, "randoms": 99},
}


def audit(
    subject: Subject,
    config: Config,
    work: Path,
    *,
    depth: str,
    base: Subject | None = None,
    report: Report = lambda _: None,
) -> Card:
    """Examine a model and return its card, not yet sealed.

    Args:
        subject: the model.
        config: what is chosen.
        work: folder of what is found on the way.
        depth: the config's name, for the card.
        base: the model that it was trained from.
        report: is told of progress.

    Raises:
        LensError: the work folder belongs to another audit, or a persona can't be examined.
    """
    fixed = _fix(subject, base, config, work)
    for persona in config.personas:
        discover(subject, persona, config, work, report)
    opened = _once(work / "opened.json", lambda: {"at": _now()})["at"]
    found = {
        persona: _once(work / f"{persona}.test.json", partial(test, subject, persona, config, work, base, report))
        for persona in config.personas
    }
    personas = {
        name: verdicts.judge({figure: Measured.model_validate(value) for figure, value in figures.items()})
        for name, figures in found.items()
    }
    return Card(
        schema=1,
        model=subject.name,
        weights=subject.weights,
        base=base.weights if base else None,
        depth=depth,
        config=config.hashed(),
        config_sha256=digest(config.hashed()),
        config_fixed=fixed,
        test_opened=opened,
        personas=personas,
        grant=weakest(each.grant for each in personas.values()),
        made=_now(),
        versions=versions(),
        hardware=machine.hardware(),
    )


# Before the test split


def discover(subject: Subject, persona: str, config: Config, work: Path, report: Report) -> None:
    """Look for a persona's vector and circuit, and keep them in the work folder."""
    lens, vector_file, circuit_file = subject.lens, work / f"{persona}.vector.json", work / f"{persona}.circuit.json"
    pairs = subject.pairs(persona, "discover", config.discover)
    if not vector_file.exists():
        report(f"{persona}: the vector")
        chosen = subject.pairs(persona, "select", config.select)
        vector_at(lens, persona, pairs, chosen, config).save(vector_file)
    if not circuit_file.exists():
        report(f"{persona}: the circuit")
        scores = eap_ig(lens, pairs, steps=config.steps, batch=config.batch, report=report)
        size = max(1, round(config.share * lens.wiring.edges))
        kept = strongest(lens.wiring, scores.mean(0), size)
        stable = stability(lens.wiring, scores, _questions(pairs), size, draws=100, seed=config.seed)
        rivals = random_circuits(lens.wiring, size, config.randoms, config.seed)
        chance = [float((each & kept).sum() / (each | kept).sum()) for each in rivals]
        about = {"value": stable.jaccard, "interval": stable.interval, "null": _ends(chance)}
        made = graph.to_graph(
            lens.wiring, kept, scores.mean(0), persona=persona, model=subject.weights, stability=about
        )
        graph.save(made, circuit_file)


def vector_at(lens: Lens, persona: str, pairs: Pairs, chosen: Pairs, config: Config) -> Vector:
    """Return the persona's vector at the layer where it separates the select split best."""
    count = min(config.layers, lens.wiring.layers)
    layers = sorted({round(place) for place in np.linspace(0, lens.wiring.layers - 1, count + 2)[1:-1]})
    hooks = [f"blocks.{layer}.hook_resid_post" for layer in layers]
    on, off = _streams(lens, pairs, hooks, config)
    found = sweep(on, off, _questions(pairs), seed=config.seed)
    unit = torch.nn.functional.normalize(torch.stack([layer.direction for layer in found]), dim=1)
    there = [torch.einsum("nld,ld->nl", side, unit) for side in _streams(lens, chosen, hooks, config)]
    spread = ((there[0].var(0) + there[1].var(0)) / 2).sqrt().clamp_min(1e-12)
    best = int(((there[0].mean(0) - there[1].mean(0)) / spread).argmax())
    return Vector(persona, hooks[best], found[best].direction, found[best].reliability, lens.fingerprint)


# On the test split


def test(
    subject: Subject, persona: str, config: Config, work: Path, base: Subject | None, report: Report
) -> dict[str, Any]:
    """Open the test split for one persona, and return what the verdict is made from, each a `Measured`, for a file."""
    lens, seed = subject.lens, config.seed
    pairs = subject.pairs(persona, "test", config.test)
    vector, circuit = Vector.load(work / f"{persona}.vector.json"), graph.load(work / f"{persona}.circuit.json")
    kept = graph.to_mask(circuit)
    figures: dict[str, Measured] = {}

    report(f"{persona}: its effect beside {config.randoms} placebos")
    plain = _by_prompt(lens, pairs, pairs.corrupt, config)
    own = _by_prompt(lens, pairs, pairs.clean, config) - plain
    placebos = subject.placebos(pairs, config.randoms, seed)
    others = [float((_by_prompt(lens, pairs, each.clean, config) - plain).mean()) for each in placebos]
    figures["effect"] = _measured(own, pairs, others, seed, sizes=True)

    figures["stability"] = Measured(**circuit.graph["stability"])
    figures["reliability"] = _reliability(lens, subject.pairs(persona, "discover", config.discover), vector, config)

    report(f"{persona}: steering beside {config.randoms} random directions")
    steered = slopes(lens, pairs, vector.hook, vector.on(lens), (-1.0, 1.0), config.batch)
    rivals = [
        slopes(lens, pairs, vector.hook, each, (-1.0, 1.0), config.batch)
        for each in random_like(vector.on(lens), config.randoms, seed)
    ]
    figures["steering"] = _measured(steered, pairs, [float(each.mean()) for each in rivals], seed, sizes=True)
    wrong = [(each * each.mean() < 0).float() for each in (steered, *rivals)]
    figures["wrong way"] = _measured(wrong[0], pairs, [float(each.mean()) for each in wrong[1:]], seed)

    report(f"{persona}: its circuit beside {config.randoms} random ones")
    figures["faithfulness"] = _faithfulness(lens, pairs, kept, config, report)
    if base is not None:
        report(f"{persona}: what training changed")
        try:
            figures["residual"] = _residual(subject, base, pairs, kept, config, report)
        except NoShift as unmoved:
            report(f"{persona}: {unmoved}")
    return {name: figure.model_dump(mode="json") for name, figure in figures.items()}


def _faithfulness(lens: Lens, pairs: Pairs, kept: Tensor, config: Config, report: Report) -> Measured:
    rivals = random_circuits(lens.wiring, int(kept.sum()), config.randoms, config.seed)
    all_, none = lens.wiring.possible, torch.zeros_like(kept)
    found = behaviours(lens, pairs, torch.stack([none, all_, kept, *rivals]), batch=config.batch, report=report)
    lost = (found[1:] - found[:1]).numpy()  # (1 + 1 + randoms, items): everything, the circuit, random ones
    whole, values = lost[0].mean(), lost[1:].mean(1)
    if abs(whole) < 1e-6:
        raise LensError("the model behaves the same with and without the persona: there is no behaviour to explain")
    shares = values / whole
    # Which random circuit is better is a matter of how near to 1 it comes, not of how far beyond.
    nearer = sum(abs(1 - each) <= abs(1 - shares[0]) for each in shares[1:])
    interval = _ratio(lost[1], lost[0], _questions(pairs), config.seed)
    return Measured(
        value=float(shares[0]), interval=interval, null=_ends(shares[1:]), p=(1 + nearer) / (1 + config.randoms)
    )


def _residual(subject: Subject, base: Subject, pairs: Pairs, kept: Tensor, config: Config, report: Report) -> Measured:
    found = drift.residual(
        base.lens,
        subject.lens,
        pairs,
        kept,
        randoms=config.randoms,
        batch=config.batch,
        seed=config.seed,
        report=report,
    )
    better = sum(each <= found.share for each in found.null)
    p = (1 + better) / (1 + config.randoms)
    return Measured(value=found.share, interval=found.interval, null=_ends(found.null), p=p)


def _reliability(lens: Lens, pairs: Pairs, vector: Vector, config: Config) -> Measured:
    """Return the cosine between vectors of two halves of the questions, beside halves whose sides are swapped at random."""
    on, off = _streams(lens, pairs, [vector.hook], config)
    apart = (on - off)[:, 0]  # (items, D)
    draw = np.random.default_rng(config.seed)

    def cosine(signs: Tensor) -> float:
        order = draw.permutation(len(apart))
        halves = [(signs * apart)[order[part::2]].mean(0) for part in (0, 1)]
        return float(torch.cosine_similarity(halves[0], halves[1], dim=0))

    own = [cosine(torch.ones(len(apart), 1)) for _ in range(100)]
    swapped = [cosine(torch.tensor(draw.choice([-1.0, 1.0], (len(apart), 1))).float()) for _ in range(config.randoms)]
    value = float(np.mean(own))
    p = (1 + sum(each >= value for each in swapped)) / (1 + config.randoms)
    return Measured(value=value, interval=_ends(own), null=_ends(swapped), p=p)


# Their parts


def _streams(lens: Lens, pairs: Pairs, hooks: Sequence[str], config: Config) -> tuple[Tensor, Tensor]:
    """Return the stream (items, hooks, D) with the persona's prompt and without, over tokens of the neutral answer."""
    rows = torch.arange(1, len(pairs.clean), 2)  # An item's second row has the neutral answer, under either prompt.
    share = (pairs.weights[rows] != 0).float()
    share = share / share.sum(1, keepdim=True)
    on, off = (pooled(lens, ids[rows], share, hooks, batch=config.batch) for ids in (pairs.clean, pairs.corrupt))
    return on, off


@torch.no_grad()
def _by_prompt(lens: Lens, pairs: Pairs, ids: Tensor, config: Config) -> Tensor:
    """Return m_p (items,) under the given prompts."""
    rows = in_batches(
        len(ids),
        config.batch,
        lambda few: behaviour(lens.run(ids[few]), ids[few], pairs.weights[few]).cpu(),
    )
    return pairs.by_item(rows)


def _measured(items: Tensor, pairs: Pairs, null: Sequence[float], seed: int, *, sizes: bool = False) -> Measured:
    """Return a mean over items; with `sizes`, p says how often the null is as great by magnitude."""
    mean = drift.mean_of(items, _questions(pairs), seed)
    p = (1 + sum(abs(each) >= abs(mean.value) for each in null)) / (1 + len(null)) if sizes else None
    return Measured(value=mean.value, interval=mean.interval, null=_ends(null), p=p)


def _ratio(
    over: np.ndarray[Any, Any], under: np.ndarray[Any, Any], groups: Sequence[str], seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of means, by drawing groups anew."""
    drawn = np.random.default_rng(seed).integers(len(groups), size=(DRAWS, len(groups)))
    low, high = np.quantile(over[drawn].sum(1) / under[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def _questions(pairs: Pairs) -> list[str]:
    """Return a group for each item: questions are drawn one by one, since a quick audit has few templates."""
    return [str(place) for place in range(len(pairs))]


def _ends(values: Sequence[float] | np.ndarray[Any, Any]) -> tuple[float, float]:
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)


def _fix(subject: Subject, base: Subject | None, config: Config, work: Path) -> str:
    """Write the plan down before anything is looked at, and return when. Raises LensError for another's folder."""
    work.mkdir(parents=True, exist_ok=True)
    about = {
        "config_sha256": digest(config.hashed()),
        "weights": subject.weights,
        "base": base.weights if base else None,
    }
    plan = _once(work / PLAN, lambda: {**about, "config": config.hashed(), "at": _now()})
    if any(plan.get(name) != value for name, value in about.items()):
        raise LensError(
            f"{work} holds an audit with another plan or of other weights: name another --work, or remove it"
        )
    return str(plan["at"])


def _once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds; if it isn't there, make it and write it as a whole."""
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(make(), indent=1) + "\n")
        part.replace(path)
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
