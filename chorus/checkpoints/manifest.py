"""What a prepared checkpoint holds: each file's size, date and sha256, and where the weights came from.

The manifest is written last, so a folder that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from chorus.errors import CheckpointError

MANIFEST = "chorus-checkpoint.json"
"""The manifest's file name."""


def write(folder: Path, source: Mapping[str, str]) -> None:
    """Describe the files of a folder, which came from `source`."""
    files = {
        file.name: {"bytes": file.stat().st_size, "mtime_ns": file.stat().st_mtime_ns, "sha256": sha256_of(file)}
        for file in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_text(json.dumps({"source": source, "files": files}, indent=1))


def fingerprint(folder: Path, *, afresh: bool = False) -> str:
    """Return the sha256 over the checkpoint's weight files, in order of their names.

    Files that a manifest describes, and whose size and date still agree with it, are not read again; `afresh` reads all
    of them, since whoever changes weights can change their manifest too.
    """
    total = hashlib.sha256()
    known = {} if afresh else _read(folder).get("files", {})
    for file in _weights(folder):
        entry = known.get(file.name, {})
        fresh = entry.get("bytes") == file.stat().st_size and entry.get("mtime_ns") == file.stat().st_mtime_ns
        total.update(bytes.fromhex(str(entry["sha256"]) if fresh else sha256_of(file)))
    return total.hexdigest()


def check(folder: Path) -> None:
    """Raise CheckpointError if a prepared checkpoint's files are missing or cut short."""
    found = _read(folder)
    for name, entry in found.get("files", {}).items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != entry["bytes"]:
            raise CheckpointError(
                f"the checkpoint in {folder} is damaged ({name} is missing or cut short): "
                f"make it again with `chorus models pull {found.get('source', {}).get('name', folder.name)} --force`"
            )


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(folder: Path) -> dict[str, dict[str, dict[str, str | int]]]:
    try:
        loaded = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _weights(folder: Path) -> Iterator[Path]:
    for pattern in ("*.safetensors", "*.bin"):
        if found := sorted(folder.glob(pattern)):
            yield from found
            return
