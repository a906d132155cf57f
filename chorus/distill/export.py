"""Step 5, `export`: one merged checkpoint that vLLM, transformers and TransformerLens load like the model it came from.

Its folder holds plain weights, tokenizer, model card and `run.json`, which marks it as baked: who its voices are, and
the prompts of its two styles, which engines read (`checkpoints.baked`). The merged weights are loaded again and compared
with what they were merged from. Where an adapter was trained, `adapter/` holds it by itself, small enough to be passed on:
any engine opens that folder too (`checkpoints.adapters`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from chorus import checkpoints
from chorus.checkpoints import adapters, fingerprint
from chorus.checkpoints.baked import RUN_CARD, Baked
from chorus.distill import cast, collect, files
from chorus.distill.ledger import Run
from chorus.distill.questions import tasks_of
from chorus.distill.recipe import Recipe, Training
from chorus.distill.styles import PROMPTS
from chorus.distill.training import Report, Start, open_model, weaken, whole_folder
from chorus.engines.templating import ChatTemplate
from chorus.errors import CheckpointError
from chorus.question_file import read_questions
from chorus.route import STYLES
from chorus.types import Message

TOLERANCE = 1e-3
"""Largest difference of logits, in float32, between adapter and merged weights that rounding explains."""

CARRIED = ("config", "data", "weights", "seconds", "git", "hardware")
"""What the card of a checkpoint repeats of the cards of the steps before, beside their last figures."""

SHOWN = ("loss", "reward", "pass@1", "entropy", "gold/accuracy", "gold/pass@k")
"""Logged figures that the model card shows."""

MODES = {style: mode for mode, style in STYLES.items()}
"""How `chorus ask` names the two styles."""

WEIGHTS = "adapter_model.safetensors"
"""An adapter's file of weights."""

PROBE = (Message(role="user", content="What is 7 * 8?"),)


def export(
    recipe: Recipe, start: Start, collected: Path, run: Run, report: Report, *, before: Mapping[str, Any]
) -> None:
    """Merge the weights and write the checkpoint into the run's folder.

    Args:
        recipe: what is run.
        start: the weights of the last training step.
        collected: folder of the step `collect`.
        run: takes figures and hashes.
        report: is told of progress.
        before: the cards of the steps that led here, by step.

    Raises:
        CheckpointError: merged weights don't say what they did before they were merged.
        NotWritten: something could not be saved.
    """
    keep = Training(steps=1, batch=1, learning_rate=0.1, weights="lora")  # an adapter, where there is one, stays apart
    model, tokenizer, _ = open_model(start, keep)
    model = model.float().eval()
    strength = recipe.export.strength
    weaken(dict(model.named_parameters()), strength)
    ids = torch.tensor([ChatTemplate(tokenizer).encode(PROBE)], device=model.device)
    apart = _logits(model, ids)
    merged = model.merge_and_unload() if start.adapter else model
    off = float((_logits(merged, ids) - apart).abs().max())
    if off > TOLERANCE:
        raise CheckpointError(f"the merged weights are off by {off:.2g} in logits from the adapter's: not exported")
    report("export: writing the merged checkpoint")
    merged = merged.to(getattr(torch, recipe.export.dtype))
    with whole_folder(run.folder / "merged") as staging:
        merged.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
    again: Any = AutoModelForCausalLM.from_pretrained(run.folder / "merged", dtype=merged.dtype)
    if not _same_weights(merged, again):
        raise CheckpointError(f"{run.folder / 'merged'} doesn't hold what was written into it: not exported")
    run.metrics |= {"merged_off": off, "stored_off": float((_logits(again.float().eval(), ids) - apart).abs().max())}
    _settle(run.folder)
    run.weights["checkpoint"] = fingerprint(run.folder)
    speakers = cast.read(collected)
    asking = Baked(prompts=PROMPTS, cast=speakers.personas, rounds=speakers.rounds, detail=speakers.detail)
    run.more |= asking.model_dump(mode="json") | {
        "model": recipe.model,
        "tasks": tasks_of(read_questions(collected / collect.QUESTIONS)),
        "made_by": {step: carried(card) for step, card in before.items()},
    }
    if start.adapter and start.base == checkpoints.local_path(recipe.model):  # not on weights that were trained before
        said = {adapters.BASE_SHA256: run.card["data"]["start/base"], adapters.DTYPE: recipe.export.dtype}
        said |= {"strength": strength} if strength else {}
        with whole_folder(run.folder / "adapter") as staging:
            _keep(start.adapter, staging, run.more | said, strength)
        run.weights["adapter"] = fingerprint(run.folder / "adapter")
        for step in recipe.export.checkpoints:
            kept = start.adapter.parent / f"checkpoint-{step}"
            if not kept.is_dir():
                report(f"export: there is no checkpoint of step {step}, so its adapter is not kept")
                continue
            with whole_folder(run.folder / "adapters" / str(step)) as staging:
                _keep(kept, staging, run.more | said | {"steps_trained": step}, strength)
    files.put(run.folder / "README.md", model_card(recipe, run, before))


