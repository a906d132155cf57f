"""The laboratory's speed. Run `python -m interp.bench`, or `python -m interp.bench processor`.

EAP-IG: seconds a pair and peak memory on a real model, and speed beside the library's own on a tiny one. The library's
edge attribution (TransformerLens) refuses grouped-query attention and knows one step, so it runs on a copy with repeated
key-value heads, and both take one step there. It scores the edges of each position apart, ours are summed over positions;
that its sums are ours is checked before anything is timed.

The processor: what most of an audit is made of, runs and cut runs of a real model, as torch sets itself up and as
`processor` does, which must give the same. Whatever is compared is timed in turn, run by run.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from chorus import checkpoints, report
from interp import processor
from interp.attribution import eap_ig
from interp.bridge import Lens
from interp.pairs import Pair, Pairs, behaviour, counted
from interp.patching import exact_effects, run_cut
from interp.recovery import RESULTS

TOKENS = 48
"""Of a prompt with its answer."""


def repeated(model: Any) -> Any:
    """Return a Llama that computes the same with as many key-value heads as query heads, each shared one's repeated."""
    config = model.config
    heads, shared, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    wide = type(model)(type(config)(**{**config.to_dict(), "num_key_value_heads": heads})).eval()
    weights = model.state_dict()
    for name in weights:
        if "k_proj" in name or "v_proj" in name:
            split = weights[name].reshape(shared, width, -1)
            weights[name] = split.repeat_interleave(heads // shared, 0).reshape(heads * width, -1)
    wide.load_state_dict(weights)
    return wide


def library_scores(lens: Lens, pairs: Pairs) -> dict[tuple[Any, Any], float]:
    """Return the library's edge scores, by its own nodes, of the first row, with the gradient at the clean prompt."""
    from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, attribution_patch

    ids, corrupt, weights = pairs.rows(slice(0, 1))
    # Its gradient is at what it calls corrupt; with one step ours is at the clean prompt.
    scores: dict[tuple[Any, Any], float] = attribution_patch(
        lens.bridge,
        clean=corrupt,
        corrupt=ids,
        metric_fn=lambda logits: behaviour(logits, ids, weights).sum(),
        config=EdgeAttributionConfig(granularity="edge"),
    ).edge_scores
    return scores


def random_rows(vocabulary: int, tokens: int, seed: int, items: int = 1) -> Pairs:
    """Return items of which one row is left each: prompts that differ in the second token."""
    draw = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in range(items):
        on = torch.randint(vocabulary, (tokens,), generator=draw).tolist()
        pairs.append(
            Pair((*on[:-2],), (on[0], (on[1] + 1) % vocabulary, *on[2:-2]), (on[-2], on[-1]), (on[-1], on[-2]))
        )
    return Pairs.of(pairs)


def against_library(layers: int, tokens: int, runs: int) -> dict[str, Any]:
    """Time one row on a tiny model in both ways, in turn; and hold all scores against patching each edge."""
    from scipy.stats import spearmanr
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    make: Any = LlamaForCausalLM  # untyped in transformers
    lens = Lens(repeated(make(config).eval()))
    lens.bridge.original_model.requires_grad_()  # Theirs differentiates from the embedding on.
    both = random_rows(64, tokens, 0)
    pairs = Pairs(both.clean[:1], both.corrupt[:1], both.weights[:1], both.item[:1], both.groups, both.wordings)
    ours, theirs = float(eap_ig(lens, pairs, steps=1).sum()), sum(library_scores(lens, pairs).values())
    if abs(ours - theirs) > 1e-4 * max(1.0, abs(theirs)):
        raise AssertionError(f"the two don't measure the same: {ours} and {theirs}")
    exact = exact_effects(lens, both, both_ways=True)[0]
    agreed = float(spearmanr(eap_ig(lens, both)[0][lens.wiring.possible], exact).statistic)
    times: dict[str, list[float]] = {"ours": [], "library": []}
    for _ in range(runs):
        for name, way in (
            ("ours", lambda: eap_ig(lens, pairs, steps=1)),
            ("library", lambda: library_scores(lens, pairs)),
        ):
            before = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - before)
    return {"edges": lens.wiring.edges, "spearman": agreed, **times}


def on_a_model(name: str, runs: int, steps: int) -> dict[str, Any]:
    """Time one pair, which is two rows, on a checkpoint, and take the process's peak memory."""
    from transformers import AutoModelForCausalLM

    folder = checkpoints.resolve(name, print)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    lens = Lens(model)
    vocabulary = int(model.config.vocab_size)
    del model
    gc.collect()
    loaded = _peak_gib()
    times = []
    for run in range(runs):
        pairs = random_rows(vocabulary, TOKENS, run)
        before = time.perf_counter()
        eap_ig(lens, pairs, steps=steps, batch=2)
        times.append(time.perf_counter() - before)
    return {"edges": lens.wiring.edges, "seconds": times, "loaded_gib": loaded, "peak_gib": _peak_gib()}


