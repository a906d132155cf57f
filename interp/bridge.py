"""A model under the lens: token ids go in, and every part of the computation can be read or changed by name.

A `Lens` holds a TransformerLens bridge around a *copy* of a Hugging Face model, since wrapping changes the model it is
given. On top of the bridge's hooks it knows what a circuit needs: the parts that write to the residual stream, the
inputs that read from it, and the weights and norms between the two. Grouped-query attention is taken as it is: `k` and
`v` are read once per key-value head.

Two habits keep it honest. `run` fails when a hook that it set did not fire. And when a lens is made, it checks on random
tokens that the model really is what a circuit assumes: that the writers add up to the residual stream, and that each
reader's projection of the normed stream is what attention gets. A model for which that is not so is refused.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from chorus.errors import MissingExtra
from interp.errors import HookMissed, NotFinite, UnknownArchitecture
from interp.pairs import behaviour, counted
from interp.wiring import Wiring

Hook = Callable[[Tensor], Tensor | None]
"""Gets an activation; what it returns takes the activation's place, None leaves it."""

TOLERANCE = 1e-3
"""How far, relative to its own size, the stream may lie from the sum of its writers (float32 gives about 1e-6)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts of one forward pass that circuits are made of."""

    logits: Tensor
    """(B, T, vocabulary), or of the tokens that were asked for."""
    writers: Tensor
    """(B, T, W, D): what each writer added to the residual stream, in the wiring's order."""


