"""The microscope measured on models whose truth is known: what it finds of planted circuits, and what where there are none.

Run `python -m interp.recovery`. For each seed a model with a persona circuit and one without its first step are planted
and examined as any other model would be. A model without one may still pass each test by chance; how often a claim
stands there is the rate of false claims, with its interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from chorus import report
from interp import planted
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.claims import Claim, examine
from interp.planted import PLACEBOS, Plant, persona_pairs

RESULTS = Path(__file__).parents[1] / "evals" / "results"
ITEMS = 12
"""Questions a claim is examined on."""


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
    found = {
        circuit: [look(seed, circuit=circuit) for seed in which] for circuit, which in ((True, seeds), (False, without))
    }
    areas = [each.auroc for each in found[True] if each.auroc is not None]
    right, false = (sum(each.claim.stands for each in found[circuit]) for circuit in (True, False))
    missed = [f"seed {each.seed}: {each.claim.failed}" for each in found[True] if not each.claim.stands]
    count, empty = len(seeds), len(without)
    path = report.write(
        "recovery",
        "What the microscope finds in models whose truth is known",
        "python -m interp.recovery",
        ("what", "found", "95 % interval", "aim"),
        [
            (
                "AUROC of planted edges, mean over plants",
                sum(areas) / count,
                f"lowest {min(areas):.3f}",
                "at least 0.95",
            ),
            ("planted personas claimed", right / count, _wilson(right, count), "-"),
            ("claims where nothing is planted", false / empty, _wilson(false, empty), "at most 0.05"),
        ],
        seed=seeds.start,
        notes=[
            f"{count} plants and {empty} models without, none of whose seeds the generator was tuned on",
            "planted personas not claimed: " + ("; ".join(missed) or "none"),
        ],
        data={
            name: [
                {"seed": e.seed, "auroc": e.auroc, "stands": e.claim.stands, "failed": e.claim.failed} | e.claim.figures
                for e in found[circuit]
            ]
            for name, circuit in (("planted", True), ("nothing planted", False))
        },
        folder=options.folder,
    )
    print(path.read_text("utf-8"))


def _wilson(successes: int, count: int) -> str:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, count, method="wilson")
    return f"{low:.2f}–{high:.2f}"


if __name__ == "__main__":
    main()
