"""Activations by name, in batches that fit: only what is asked for is kept, and pooled over tokens before it is.

Out of memory is no end: the batch is halved, which is logged as a warning, and the work goes on from where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.bridge import Hook, Lens, finite
from interp.errors import LensError

_log = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(slots=True)
class Batch:
    """How many rows go at once, for calls that belong together: what one of them learnt of the memory holds for the next."""

    size: int


def in_batches(rows: int, batch: int | Batch, work: Callable[[slice], Tensor]) -> Tensor:
    """Call `work` on slices of `rows` and return the results, one after another along the first axis.

    Args:
        rows: how many there are.
        batch: how many go at once, at first. Out of memory halves it, for the rest of the call; a `Batch` stays halved.
        work: gets a slice, returns a tensor with one row for each.

    Raises:
        LensError: not even one row fits into memory.
    """
    fits = Batch(batch) if isinstance(batch, int) else batch
    done: list[Tensor] = []
    start = 0
    while start < rows:
        chosen = slice(start, min(start + fits.size, rows))
        try:
            done.append(work(chosen))
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if fits.size == 1:
                raise LensError("out of memory with a single row: take shorter texts or a smaller model") from error
            fits.size = max(1, min(fits.size, rows - start) // 2)
            _log.warning("out of memory: going on with batches of %d", fits.size)
            continue
        start = chosen.stop
    return torch.cat(done)


@torch.no_grad()
def pooled(
    lens: Lens,
    ids: Tensor,
    weights: Tensor,
    names: Sequence[str],
    *,
    batch: int = 16,
) -> Tensor:
    """Return activations (N, names, D), summed over tokens with the weights.

    Args:
        lens: the model.
        ids: (N, T), padded at the right.
        weights: (N, T); 1/n over n tokens gives their mean, a single 1 one token's own activation.
        names: hooks with activations of shape (B, T, D) that are all equally wide.
        batch: rows at once.

    Raises:
        HookMissed: there is no such hook, for example a layer that the model doesn't have.
        NotFinite: an activation is NaN or infinite; the message names it.
    """

    def work(chosen: slice) -> Tensor:
        share = weights[chosen].to(lens.device)
        kept: dict[str, Tensor] = {}

        def pool(name: str) -> Hook:
            def keep(value: Tensor) -> None:
                kept[name] = torch.einsum("btd,bt->bd", value.float(), share)

            return keep

        lens.run(ids[chosen], [(name, pool(name)) for name in names], at=slice(1))
        return torch.stack([finite(kept[name], f"the activations at {name}").cpu() for name in names], dim=1)

    return in_batches(len(ids), batch, work)


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)