class Lens:
    """See the module's docstring."""

    def __init__(self, model: Any, *, device: str | None = None) -> None:
        """Put a copy of the model under the lens.

        Args:
            model: a causal language model of transformers. It is left as it is.
            device: where the copy goes; None leaves it where the model is.

        Raises:
            UnknownArchitecture: the bridge doesn't know it, or circuits can't be drawn over it.
            MissingExtra: transformer-lens is not installed.
        """
        try:
            from transformer_lens.model_bridge.sources import build_bridge_from_module
        except ImportError:
            raise MissingExtra("looking into a model", "interp") from None
        name = type(model).__name__
        mine = copy.deepcopy(model).eval().requires_grad_(False)
        mine = mine.to(device) if device else mine
        mine.set_attn_implementation("eager")
        try:
            self.bridge: Any = build_bridge_from_module(mine, name, hf_config=mine.config)
        except (ValueError, AttributeError, KeyError, NotImplementedError) as error:
            raise UnknownArchitecture(f"TransformerLens knows no architecture {name}: {error}") from error
        self.device = next(mine.parameters()).device
        self.config = mine.config
        cfg = self.bridge.cfg
        heads = int(cfg.n_heads)
        self.wiring = Wiring(int(cfg.n_layers), heads, int(getattr(cfg, "n_key_value_heads", None) or heads))
        self._scratch: dict[str, Tensor] = {}
        _check_parts(self, name)

    @property
    def width(self) -> int:
        """The number of dimensions D of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, in the model's own order and number format. In hexadecimal."""
        digest = hashlib.sha256()
        for weight in self.bridge.original_model.parameters():
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def _known(self) -> frozenset[str]:
        """The names of all hooks: gathering them takes as long as a layer of a tiny model."""
        return frozenset(self.bridge.hook_dict)

    @cached_property
    def projections(self) -> list[dict[str, Tensor]]:
        """Per layer: `q` (H, D, d), `k` and `v` (KV, D, d), `o` (H, d, D)."""
        return [
            {name: getattr(block.attn, f"W_{name.upper()}").detach() for name in ("q", "k", "v", "o")}
            for block in self.bridge.blocks
        ]

    def scratch(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Return memory of a name, as it was left, of this shape and of the kind of `like`.

        What is needed for every row again is not asked of the system again, which would have to clear it each time. Of
        twice as much or more it lets go: where a batch was halved, its memory was wanted.
        """
        size = math.prod(shape)
        kept = self._scratch.pop(name, None)
        if kept is None or not size <= len(kept) < 2 * size or kept.dtype != like.dtype:
            del kept
            kept = like.new_empty(size)
        self._scratch[name] = kept
        return kept[:size].view(shape)

    @property
    def embeddings(self) -> Tensor:
        """(vocabulary, D), what each token begins as."""
        table: Tensor = self.bridge.W_E
        return table.detach()

    def norm(self, layer: int, which: str) -> Callable[[Tensor], Tensor]:
        """Return the norm before attention (`ln1`) or before the MLP (`ln2`) of a layer, free of hooks."""
        norm: Callable[[Tensor], Tensor] = getattr(self.bridge.blocks[layer], which).original_component
        return norm

    def run(
        self,
        ids: Tensor,
        hooks: Iterable[tuple[str, Hook]] = (),
        *,
        at: slice | None = None,
        start: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Run the model and return its logits (B, T, vocabulary).

        Args:
            ids: (B, T), padded at the right if at all: attention looks only to the left, so no mask is needed.
            hooks: names with what to do there; a name may come several times.
            at: of which tokens logits are wanted; None means all. Those of others are not computed.
            start: a layer with the stream (B, T, D) that enters it: the run begins there, and ids go unread.

        Raises:
            HookMissed: one of them did not fire. Its name may be wrong, or the layer may not exist.
            NotFinite: the logits are NaN or infinite.
        """
        hooks = list(hooks)
        if at is not None:
            hooks.append(("unembed.hook_in", lambda stream: stream[:, at].contiguous()))
        if unknown := [name for name, _ in hooks if name not in self._known]:
            layers = self.wiring.layers
            raise HookMissed(f"no hook {unknown[0]} in this model, whose {layers} layers count from 0 to {layers - 1}")
        fired = [0] * len(hooks)

        def counted(index: int, hook: Hook) -> Callable[..., Tensor | None]:
            def call(value: Tensor, hook: Any = None, *, do: Hook = hook) -> Tensor | None:
                fired[index] += 1
                return do(value)

            return call

        own = [(name, counted(index, hook)) for index, (name, hook) in enumerate(hooks)]
        if start is None:
            logits: Tensor = self.bridge.run_with_hooks(ids.to(self.device), fwd_hooks=own)
        else:
            with self._skipped(start[0]):
                logits = self.bridge.run_with_hooks(start[1], fwd_hooks=own, start_at_layer=start[0])
        if missed := [name for (name, _), times in zip(hooks, fired, strict=True) if not times]:
            raise HookMissed(f"the hook {missed[0]} did not fire")
        finite(logits, "the logits")
        return logits

    def behaviour(
        self,
        ids: Tensor,
        weights: Tensor,
        hooks: Iterable[tuple[str, Hook]] = (),
        *,
        start: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Run the model and return each row's behaviour (B,) in nats; see `pairs.behaviour`."""
        return behaviour(self.run(ids, hooks, at=counted(weights), start=start), ids, weights)

    @torch.no_grad()
    def read(self, ids: Tensor, *, at: slice | None = None) -> Reading:
        """Run the model on ids (B, T) and return the logits, of all tokens or some, and what each writer wrote."""
        parts: list[Tensor] = []
        logits = self.run(ids, self.writing(parts.append), at=at)
        return Reading(logits, torch.cat(parts, dim=2))

    @contextmanager
    def _skipped(self, layers: int) -> Iterator[None]:
        """Let the first layers pass on what they get: the bridge, told to start behind them, would run them in vain."""
        blocks = list(self.bridge.blocks)[:layers]
        for block in blocks:
            object.__setattr__(block, "forward", lambda stream, *_, **__: stream)
        try:
            yield
        finally:
            for block in blocks:
                object.__delattr__(block, "forward")

    def writing(self, take: Callable[[Tensor], None]) -> list[tuple[str, Hook]]:
        """Return hooks that give to `take` what is written, as (B, T, 1 or H, D), in the wiring's order."""

        def whole(value: Tensor) -> None:
            take(value.unsqueeze(2))

        def heads(layer: int) -> Hook:
            def split(z: Tensor) -> None:
                take(torch.einsum("bthe,hed->bthd", z, self.projections[layer]["o"]))

            return split

        hooks: list[tuple[str, Hook]] = [("hook_embed", whole)]
        for layer in range(self.wiring.layers):
            hooks += [(f"blocks.{layer}.attn.hook_z", heads(layer)), (f"blocks.{layer}.hook_mlp_out", whole)]
        return hooks


def finite(value: Tensor, what: str) -> Tensor:
    """Return the tensor, or raise NotFinite with its name when it holds NaN or infinity."""
    # A sum is quickly made, and mostly tells enough.
    if not torch.isfinite(value.sum()) and not torch.isfinite(value).all():
        kind = "NaN" if torch.isnan(value).any() else "infinity"
        raise NotFinite(f"{what} hold {kind}: the weights are damaged, or the number format is too narrow for them")
    return value


@torch.no_grad()
def _check_parts(lens: Lens, name: str) -> None:
    """Raise UnknownArchitecture unless writers add up to the stream and readers read it as a circuit assumes."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> tuple[str, Hook]:
        return name, lambda value: seen.update({name: value})

    layers = range(lens.wiring.layers)
    wanted = ["ln_final.hook_in"]
    for layer in layers:
        wanted += [f"blocks.{layer}.{hook}" for hook in ("ln1.hook_in", "ln2.hook_in", "ln2.hook_out", "mlp.hook_in")]
        wanted += [f"blocks.{layer}.attn.hook_{reader}" for reader in "qkv"]
    generator = torch.Generator().manual_seed(0)
    # Two rows: their difference is free of biases, which belong to no writer.
    ids = torch.randint(int(lens.config.vocab_size), (2, 6), generator=generator)
    parts: list[Tensor] = []
    try:
        lens.run(ids, [*lens.writing(parts.append), *map(keep, wanted)])
        written = torch.cat(parts, dim=2)
        projected = {
            f"blocks.{layer}.attn.hook_{reader}": torch.einsum(
                "btd,hde->bthe",
                lens.norm(layer, "ln1")(seen[f"blocks.{layer}.ln1.hook_in"]),
                lens.projections[layer][reader],
            )
            for layer in layers
            for reader in "qkv"
        }
    except (HookMissed, AttributeError, RuntimeError, KeyError) as error:
        raise UnknownArchitecture(f"{name} lacks a part that circuits are drawn over: {error}") from error
    before_mlp = [lens.wiring.heard_by_mlp(layer) for layer in layers]
    claims = [("the residual stream's end", seen["ln_final.hook_in"], written.sum(2))]
    claims += [
        (f"what the MLP of layer {layer} reads", seen[f"blocks.{layer}.ln2.hook_in"], written[:, :, :heard].sum(2))
        for layer, heard in enumerate(before_mlp)
    ]
    claims += [
        (f"the MLP's input in layer {layer}", seen[f"blocks.{layer}.mlp.hook_in"], seen[f"blocks.{layer}.ln2.hook_out"])
        for layer in layers
    ]
    claims += [(hook, seen[hook], value) for hook, value in projected.items()]
    for what, found, expected in claims:
        if found.shape != expected.shape or _apart(found[0] - found[1], expected[0] - expected[1]) > TOLERANCE:
            raise UnknownArchitecture(f"{name} can't be drawn as a circuit: {what} is not the sum of what was written")


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp_min(1e-12))
