"""A file that is whole whenever one looks: old or new, never half, though its writer is killed or its disk is full."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def put(path: Path, content: str | bytes, *, sync: bool = False) -> None:
    """Replace a file. What stood there keeps its rights, and stays as it is if this fails.

    Args:
        path: of the file; of what it leads to, if it is a link.
        content: text goes out as UTF-8.
        sync: return only when it is on disk, so that not even a power failure can leave less.

    Raises:
        OSError: it could not be written.
    """
    raw = content.encode() if isinstance(content, str) else content
    replace(path, lambda staging: staging.write_bytes(raw), sync=sync)


def replace(path: Path, write: Callable[[Path], object], *, sync: bool = False) -> None:
    """Have a file written under another name, and give it its own once it is whole. As `put`."""
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # A device or a pipe has no old content to keep, and must stay what it is.
        write(path)
        return
    staging = path.with_name(f".{path.name.removeprefix('.')}.partial")
    try:
        write(staging)
        if path.exists():
            shutil.copymode(path, staging)
        if sync:
            _sync(staging, os.O_RDWR)
        staging.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            staging.unlink()
        raise
    if sync:
        _sync(path.parent, os.O_RDONLY)  # The new name is the folder's to hold.


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
