"""Files that a command is to write, looked at before any work is done for them."""

from __future__ import annotations

import os
from pathlib import Path

from chorus.errors import ConfigError


def check_writable(file: Path | None) -> None:
    """Refuse a place that can't be written to before a debate is held, not after."""
    if file is None:
        return
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"can't write {file}: there is no folder {file.parent}")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ConfigError(f"can't write {file}: permission denied")


def check_drawable(file: Path | None) -> None:
    """Refuse a picture that can't be made or written."""
    from chorus.record import picture

    if file and file.suffix.lower() not in picture.SUFFIXES:
        raise ConfigError(f"can't draw a debate as {str(file)!r}: its name should end in {', '.join(picture.SUFFIXES)}")
    check_writable(file)
