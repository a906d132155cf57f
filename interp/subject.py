"""A model as an audit sees it: its lens, and for each persona the pairs and the placebos of a split.

A placebo is a prompt of the same length whose tokens are drawn from the persona's prompt and the neutral one, shuffled: it
has their words and says nothing. What it moves is what such words move in any order.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from chorus import checkpoints
from chorus.checkpoints import Report, adapters
from chorus.checkpoints.beside import digests
from chorus.errors import CheckpointError, ConfigError, MissingExtra
from interp import dataset, processor
from interp.bridge import Lens
from interp.dataset import Cells, Split
from interp.errors import LensError
from interp.pairs import Pairs
from personas.contrast import contrast

AUTO = "auto"
"""The first GPU that torch finds, else the processor."""


class Subject(Protocol):
    """What can be audited."""

    name: str
    lens: Lens
    tokenizer: Any
    weights: str
    """Fingerprint of the checkpoint."""
    beside: dict[str, str]
    """Digests of what else decides its answers."""

    def pairs(self, persona: str, split: Split, items: int) -> Pairs:
        """Return so many items of a split, spread evenly over its templates and its wordings."""

    def placebos(self, pairs: Pairs, count: int, seed: int) -> list[Pairs]:
        """Return the same items under prompts that say nothing."""

    def cells(self, persona: str, split: Split, items: int) -> Cells:
        """Return rows for probes: the same neutral text under prompts with the persona and without."""

    @property
    def untrained(self) -> Lens:
        """A model of the same make that has learnt nothing."""


class Checkpoint:
    """A checkpoint on this machine."""

    def __init__(
        self, name: str, report: Report = lambda _: None, *, base: Path | None = None, device: str = AUTO
    ) -> None:
        """Load a checkpoint by its name or folder.

        Args:
            name: as `checkpoints.resolve` knows it, or a folder with a LoRA adapter.
            report: is told of each step.
            base: folder of the model that an adapter is put on; None means the one that it names.
            device: where it is looked at, as `device_of` takes it.

        Raises:
            ConfigError: there is no such model, or no such device. CheckpointError: it can't be loaded.
            LensError: the base is not the adapter's. UnknownArchitecture: circuits can't be drawn over it.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise MissingExtra("an audit", "interp") from None
        where = device_of(device)
        self.folder = folder_of(name, report)
        own = Path(name).expanduser()
        passed_on = name not in checkpoints.CATALOGUE and adapters.kept(own)
        self.home = own.resolve() if passed_on else self.folder
        """Where its card belongs: beside its weights, or beside the adapter that makes them."""
        if passed_on and base and adapters.made_for(own) != checkpoints.fingerprint(base):
            raise LensError(f"the adapter in {own} was made for {adapters.base_of(own)}, and {base} has other weights")
        self.name = Path(name).name or name
        self.weights = checkpoints.fingerprint(self.folder, afresh=True)
        self.beside = digests(self.folder)
        report(f"loading {self.name}")
        try:
            with checkpoints.quiet_transformers():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder)
                load: Any = AutoModelForCausalLM.from_pretrained
                adapter = (self.folder / adapters.CONFIG).is_file()
                model = _merged(self.folder, base) if adapter else load(self.folder, dtype="float32")
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"can't load the checkpoint in {self.folder}: {error}") from error
        if where == "cpu":
            processor.quicken()
        self.lens = Lens(model, device=where)
        del model
        gc.collect()

    def pairs(self, persona: str, split: Split, items: int) -> Pairs:
        """Return the built-in contrast's pairs, in the split's wordings.

        Raises:
            PersonaError: the persona has none. LensError: the prompts with it and without are the same.
        """
        chosen = spread([item for item in dataset.items() if item.split == split], items)
        found = dataset.circuit_pairs(self.tokenizer, contrast(persona), chosen, dataset.WORDINGS[split])
        if found.clean.equal(found.corrupt):
            raise LensError(
                f"{self.name} gets the same prompt with {persona} as without: its chat template drops system messages, so "
                "there is nothing to tell a persona by"
            )
        return found

    def cells(self, persona: str, split: Split, items: int) -> Cells:
        """Return the main cells of the built-in contrast, in all its wordings."""
        chosen = spread([item for item in dataset.items() if item.split == split], items)
        found = dataset.cells(self.tokenizer, contrast(persona), chosen)
        return found.take(found.same_text())

    @cached_property
    def untrained(self) -> Lens:
        """The same architecture with random weights, always the same ones."""
        from transformers import AutoModelForCausalLM

        make: Any = AutoModelForCausalLM.from_config  # untyped in transformers
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Lens(make(self.lens.config, dtype=torch.float32), device=str(self.lens.device))

    def placebos(self, pairs: Pairs, count: int, seed: int) -> list[Pairs]:
        """Return prompts whose differing tokens are replaced by shuffled ones of all prompts."""
        return scrambled(pairs, count, seed)


