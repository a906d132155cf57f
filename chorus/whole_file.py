"""A file that is whole whenever one looks: old or new, never half, though its writer is killed or its disk is full."""

from __future__ import annotations

import contextlib
import os
import shutil
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
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # A device or a pipe has no old content to keep, and must stay what it is.
        path.write_bytes(raw)
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(raw)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
        if sync:
            _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Put the file's new name on disk, which is its folder's to hold."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