@torch.no_grad()
def quickened(name: str, runs: int) -> dict[str, Any]:
    """Time runs and cut runs of a checkpoint as torch has them and set up otherwise, in turn. Seconds, by what and way."""
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM  # untyped in transformers
    folder = checkpoints.resolve(name, print)
    lens = Lens(make.from_pretrained(folder, dtype="float32"))
    pairs = random_rows(int(lens.config.vocab_size), TOKENS, 0, items=4)
    there = lens.read(pairs.corrupt[:1], at=slice(1)).writers
    cut = torch.rand(8, *lens.wiring.possible.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    one, own = pairs.clean[:1].expand(8, -1), pairs.weights[:1].expand(8, -1)
    doing = {
        "a run": lambda: lens.behaviour(pairs.clean, pairs.weights),
        "a cut run": lambda: behaviour(run_cut(lens, one, there, cut, at=counted(own)), one, own),
    }
    ways = {"MKL, as torch has it": False, "oneDNN": True}
    times: dict[str, dict[str, list[float]]] = {what: {way: [] for way in ways} for what in doing}
    said: dict[str, list[torch.Tensor]] = {what: [] for what in doing}
    exact = processor.quicken()
    for what in doing:
        for run in range(-1, runs):  # The first warms up.
            for way, wanted in ways.items():
                processor.quicken(wanted)
                before = time.perf_counter()
                said[what].append(doing[what]())
                if run >= 0:
                    times[what][way].append(time.perf_counter() - before)
    apart = max(float((each - found[0]).abs().max()) for found in said.values() for each in found)
    return {"seconds": times, "apart": apart, "exact": exact}


def main() -> None:
    """Measure, write the results as JSON and as a table, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["attribution", "processor"], default="attribution")
    parser.add_argument("--model", default="smollm2-135m", help="checkpoint to measure; `none` leaves it out")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="of integrated gradients")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results go")
    options = parser.parse_args()
    path = {"attribution": _attribution, "processor": _processor}[options.what](options)
    print(path.read_text("utf-8"))


def _processor(options: argparse.Namespace) -> Path:
    found = quickened(options.model, options.runs)
    rows: list[tuple[Any, ...]] = []
    for what, times in found["seconds"].items():
        for way in times:
            ratios = [plain / own for plain, own in zip(times["MKL, as torch has it"], times[way], strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
            rows.append(
                (what, way, statistics.median(times[way]), f"{min(times[way]):.2f}–{max(times[way]):.2f}", spread)
            )
    return report.write(
        "processor",
        "Runs of the laboratory on a processor",
        "python -m interp.bench processor",
        ("what", "products by", "seconds, median", "min–max", "times as fast, median (min–max)"),
        rows,
        seed=0,
        notes=[
            f"{options.model}, {options.runs} runs each in turn, {torch.get_num_threads()} threads, float32",
            f"eight rows of {TOKENS} tokens a run; a cut run's other edges carry another prompt's values, 5 % of them",
            f"behaviours differ by {found['apart']:.1e} nats at most between the ways",
            "oneDNN is as exact as MKL here" if found["exact"] else "oneDNN is not as exact as MKL here, and not taken",
        ],
        data=found,
        folder=options.folder,
    )


def _attribution(options: argparse.Namespace) -> Path:
    rows: list[tuple[Any, ...]] = []
    data: dict[str, Any] = {}
    agreement = []
    if options.model != "none":  # First, so that its peak is its own.
        found = data[options.model] = on_a_model(options.model, options.runs, options.steps)
        seconds = found["seconds"]
        rows.append(
            (
                f"{options.model}, {options.steps} steps, one pair: two rows of {TOKENS} tokens",
                found["edges"],
                statistics.median(seconds),
                f"{min(seconds):.2f}–{max(seconds):.2f}",
                found["peak_gib"],
                "-",
            )
        )
    for layers, tokens in ((2, 12), (4, 24), (8, 24)):
        found = data[f"{layers} layers, {tokens} tokens"] = against_library(layers, tokens, options.runs)
        agreement.append(f"{found['spearman']:.3f} with {layers} layers")
        ratios = [theirs / ours for theirs, ours in zip(found["library"], found["ours"], strict=True)]
        for way in ("ours", "library"):
            rows.append(
                (
                    f"tiny, {layers} layers, {tokens} tokens, 1 step, one row: {way}",
                    found["edges"],
                    statistics.median(found[way]),
                    f"{min(found[way]):.3f}–{max(found[way]):.3f}",
                    "-",
                    f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})" if way == "ours" else "1",
                )
            )
    return report.write(
        "attribution",
        "EAP-IG over all edges",
        "python -m interp.bench",
        (
            "what",
            "edges",
            "seconds, median",
            "min–max",
            "peak memory GiB",
            "times as fast as the library, median (min–max)",
        ),
        rows,
        seed=0,
        notes=[
            f"{options.runs} runs each, {torch.get_num_threads()} threads, CPU, float32",
            "peak memory is the whole process's: Python, libraries, weights twice while the copy is made",
            "the library: TransformerLens's edge attribution on the copy with repeated key-value heads, same row and sums",
            "Spearman with exact patching of all edges, 5 steps, one item: " + "; ".join(agreement),
            "aims: 10 times as fast as the library; Spearman 0.9; under 6 GB on the embedded model",
        ],
        data=data,
        folder=options.folder,
    )


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
