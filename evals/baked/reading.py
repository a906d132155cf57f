"""What training has done to a model's reading of ordinary text: perplexity on a page that ships with this package.

The page was written for this purpose and is trained on nowhere: letters, notices, stories, no task among them. Each of
its paragraphs is read by itself, and the paragraph is the unit: models are compared paragraph by paragraph.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chorus import whole_file
from chorus.checkpoints import fingerprint, quiet_transformers
from chorus.errors import CheckpointError, MissingExtra, RecordError
from evals import stats
from evals.stats import Interval


@dataclass(frozen=True, slots=True)
class Loss:
    """How surprised a model was by a paragraph."""

    nats: float
    """Negative log-likelihood, summed over its tokens but the first."""
    tokens: int
    """How many that are."""


Losses = dict[str, list[Loss]]
"""By the hash of the weights: one a paragraph."""


def page() -> list[str]:
    """Return the paragraphs."""
    text = (importlib.resources.files("evals.baked") / "ordinary.txt").read_text("utf-8")
    return [paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()]


def read(folder: Path, kept: Path) -> list[Loss]:
    """Have a model read the page, once for these weights.

    Args:
        folder: of the checkpoint.
        kept: JSON file of what has been read before.

    Raises:
        MissingExtra: torch and transformers are not installed. CheckpointError: the weights can't be loaded.
        RecordError: the file can't be read or written.
    """
    before = _kept(kept)
    weights = fingerprint(folder)
    if weights not in before:
        before[weights] = _losses(folder)
        try:
            whole_file.put(kept, TypeAdapter(Losses).dump_json(before, indent=1))
        except OSError as error:
            raise RecordError(f"can't write {kept}: {error.strerror or error}") from error
    return before[weights]


def perplexity(losses: Sequence[Loss]) -> float:
    """Return the perplexity a token over the whole page."""
    return math.exp(math.fsum(one.nats for one in losses) / sum(one.tokens for one in losses))


def change(losses: Sequence[Loss], reference: Sequence[Loss], seed: int = 0) -> Interval:
    """Return by which factor perplexity rose over a reference's, paired by paragraph: geometric mean and interval."""
    pairs = zip(losses, reference, strict=True)
    found = stats.mean([[ours.nats / ours.tokens - other.nats / other.tokens for ours, other in pairs]], seed)
    return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high))


def _losses(folder: Path) -> list[Loss]:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("perplexity on ordinary text", "local") from None
    gpu = torch.cuda.is_available()
    try:
        with quiet_transformers():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto" if gpu else torch.float32)
            model.to("cuda" if gpu else "cpu").eval()
    except Exception as error:
        raise CheckpointError(f"can't load {folder}: {type(error).__name__}: {error}") from error
    found: list[Loss] = []
    with torch.no_grad():
        for paragraph in page():
            ids = tokenizer(paragraph, return_tensors="pt")["input_ids"].to(model.device)  # (1, T)
            mean = float(model(input_ids=ids, labels=ids).loss)
            found.append(Loss(mean * (ids.shape[1] - 1), ids.shape[1] - 1))
    return found


def _kept(path: Path) -> Losses:
    try:
        return TypeAdapter(Losses).validate_json(path.read_bytes()) if path.exists() else {}
    except (OSError, ValidationError) as error:
        raise RecordError(f"can't read {path}: {error}") from error
