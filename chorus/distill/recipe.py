"""Recipes: everything that is set for a distillation, as one TOML file.

`smoke`, `small` and `h100` come with the package; any other name is a file. An *arm* of a recipe is a table of changes
to it, with a folder of its own: arms share the collected debates and nothing else, so that each can be run, killed and
resumed by itself.
"""

from __future__ import annotations

import difflib
import importlib.resources
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError, ValidationInfo, field_validator

from chorus.distill.rows import Form
from chorus.distill.styles import Style
from chorus.errors import ConfigError
from chorus.types import Frozen, Probability

Step = Literal["collect", "sft", "bake", "rl", "export"]
STEPS: tuple[Step, ...] = ("collect", "sft", "bake", "rl", "export")
BUILT_IN = ("smoke", "small", "h100")


class Collect(Frozen):
    """How the debates are held."""

    questions: str | None = None
    """Question file of a train split, beside the recipe; `None` has it named on the command line."""
    held_out: tuple[str, ...] = ()
    """Question files that must share no question with it."""
    limit: int | None = Field(default=None, ge=1)
    """Questions taken, from the first; `None` takes all."""
    concurrency: int = Field(default=8, ge=1)
    """Debates at once."""
    chorus: dict[str, Any] = Field(default_factory=dict)
    """Settings of the chorus, as in `chorus.toml`; its engine is `hf:MODEL` unless it says otherwise."""


class Training(Frozen):
    """What every trainer is told."""

    steps: int = Field(ge=1)
    """Optimizer steps."""
    batch: int = Field(ge=1)
    """Examples, or completions, to a step."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that a batch is computed in, one after another, to save memory."""
    learning_rate: float = Field(gt=0.0, lt=1.0)
    warmup: float = Field(default=0.0, ge=0.0)
    """Share of the steps in which the learning rate rises."""
    schedule: str = "constant_with_warmup"
    weights: Literal["lora", "full"] = "lora"
    """What is trained: adapters of low rank on every linear layer, or all weights."""
    rank: int = Field(default=16, ge=1)
    precision: Literal["float32", "bfloat16"] | None = None
    """What is computed in; `None` is bfloat16 on a GPU and float32 elsewhere. All weights are kept in float32 where all are
    trained."""
    save_every: int = Field(default=10, ge=1)
    """Steps between checkpoints; what a killed run loses at most."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """More of TRL's own settings for this trainer, by TRL's names."""


class Replay(Frozen):
    """Ordinary chat among the rows, so that the model doesn't forget how to chat."""

    share: Probability = 0.1
    """Of all rows. 1 puts as much in the place of all others: a control, from which only ordinary chat is learnt."""
    max_tokens: int = Field(default=48, ge=1)
    """Length of the replies that the model itself gives to the package's everyday prompts, before it is trained."""
    file: str | None = None
    """JSONL with `prompt` and `completion` to use instead."""
    styled: bool = False
    """Whether the same chat is asked by the prompts of the styles in the mix too, in turns: where those are only ever
    seen with the tasks, they come to stand for the tasks."""
    others: str | None = None
    """Question file of a train split, beside the recipe, of tasks that are not to be learnt: what the model itself says to
    them in the styles of the mix, before it is trained, is half of the chat, so that it goes on saying it."""


_MIX: Mapping[Form, int] = {"plain": 1, "compressed": 1}


class Sft(Training):
    """The warm start."""

    mix: dict[Form, int] = Field(default_factory=lambda: dict(_MIX))
    """Which forms of rows, and how often each is seen for once of the others."""
    keep: Literal["right", "all"] = "right"
    """Whether rows of wrong debates are left out."""
    shuffle_names: bool = False
    """Deals the names of each dialogue anew to its turns: a control."""
    max_length: int = Field(default=1024, ge=8)
    """Tokens of prompt and completion; longer rows are left out and counted, never cut."""
    replay: Replay = Replay()


