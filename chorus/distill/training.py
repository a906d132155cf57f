"""What all trainers share: where they start, how they save, how they go on after a kill, where their weights end up.

A checkpoint counts once its manifest is written, which comes last: a run that was killed, or that met a full disk while
saving, goes on from the newest one that is whole, and the one before it is kept until then. Nothing is sent anywhere:
TRL's telemetry is off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback

from chorus.checkpoints import fingerprint, manifest, quiet_transformers
from chorus.checkpoints.cache import readable
from chorus.distill.files import NotWritten
from chorus.distill.ledger import Run
from chorus.distill.recipe import Recipe, Training
from chorus.errors import CheckpointError, ConfigError

Report = Callable[[str], None]

ADAPTER, MODEL = "adapter", "model"
"""Where a step leaves what it trained: one of these folders in its own."""


@dataclass(frozen=True)
class Start:
    """Weights to start from."""

    base: Path
    """A checkpoint's folder."""
    adapter: Path | None = None
    """A LoRA adapter on top of it."""

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of the weights, by what they are."""
        adapter = {"adapter": fingerprint(self.adapter)} if self.adapter else {}
        return {"base": fingerprint(self.base), **adapter}


def open_model(start: Start, part: Training) -> tuple[Any, Any, Any]:
    """Return model, tokenizer and the LoRA that TRL is to add; an adapter that is there is trained on instead.

    Raises:
        CheckpointError: the weights can't be loaded.
    """
    dtype = torch.bfloat16 if part.weights == "lora" and _halved(part) else torch.float32
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(start.base, dtype=dtype)
        tokenizer: Any = AutoTokenizer.from_pretrained(start.base)
        if start.adapter:
            model = PeftModel.from_pretrained(model, start.adapter, is_trainable=True)
    except Exception as error:
        raise CheckpointError(f"can't load {start.adapter or start.base}: {type(error).__name__}: {error}") from error
    if part.weights == "full":
        return (model.merge_and_unload() if start.adapter else model), tokenizer, None
    lora = LoraConfig(
        r=part.rank, lora_alpha=2 * part.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return model, tokenizer, None if start.adapter else lora


def weaken(weights: Mapping[str, torch.Tensor], strength: float | None) -> None:
    """Scale in place what an adapter adds: one of the two matrices whose product that is. None leaves it whole."""
    if strength:
        for name, weight in weights.items():
            if ".lora_B." in name:
                weight.data.mul_(strength)


def _halved(part: Training) -> bool:
    """Say whether a step computes in bfloat16."""
    return torch.cuda.is_available() if part.precision is None else part.precision == "bfloat16"


def arguments(config: Any, recipe: Recipe, part: Training, folder: Path, **own: Any) -> Any:
    """Return TRL's settings for a trainer.

    Args:
        config: TRL's class of them.
        recipe: gives the seed.
        part: what the recipe says of the step.
        folder: of the step.
        **own: the trainer's own.

    Raises:
        ConfigError: the recipe names a setting that this trainer doesn't have, or values that don't go together.
    """
    gpu = torch.cuda.is_available()
    said = {
        "output_dir": str(folder),
        "max_steps": part.steps,
        "per_device_train_batch_size": max(1, part.batch // part.accumulate),
        "gradient_accumulation_steps": part.accumulate,
        "learning_rate": part.learning_rate,
        "lr_scheduler_type": part.schedule,
        "warmup_steps": round(part.warmup * part.steps),
        "logging_steps": 1,
        "save_steps": part.save_every,
        "save_total_limit": 2,
        "seed": recipe.seed,
        "use_cpu": not gpu,
        "bf16": _halved(part),
        "gradient_checkpointing": gpu,
        "report_to": ["tensorboard"],
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
    }
    known = {field.name for field in dataclasses.fields(config)}
    for name in part.trainer:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"the recipe {recipe.name}: {config.__name__} has no setting {name!r}{hint}")
    try:
        return config(**said | own | part.trainer)
    except ValueError as error:
        raise ConfigError(f"the recipe {recipe.name}: {error}") from error


class SavesWhole:
    """Mixed into a trainer: its checkpoints are whole or don't count, and it tells nobody of its runs."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        trainer: Any = self
        folder = Path(trainer.args.output_dir) / f"checkpoint-{trainer.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            for frozen in [path for path in folder.iterdir() if path.is_dir()]:
                # Copies of the adapter as it was at the start. With one there, resuming would load it and nothing else.
                shutil.rmtree(frozen)
            manifest.write(folder, {"step": str(trainer.state.global_step)})
        except Exception as error:
            # Each library has an error of its own for a full disk.
            shutil.rmtree(folder, ignore_errors=True)
            good = newest_checkpoint(folder.parent)
            left = f"{good.name} is whole, and the run goes on from it" if good else "none was saved before"
            raise NotWritten(f"can't save {folder}: {error}; {left}") from error

    def _send_telemetry(self) -> None:
        """Send nothing."""


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a step, after sweeping away what was left half written."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]), reverse=True)
    for checkpoint in found:
        if (checkpoint / manifest.MANIFEST).is_file():
            with contextlib.suppress(CheckpointError):
                manifest.check(checkpoint)
                return checkpoint
        shutil.rmtree(checkpoint)
    return None


def train(trainer: Any, run: Run, report: Report) -> None:
    """Train to the end, from the newest whole checkpoint if there is one; leave weights and figures with the run.

    Raises:
        NotWritten: something could not be saved.
    """
    model = trainer.model
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Tell(run, report))
    checkpoint = newest_checkpoint(run.folder)
    if checkpoint:
        report(f"{run.folder.name}: going on from {checkpoint.name}")
    outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    after = dict(model.named_parameters())
    moved = sum(float((after[name].detach() - weight).double().square().sum()) for name, weight in before.items())
    run.metrics |= {
        "steps": trainer.state.global_step,
        "loss": outcome.training_loss,
        "moved": moved**0.5,
        "trained_parameters": sum(weight.numel() for weight in before.values()),
        "log": [_numbers(entry) for entry in trainer.state.log_history],
    }
    name = ADAPTER if isinstance(model, PeftModel) else MODEL
    with whole_folder(run.folder / name) as staging:
        model.save_pretrained(staging, **({"selected_adapters": ["default"]} if name == ADAPTER else {}))
        trainer.processing_class.save_pretrained(staging)
    run.weights[name] = fingerprint(run.folder / name)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the libraries' own bars and remarks off the screen for a while: what matters is reported, or raised."""
    logger = logging.getLogger("trl")
    level, bars = logger.level, datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with quiet_transformers():
            yield
    finally:
        logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write into that takes the place of `target` at the end, or never. Raises NotWritten."""
    staging = target.with_name(f".{target.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield staging
        readable(staging)
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    except NotWritten:
        raise
    except Exception as error:
        raise NotWritten(f"can't save {target}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Tell(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Says how far a run is, and notes with every checkpoint what it has cost and what was logged so far."""

    def __init__(self, run: Run, report: Report) -> None:
        self._run, self._report = run, report

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the card anew."""
        self._run.metrics |= {"steps": state.global_step, "log": [_numbers(entry) for entry in state.log_history]}
        self._run.write("running")

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Tell of a logged step."""
        said = {name: value for name, value in (logs or {}).items() if name in ("loss", "reward", "pass@1", "entropy")}
        figures = ", ".join(f"{name} {value:.3g}" for name, value in said.items() if value is not None)
        if figures:
            self._report(f"{self._run.folder.name}: step {state.global_step} of {state.max_steps}: {figures}")


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if isinstance(value, int | float)}
