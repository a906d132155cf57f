"""The cache of prepared checkpoints: each is made by one process, appears whole or not at all, and is made once.

What a killed attempt left is swept away by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chorus.checkpoints import manifest
from chorus.errors import CheckpointError

Report = Callable[[str], None]
"""Is told, in a few words, what is being done."""


def cache_folder() -> Path:
    """Return the folder where fetched models lie; it may not exist yet."""
    if chosen := os.environ.get("CHORUS_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("greek-chorus", appauthor=False))


def made_once(target: Path, make: Callable[[Path], None], report: Report, *, anew: bool = False) -> Path:
    """Return a checkpoint's folder, having it made first unless it is there. The rename at the end makes it all-or-nothing.

    Args:
        target: the folder.
        make: fills a folder that doesn't exist yet, its manifest last.
        report: is told of what takes time.
        anew: make it even if it is there.

    Raises:
        CheckpointError: it could not be written. Whatever `make` raises.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target, report):
            if (target / manifest.MANIFEST).is_file() and not anew:
                return target
            _sweep(target)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as staging:
                made = Path(staging, "checkpoint")
                make(made)
                readable(made)
                if target.exists():
                    target.rename(Path(staging, "replaced"))
                made.rename(target)
    except OSError as error:
        raise CheckpointError(f"can't prepare {target.name} in {target.parent}: {error}") from error
    report(f"{target.name} is ready in {target}")
    return target


def readable(folder: Path) -> None:
    """Let whoever may read a folder read its files: safetensors lets only the owner, and a cache may be shared."""
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(folder.stat().st_mode & 0o666)


@contextlib.contextmanager
def _only_one(target: Path, report: Report) -> Iterator[None]:
    """Keep every other process from preparing the same model; wait for one that already does."""
    import filelock

    lock = filelock.FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        report(f"another process is preparing {target.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sweep(target: Path) -> None:
    """Clear what an earlier attempt left. Only the holder of the lock may call this."""
    for left in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' own warnings and progress bars off the screen for a while."""
    from transformers.utils import logging

    settings: Any = logging
    before = settings.get_verbosity()
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(before)
        settings.enable_progress_bar()
