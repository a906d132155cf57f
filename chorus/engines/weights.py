"""How many weights a checkpoint holds, read off the headers of its files."""

from __future__ import annotations

import json
import math
from pathlib import Path

MAX_HEADER_BYTES = 100 << 20
"""Longer headers are refused by safetensors too."""


def count_parameters(folder: Path) -> int | None:
    """Return the number of weights in a checkpoint's safetensors files.

    None where it can't be told: other formats, and quantised weights, which are packed several to a number.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
        files = sorted(folder.glob("*.safetensors"))
        if not files or "quantization_config" in config:
            return None
        return sum(_count(file) for file in files)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _count(file: Path) -> int:
    """Sum the sizes of the tensors in a file. It begins with its header's length, eight bytes, then the header."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"{file} is not a safetensors file")
        header = json.loads(stream.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
