"""What the headers of a checkpoint's safetensors files tell: whether they are whole, and how many weights they hold.

Such a file begins with its header's length in eight bytes; the header is JSON, and gives each tensor's shape and where
its bytes stand.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from chorus.errors import CheckpointError

MAX_HEADER_BYTES = 100 << 20
"""Longer headers are refused by safetensors too."""


def check_weights(folder: Path) -> None:
    """Raise CheckpointError if one of the checkpoint's safetensors files is cut short or something else."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            length, header = _header(file)
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            whole = file.stat().st_size == 8 + length + max(ends, default=0)
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise CheckpointError(f"{file} is damaged: it is no safetensors file that can be read") from error
        if not whole:
            raise CheckpointError(f"{file} is damaged: it is not as long as its header says. Fetch it again")


def count_parameters(folder: Path) -> int | None:
    """Return the number of weights in a checkpoint's safetensors files.

    None where it can't be told: other formats, and quantised weights, which are packed several to a number.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
        headers = [_header(file)[1] for file in folder.glob("*.safetensors")]
        if not headers or "quantization_config" in config:
            return None
        entries = [entry for header in headers for name, entry in header.items() if name != "__metadata__"]
        return sum(int(math.prod(entry["shape"])) for entry in entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """Return the header's length in bytes and the header."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("not a safetensors file")
        header: dict[str, Any] = json.loads(stream.read(length))
        return length, header