class Bake(Training):
    """On-policy distillation of the protocol."""

    generations: int = Field(default=2, ge=1)
    """Completions of each prompt."""
    max_tokens: int = Field(default=128, ge=1)
    """Of a completion."""
    temperature: float = Field(default=1.0, gt=0.0)
    alpha: Probability = 0.5
    """Divergence from teacher to student: 0 forward KL, 1 reverse KL, between them Jensen-Shannon."""
    shuffle_methods: bool = False
    """Deals the methods on the teacher's cards to the names anew for every question: a control."""


class Rewards(Frozen):
    """Weight of each reward; 0 leaves it out."""

    correct: float = 1.0
    corrected: float = 0.0
    brief: float = 0.0
    formed: float = 0.0
    consensus: float = 0.0
    distinct: float = 0.0


class Limits(Frozen):
    """When a run counts as collapsed; each rule looks at this many logged steps in a row."""

    patience: int = Field(default=20, ge=1)
    entropy: float = Field(default=0.01, ge=0.0)
    """Nats a token, below which there is nothing left to draw from."""
    distinctness: Probability = 0.1
    """Below which the voices of a dialogue say the same."""


class Gold(Frozen):
    """What is measured on held-out questions while the run goes on."""

    questions: str | None = None
    """Question file with answers; `None` takes the one named on the command line, if any."""
    limit: int = Field(default=32, ge=1)
    every: int = Field(default=10, ge=1)
    """Steps between measurements."""
    samples: int = Field(default=4, ge=1)
    """Drawn for each question, for pass@k and consensus; the greedy answer comes besides."""


class Rl(Training):
    """Reinforcement by verifiable rewards."""

    styles: tuple[Style, ...] = ("answer",)
    """Ways of answering that are asked for."""
    hidden: Probability = 0.0
    """Share of the questions whose truth the rewards are not told: to see what is learned where it isn't known."""
    generations: int = Field(default=8, ge=2)
    max_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.8, gt=0.0)
    beta: float = Field(default=0.0, ge=0.0)
    """Weight of the KL to the start of the run."""
    strength: float | None = Field(default=None, gt=0, lt=1)
    """Share of what the adapter learnt before that the run begins with: nearer to the model as it was, with more left to
    draw from. None begins with all."""
    rewards: Rewards = Rewards()
    length_budget: int = Field(default=64, ge=1)
    """Tokens beyond which `brief` pays nothing."""
    rollout_tokens: int | None = Field(default=None, ge=1)
    """Tokens written in all, after which the run ends: arms are compared at equal numbers."""
    limits: Limits = Limits()
    gold: Gold = Gold()


class Export(Frozen):
    """The merged checkpoint."""

    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    checkpoints: tuple[PositiveInt, ...] = ()
    """Steps of the last training whose adapters are kept too, as far as they are there: to see what came when."""
    strength: float | None = Field(default=None, gt=0, lt=1)
    """Share of what the adapter learnt that is kept of it, so that less is forgotten: weights between those before training
    and after (WiSE-FT, Wortsman et al., arXiv 2109.01903). None keeps all."""


_LATER = ("hidden", "checkpoints", "precision", "styled", "others", "strength")
"""Settings that recipes did not always have: unset they change nothing, so that what was made before them stands."""