def carried(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the checkpoint's card repeats of a step's: what it was made from, and its figures but for the log."""
    figures = {name: value for name, value in card["metrics"].items() if isinstance(value, int | float)}
    return {key: card[key] for key in CARRIED} | {"metrics": figures}


def model_card(recipe: Recipe, run: Run, before: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a reader should know of the model before using it, as Markdown."""
    arm = f", arm `{recipe.arm}`" if recipe.arm else ""
    names = ", ".join(card["name"] for card in run.more["cast"])
    strength = recipe.export.strength
    part = f" Of what they changed, {strength:.0%} was added to the weights that it came from." if strength else ""
    lines = [
        f"# {recipe.model}, with a chorus baked in",
        "",
        f"Made by `chorus distill` from `{recipe.model}`, recipe `{recipe.name}`{arm}, seed {recipe.seed}, in the steps "
        f"{', '.join(before)}.{part} Voices: {names}. `run.json` holds settings, hashes of data and weights, and figures.",
        "",
        "It answers in two ways, chosen by the system message. `chorus ask` sends it by itself:",
        "",
        *(f"- `{style}`, `--mode {MODES[style]}`: `{prompt}`" for style, prompt in run.more["prompts"].items()),
        "",
        "| step | steps trained | seconds | last figures |",
        "|---|---|---|---|",
        *(_line(step, card) for step, card in before.items()),
        "",
        "It was trained on what a model said in debates, rewarded for right answers to questions of the tasks named in",
        "the data card, and for nothing else. Elsewhere it may have become worse than the model that it came from, and",
        "the voices in its dialogues are a way of writing: that they take part in its reasoning is yet to be shown.",
    ]
    return "\n".join(lines) + "\n"


def _line(step: str, card: Mapping[str, Any]) -> str:
    metrics = card["metrics"]
    newest: dict[str, float] = {}
    for entry in metrics.get("log", []):
        if entry.get("step") == 0:
            continue  # what was measured before the first step is no result
        newest |= {name: entry[name] for name in SHOWN if name in entry}
    figures = ", ".join(f"{name} {value:.3g}" for name, value in newest.items())
    return f"| {step} | {metrics.get('steps', '')} | {card['seconds']:g} | {figures} |"


def _settle(folder: Path) -> None:
    """Move the checkpoint into the step's own folder, its config last: without one it is no checkpoint yet."""
    merged = folder / "merged"
    for file in sorted(merged.iterdir(), key=lambda path: path.name == "config.json"):
        file.replace(folder / file.name)
    merged.rmdir()


def _keep(adapter: Path, target: Path, said: Mapping[str, Any], strength: float | None) -> None:
    """Copy an adapter, and have it say what it was made for by name and hash, and not by where that lay here."""
    weights = load_file(adapter / WEIGHTS)
    weaken(weights, strength)
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((adapter / adapters.CONFIG).read_text("utf-8"))
    config |= {"base_model_name_or_path": said[adapters.BASE], "revision": None}
    files.put(target / adapters.CONFIG, json.dumps(config, indent=1, sort_keys=True) + "\n")
    files.put(target / RUN_CARD, json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids).logits
    return logits.float()


def _same_weights(one: Any, other: Any) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(weight, theirs[name]) for name, weight in one.state_dict().items())
