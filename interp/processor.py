"""The quicker of torch's two libraries for matrix products on a processor, where it rounds no more than the other.

torch leaves float32 products to MKL, which on processors that aren't Intel's uses half of their width. oneDNN uses all of
it, and gets the products where it is allowed to round to bfloat16 inside of them. On a processor without a unit for such
products it computes in float32 all the same; on one that has it results would be off by a thousandth. Which is the case
is not told by the processor's name, so it is tried.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

EXACT = 1e-6
"""How far float32 products may lie from exact ones, relative to their own size; MKL's lie 1e-7 to 4e-7 from them."""
SHAPES = (
    (1, 64, 64),
    (8, 576, 192),
    (57, 64, 57),
    (300, 576, 1536),
    (300, 1536, 576),
    (16, 576, 8192),
    (64, 300, 4096),
)
"""Of products that are tried, (rows, inner, columns)."""


def quicken(wanted: bool = True) -> bool:
    """Have products computed by oneDNN in this process, if it is as exact here; or as torch has them by itself.

    Returns:
        Whether oneDNN does.
    """
    onednn: Any = torch.backends.mkldnn  # Untyped in torch.
    if not onednn.is_available():
        return False
    onednn.matmul.fp32_precision = "bf16" if wanted else "ieee"
    if wanted and max(map(_error, SHAPES)) > EXACT:
        onednn.matmul.fp32_precision = "ieee"
    return bool(onednn.matmul.fp32_precision == "bf16")


def _error(shape: tuple[int, int, int]) -> float:
    """Return how far products of random matrices lie from those in float64: one by one, several, and as layers do it."""
    rows, inner, columns = shape
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, rows, inner, generator=draw), torch.randn(2, inner, columns, generator=draw)
    exact = left.double() @ right.double()
    linear = torch.nn.functional.linear(left[0], right[0].T.contiguous())
    return max(_apart(found, exact[: len(found)]) for found in (left @ right, (left[0] @ right[0])[None], linear[None]))


def _apart(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())
