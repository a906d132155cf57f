"""A file that is replaced as a whole: whatever ends the process or the power, the old one is there or the new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under another name, and give it its own once it is on disk. Raises OSError."""
    staging = path.with_name(f".{path.name.removeprefix('.')}.partial")
    try:
        write(staging)
        with staging.open("rb+") as file:
            os.fsync(file.fileno())
        staging.replace(path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