class Recipe(Frozen):
    """One distillation."""

    name: str
    note: str = ""
    """What it is for, and whether it has been run."""
    model: str = Field(default="smollm2-135m", min_length=1)
    """The model that is trained: whatever `hf:NAME` opens."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    steps: tuple[Step, ...] = STEPS
    """In the order of the house."""
    collect: Collect = Collect()
    sft: Sft = Sft(steps=100, batch=8, learning_rate=1e-4)
    bake: Bake = Bake(steps=50, batch=8, learning_rate=1e-5)
    rl: Rl = Rl(steps=80, batch=16, learning_rate=1e-5)
    export: Export = Export()
    arm: str | None = None
    """Which arm it is; `None` is the recipe itself."""
    folder: Path = Path()
    """Where the files that it names lie."""

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(step for step in STEPS if step in steps)

    @field_validator("rl", "export")
    @classmethod
    def _weakened(cls, part: Rl | Export, read: ValidationInfo) -> Rl | Export:
        if part.strength:
            trained = [step for step in read.data.get("steps", ()) if isinstance(read.data.get(step), Training)]
            if not trained:
                raise ValueError("strength weakens what was trained before, and no step before it trains")
            weights = {step: read.data[step].weights for step in trained}
            weights |= {"rl": part.weights} if isinstance(part, Rl) else {}
            if full := [step for step, kind in weights.items() if kind == "full"]:
                raise ValueError(f"strength weakens an adapter, and {full[0]} trains full weights")
        return part

    def file(self, name: str) -> Path:
        """Return the path of a file that the recipe names."""
        return self.folder / name

    def part(self, step: Step) -> dict[str, Any]:
        """Return what the recipe says of one step, as JSON values: what decides whether its result still stands."""
        said = _set(getattr(self, step).model_dump(mode="json"))
        # Debates have a seed of their own among the settings of their chorus: arms of several seeds share them.
        return {"model": self.model, **({} if step == "collect" else {"seed": self.seed}), **said}


def _set(every: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that recipes did not always have, where they are unset."""
    kept = {name: value for name, value in every.items() if value or name not in _LATER}
    return {name: _set(value) if isinstance(value, dict) else value for name, value in kept.items()}


def load(name: str, arm: str | None = None) -> Recipe:
    """Return a recipe by name or file.

    Raises:
        ConfigError: there is none, it can't be read, or something in it doesn't fit; names the field.
    """
    said, folder = _read(name)
    arms = said.pop("arms", {})
    if arm is not None:
        said = _merged(said, _changes(name, arms, arm))
    try:
        return Recipe.model_validate({**said, "name": Path(name).stem, "arm": arm, "folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"the recipe {name}: {where}: {first['msg']}{_near(first)}") from None


def _changes(name: str, arms: Mapping[str, Any], arm: str) -> dict[str, Any]:
    """Return what an arm changes: its own over those of the arm that it is `like`, if it names one."""
    if arm not in arms:
        raise ConfigError(f"the recipe {name} has no arm {arm!r}: {', '.join(arms) or 'it has none'}")
    own = dict(arms[arm])
    if (other := own.pop("like", None)) is None:
        return own
    # Without this arm among the others, a circle ends in an arm that isn't there.
    return _merged(_changes(name, {key: value for key, value in arms.items() if key != arm}, other), own)


def _read(name: str) -> tuple[dict[str, Any], Path]:
    built_in = importlib.resources.files("chorus.distill") / "recipes" / f"{name}.toml"
    path = Path(str(built_in)) if name in BUILT_IN else Path(name)
    try:
        return tomllib.loads(path.read_text("utf-8")), path.parent
    except FileNotFoundError:
        close = difflib.get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"no recipe {name!r}: {hint}give {', '.join(BUILT_IN)} or a TOML file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"can't read the recipe {path}: {error}") from error


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with another laid over it, table by table; mixes and steps are replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        deeper = isinstance(value, Mapping) and isinstance(old, Mapping) and key != "mix"
        merged[key] = _merged(old, value) if deeper and isinstance(old, Mapping) else value
    return merged


def _near(fault: Mapping[str, Any]) -> str:
    if fault["type"] != "extra_forbidden":
        return ""
    parts: dict[str, type[Frozen]] = {"collect": Collect, "sft": Sft, "bake": Bake, "rl": Rl, "export": Export}
    table = parts.get(str(fault["loc"][0]), Recipe)
    near = difflib.get_close_matches(str(fault["loc"][-1]), table.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else ""