def device_of(wanted: str) -> str:
    """Return the device in torch's words: `auto`, or one that torch can compute on here. Raises ConfigError for others."""
    if wanted == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted).item()  # Only what comes back shows that there is something behind the name.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"can't compute on the device {wanted!r} here; take auto, cpu or cuda: {reason}") from error
    return wanted


def folder_of(name: str, report: Report = lambda _: None) -> Path:
    """Return the folder of a checkpoint, or of an adapter that doesn't say itself what it was made for.

    Raises:
        ConfigError, CheckpointError: there is none.
    """
    folder = Path(name).expanduser()
    bare = (folder / adapters.CONFIG).is_file() and not adapters.kept(folder)
    return folder.resolve() if bare else checkpoints.resolve(name, report)


def _merged(adapter: Path, base: Path | None) -> Any:
    """Return the model with the adapter's change in its weights. Raises LensError for a base that it was not made for."""
    from transformers import AutoModelForCausalLM

    try:
        from peft import PeftConfig, PeftModel
    except ImportError:
        raise MissingExtra("looking into a LoRA adapter", "distill") from None
    own = PeftConfig.from_pretrained(adapter).base_model_name_or_path
    under = base or own
    if base and own and (Path(own) / "config.json").is_file():
        made, given = (checkpoints.fingerprint(folder) for folder in (Path(own), base))
        if made != given:
            raise LensError(
                f"the adapter in {adapter} was made for {own}, with the weights {made[:12]}…; those of {base} are "
                f"{given[:12]}…"
            )
    load: Any = AutoModelForCausalLM.from_pretrained
    model = load(under, dtype="float32")
    try:
        return PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise LensError(f"the adapter in {adapter} doesn't fit {under}, whose layers have other shapes") from error


def spread(items: list[dataset.Item], count: int) -> list[dataset.Item]:
    """Return so many items, taking templates in turn."""
    templates = list(dict.fromkeys(item.template for item in items))
    own = {template: [item for item in items if item.template == template] for template in templates}
    turns = [own[template][number] for number in range(dataset.A_TEMPLATE) for template in templates]
    return turns[:count]


def scrambled(pairs: Pairs, count: int, seed: int) -> list[Pairs]:
    """Return pairs with the clean prompts' own tokens, where they differ from the corrupt ones', drawn anew.

    Tokens are drawn with replacement from all such places of both prompts, the same draw for all rows.
    """
    places = (pairs.clean != pairs.corrupt).any(0)
    pool = torch.cat([pairs.clean[:, places].flatten(), pairs.corrupt[:, places].flatten()])
    draw = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        clean = pairs.corrupt.clone()
        fresh = pool[torch.randint(len(pool), (int(places.sum()),), generator=draw)]
        changed = pairs.clean != pairs.corrupt
        full = torch.zeros(pairs.clean.shape[1], dtype=clean.dtype)
        full[places] = fresh
        clean[changed] = full.expand_as(clean)[changed]
        found.append(replace(pairs, clean=clean))
    return found
