"""EAP-IG on a real model held against the truth where the truth is affordable: exact patching of a sample of edges.

Run `python -m interp.spotcheck`. The sample is stratified, so that neither the few strong edges nor the many weak ones make
the result: edges into queries, keys, values, MLPs and logits, of each kind as many from its strongest thousandth, hundredth,
tenth and from the rest, and more from elsewhere where one has fewer. Besides, the same scores on a copy with repeated
key-value heads, whose edges into keys and values must add up to those of the heads that share them.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chorus import checkpoints, report
from interp import dataset
from interp.attribution import eap_ig
from interp.bench import repeated
from interp.bridge import Lens
from interp.patching import exact_effects
from interp.recovery import RESULTS
from interp.subject import spread
from interp.wiring import Wiring
from personas.contrast import contrast

BANDS = (0.001, 0.01, 0.1, 1.0)
"""Shares of a kind's edges, strongest first: each band ends where the next begins."""
KINDS = {"q": "queries", "k": "keys", "v": "values", "i": "MLPs", "l": "logits"}


def sampled(wiring: Wiring, scores: Tensor, count: int, seed: int = 0) -> dict[tuple[str, float], Tensor]:
    """Return edges (n, 2) by kind of reader and band, `count` in all: what one band lacks others make up for.

    Args:
        wiring: of the model.
        scores: (W, R), by whose magnitude bands are drawn.
        count: how many edges.
        seed: of the draw.
    """
    draw = torch.Generator().manual_seed(seed)
    kinds = [name.rpartition(".")[2][0] for name in wiring.readers]
    bands: dict[tuple[str, float], Tensor] = {}
    for kind in KINDS:
        mine = torch.tensor([own == kind for own in kinds])
        edges = (wiring.possible & mine).nonzero()
        ranked = edges[scores[edges[:, 0], edges[:, 1]].abs().argsort(descending=True)]
        start = 0
        for band in BANDS:
            end = max(start + 1, round(band * len(ranked)))
            bands[kind, band] = ranked[start:end]
            start = end
    found: dict[tuple[str, float], Tensor] = {}
    left = count
    for place, (name, within) in enumerate(sorted(bands.items(), key=lambda own: len(own[1]))):
        chosen = torch.randperm(len(within), generator=draw)[: left // (len(bands) - place)]
        found[name], left = within[chosen], left - len(chosen)
    return {name: found[name] for name in bands}


def folded(wide: Wiring, ours: Wiring, scores: Tensor) -> Tensor:
    """Return scores (W, R) of the copy with repeated key-value heads, those of heads that share one added up."""
    shared = wide.kv_heads // ours.kv_heads
    places = {name: place for place, name in enumerate(ours.readers)}
    out = scores.new_zeros(len(ours.writers), len(ours.readers))
    for place, name in enumerate(wide.readers):
        layer, _, part = name.rpartition(".")
        if part[0] in "kv":
            name = f"{layer}.{part[0]}{int(part[1:]) // shared}"
        out[:, places[name]] += scores[:, place]
    return out


def check(name: str, persona: str, items: int, count: int, steps: int, seed: int) -> dict[str, Any]:
    """Score all edges, patch a sample of them, and score the copy with repeated key-value heads."""
    from scipy.stats import spearmanr
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = checkpoints.resolve(name, print)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    lens = Lens(model)
    chosen = spread([item for item in dataset.items() if item.split == "discover"], items)
    pairs = dataset.circuit_pairs(tokenizer, contrast(persona), chosen, dataset.WORDINGS["discover"])
    scores = eap_ig(lens, pairs, steps=steps).mean(0)
    strata = sampled(lens.wiring, scores, count, seed)
    edges = torch.cat(list(strata.values()))
    exact = exact_effects(lens, pairs, edges, both_ways=True, batch=8).mean(0)
    ours, wiring = scores[edges[:, 0], edges[:, 1]], lens.wiring
    del lens
    gc.collect()
    wide = Lens(repeated(model))
    apart = (folded(wide.wiring, wiring, eap_ig(wide, pairs, steps=steps).mean(0)) - scores).abs()
    where = np.repeat(np.arange(len(strata)), [len(each) for each in strata.values()])
    return {
        "edges": len(edges),
        "spearman": float(spearmanr(ours, exact).statistic),
        "spearman_magnitude": float(spearmanr(ours.abs(), exact.abs()).statistic),
        "same_sign": float((ours * exact > 0).float().mean()),
        "strata": {
            f"{KINDS[kind]}, strongest {band:g}": float(
                (ours[where == place] * exact[where == place] > 0).float().mean()
            )
            for place, (kind, band) in enumerate(strata)
        },
        "scores": ours.tolist(),
        "exact": exact.tolist(),
        "places": edges.tolist(),
        "repeated_apart": float(apart.max()),
        "largest": float(scores.abs().max()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, write `edges.json` and `edges.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--persona", default="skeptic")
    parser.add_argument("--items", type=int, default=1)
    parser.add_argument("--edges", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results go")
    options = parser.parse_args(arguments)
    found = check(options.model, options.persona, options.items, options.edges, options.steps, options.seed)
    path = report.write(
        "edges",
        f"EAP-IG on {options.model} against exact patching of {found['edges']} edges",
        "python -m interp.spotcheck",
        ("what", "value"),
        [
            ("Spearman, scores with exact effects", found["spearman"]),
            ("Spearman, by magnitude", found["spearman_magnitude"]),
            ("edges with the same sign", found["same_sign"]),
            ("largest difference to the copy with repeated key-value heads, nats", found["repeated_apart"]),
            ("largest score, nats", found["largest"]),
        ],
        seed=options.seed,
        notes=[
            f"{options.items} question(s) of the discover split, {options.steps} steps; exact: the mean of corrupting an "
            "edge in the clean run and of what restoring it in the corrupt run undoes",
            "a stratified sample: a rank agreement over all edges would be another figure",
            "same sign by stratum: " + "; ".join(f"{name} {share:.2f}" for name, share in found["strata"].items()),
        ],
        data=found,
        folder=options.folder,
    )
    print(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
