"""The microscope measured on models whose truth is known: what it finds of planted circuits, and what where there are none.

Run `python -m interp.recovery`. For each seed three models are made and audited as any other would be: one with a persona
circuit, one without its first step, and one whose persona has an effect that no small circuit carries. A model without a
circuit may still pass each test by chance; how often a claim stands there, and how often the audit grants something, are
the rates of false claims, with their intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from chorus import report
from chorus.checkpoints.legibility import Persona
from interp import planted
from interp.attribution import eap_ig
from interp.audit import audit
from interp.bridge import Lens
from interp.claims import Claim, examine
from interp.plan import Config
from interp.planted import PLACEBOS, Plant, persona_pairs
from interp.planted_subject import PlantedSubject

RESULTS = Path(__file__).parents[1] / "evals" / "results"
ITEMS = 12
"""Questions a claim is examined on."""
TINY = Config(
    ("planted",), discover=8, select=8, test=8, layers=4, steps=3, share=0.05, randoms=19, probes=10, voices=2, batch=64
)
"""What is audited of a tiny model: as much as `--depth quick` does."""
PLANTED, NOTHING, DIFFUSE = "planted", "nothing planted", "an effect without a small circuit"
KINDS: dict[str, dict[str, bool]] = {PLANTED: {}, NOTHING: {"circuit": False}, DIFFUSE: {"diffuse": True}}
"""What is made from a seed, with how `planted.plant` is told of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one model."""

    seed: int
    auroc: float | None
    """Of planted edges among all, by the magnitude of their score; None where none are planted."""
    claim: Claim


def look(seed: int, *, circuit: bool) -> Found:
    """Plant a model and examine it."""
    plant = planted.plant(seed, circuit=circuit)
    lens = Lens(plant.model)
    placebos = [persona_pairs(ITEMS, seed, placebo=number) for number in range(PLACEBOS)]
    claim = examine(lens, persona_pairs(ITEMS, seed), placebos, seed=seed)
    return Found(seed, auroc(plant, lens, seed) if circuit else None, claim)


def judged(seed: int, kind: str) -> Persona:
    """Make a model of one of the `KINDS` and return what the whole audit says of its persona."""
    with tempfile.TemporaryDirectory() as work:
        card = audit(PlantedSubject(seed, **KINDS[kind]), TINY, Path(work), depth="quick")
    return card.personas["planted"]


def hard_auroc(seed: int) -> float:
    """Return the AUROC in a model whose circuit is weak and stands among many distractors."""
    plant = planted.plant(seed, hard=True)
    return auroc(plant, Lens(plant.model), seed)


def auroc(plant: Plant, lens: Lens, seed: int) -> float:
    """Return how well scores tell planted edges from all others: the AUROC of their magnitude."""
    from sklearn.metrics import roc_auc_score

    scores = eap_ig(lens, persona_pairs(8, seed), batch=16).mean(0).abs()
    truth = truth_of(plant, lens)
    return float(roc_auc_score(truth[lens.wiring.possible], scores[lens.wiring.possible]))


def truth_of(plant: Plant, lens: Lens) -> torch.Tensor:
    """Return (W, R), True at the planted edges."""
    wiring = lens.wiring
    truth = torch.zeros_like(wiring.possible)
    for writer, reader in plant.edges:
        truth[wiring.writers.index(writer), wiring.readers.index(reader)] = True
    return truth


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write `recovery.json` and `recovery.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(100, 120), metavar=("FIRST", "END"))
    parser.add_argument("--nulls", type=int, help="models where nothing is planted; as many as plants unless given")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results go")
    options = parser.parse_args(arguments)
    seeds = range(*options.seeds)
    without = range(seeds.start, seeds.start + options.nulls) if options.nulls else seeds
    plants, nulls = (
        [look(seed, circuit=circuit) for seed in which] for circuit, which in ((True, seeds), (False, without))
    )
    hard = [hard_auroc(seed) for seed in seeds]
    audits = {kind: [judged(seed, kind) for seed in (seeds if kind == PLANTED else without)] for kind in KINDS}
    path = report.write(
        "recovery",
        "What the microscope finds in models whose truth is known",
        "python -m interp.recovery",
        ("what", "found", "95 % interval", "aim"),
        _rows(plants, hard, nulls, audits),
        seed=seeds.start,
        notes=[
            f"{len(seeds)} plants and {len(without)} models of each kind without; the generator was tuned on none of them",
            "planted personas not claimed: "
            + (
                "; ".join(f"seed {each.seed}: {each.claim.failed}" for each in plants if not each.claim.stands)
                or "none"
            ),
            *(f"audits, {kind}: {_counted([each.grant for each in own])}" for kind, own in audits.items()),
            "an effect without a small circuit may rightly be `supervised`: a vector that steers it is a handle on it",
        ],
        data={
            "claims": {
                name: [
                    {"seed": e.seed, "auroc": e.auroc, "stands": e.claim.stands, "failed": e.claim.failed}
                    | e.claim.figures
                    for e in found
                ]
                for name, found in ((PLANTED, plants), (NOTHING, nulls))
            },
            "hard aurocs": hard,
            "audits": {
                kind: [
                    {"seed": seed, "verdict": each.verdict, "grant": each.grant, "reasons": each.reasons}
                    for seed, each in enumerate(own, seeds.start)
                ]
                for kind, own in audits.items()
            },
        },
        folder=options.folder,
    )
    print(path.read_text("utf-8"))


def _rows(
    plants: list[Found], hard: list[float], nulls: list[Found], audits: dict[str, list[Persona]]
) -> list[tuple[str, float, str, str]]:
    """Return the table: what was asked, the share or mean, its interval, and what it should be."""

    def mean(what: str, areas: list[float]) -> tuple[str, float, str, str]:
        return what, sum(areas) / len(areas), f"from {min(areas):.3f} to {max(areas):.3f}", "at least 0.95"

    def share(what: str, found: Sequence[bool], aim: str = "-") -> tuple[str, float, str, str]:
        return what, sum(found) / len(found), _wilson(sum(found), len(found)), aim

    def understood(kind: str) -> list[bool]:
        return [each.verdict != "unexplained" for each in audits[kind]]

    none = "at most 0.05"
    return [
        mean("AUROC of planted edges, mean over plants", [each.auroc for each in plants if each.auroc is not None]),
        mean("the same of weak ones among more distractors", hard),
        share("planted personas claimed", [each.claim.stands for each in plants]),
        share("planted personas that the audit calls explained or partly so", understood(PLANTED)),
        share("claims where nothing is planted", [each.claim.stands for each in nulls], none),
        share("audits that grant more than `none` there", [each.grant != "none" for each in audits[NOTHING]], none),
        share("audits that call an effect without a small circuit explained or partly so", understood(DIFFUSE), none),
        share("audits that grant more than `none` there", [each.grant != "none" for each in audits[DIFFUSE]]),
    ]


def _counted(grants: Sequence[str]) -> str:
    return ", ".join(f"`{grant}` {count}" for grant, count in sorted(Counter(grants).items()))


def _wilson(successes: int, count: int) -> str:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, count, method="wilson")
    return f"{low:.2f}–{high:.2f}"


if __name__ == "__main__":
    main()
