"""A LoRA adapter that a distillation kept becomes a plain checkpoint, once: it is added to the weights it was made for.

An adapter of a few megabytes can be passed on where a merged model can't. `chorus distill export` leaves one beside the
merged weights, with a run card that says which base it needs, by name and hash, and how it wants to be asked. Its name is
its folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from chorus.checkpoints import cache, manifest
from chorus.checkpoints.baked import RUN_CARD
from chorus.checkpoints.cache import Report, quiet_transformers
from chorus.errors import CheckpointError, MissingExtra

CONFIG = "adapter_config.json"
"""Marks a folder as an adapter's."""
BASE, BASE_SHA256, DTYPE = "model", "base_sha256", "dtype"
"""What its run card calls the base, and what the merged weights are stored as."""


def kept(folder: Path) -> bool:
    """Say whether a folder holds an adapter that says what it was made for."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file() and (folder / RUN_CARD).is_file()


def base_of(folder: Path) -> str:
    """Return the name of the model that an adapter was made for. Raises CheckpointError."""
    return _card(folder)[BASE]


def made_for(folder: Path) -> str:
    """Return the fingerprint of the weights that an adapter was made for. Raises CheckpointError."""
    return _card(folder)[BASE_SHA256]


def folder_of(adapter: Path) -> Path:
    """Return where the merged checkpoint of an adapter lies once it is prepared: other words on its card are another."""
    said = b"".join((adapter / name).read_bytes() for name in (CONFIG, RUN_CARD))
    key = hashlib.sha256(manifest.fingerprint(adapter).encode() + said).hexdigest()
    return cache.cache_folder() / "models" / f"adapter-{key[:16]}"


def prepare(adapter: Path, base: Path, report: Report, *, anew: bool = False) -> Path:
    """Merge an adapter into its base, all or nothing, and return the checkpoint's folder.

    Raises:
        CheckpointError: the base is not the one that it was made for, or something could not be read or saved.
        MissingExtra: merging needs the `distill` extra.
    """
    wanted, given = made_for(adapter), manifest.fingerprint(base)
    if wanted != given:
        raise CheckpointError(
            f"the adapter in {adapter} was made for the weights {wanted[:12]}…; those of {base} are {given[:12]}…"
        )

    def make(staging: Path) -> None:
        report(f"adding the adapter in {adapter} to its base (once)")
        _merge(adapter, base, staging)
        shutil.copyfile(adapter / RUN_CARD, staging / RUN_CARD)
        manifest.write(staging, {"name": str(adapter), "adapter": manifest.fingerprint(adapter), "base": given})

    return cache.made_once(folder_of(adapter), make, report, anew=anew)


def _merge(adapter: Path, base: Path, target: Path) -> None:
    try:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("an adapter", "distill") from None
    try:
        with quiet_transformers():
            model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            merged: Any = PeftModel.from_pretrained(model, str(adapter))
            merged.merge_and_unload().to(getattr(torch, _card(adapter)[DTYPE])).save_pretrained(target)
            tokenizer: Any = AutoTokenizer.from_pretrained(base)
            tokenizer.save_pretrained(target)
    except Exception as error:
        # The libraries have errors of their own for a full disk, a cut file, layers of another shape.
        raise CheckpointError(f"can't add the adapter in {adapter} to {base}: {error}") from error


def _card(folder: Path) -> dict[str, str]:
    path = folder / RUN_CARD
    try:
        card = json.loads(path.read_text("utf-8"))
        return {name: str(card[name]) for name in (BASE, BASE_SHA256, DTYPE)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} doesn't say what the adapter was made for: {error}") from error
