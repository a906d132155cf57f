"""Files that a command is to write, looked at before any work is done for them."""

from __future__ import annotations

import os
from pathlib import Path

from chorus.errors import ConfigError


def check_writable(file: Path | None, *, whole: bool = False) -> None:
    """Refuse a place that can't be written to before a debate is held, not after.

    Args:
        file: to be written.
        whole: it is written anew as a whole, which takes the right to write in its folder too.
    """
    if file is None:
        return
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"can't write {file}: there is no folder {file.parent}")
    needed = {file if file.exists() else folder} | ({folder} if whole else set())
    if not all(os.access(place, os.W_OK) for place in needed):
        raise ConfigError(f"can't write {file}: permission denied")


def check_drawable(file: Path | None) -> None:
    """Refuse a picture that can't be made or written."""
    from chorus.record import picture

    if file and file.suffix.lower() not in picture.SUFFIXES:
        raise ConfigError(f"can't draw a debate as {str(file)!r}: its name should end in {', '.join(picture.SUFFIXES)}")
    check_writable(file, whole=True)
