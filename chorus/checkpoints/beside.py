"""What decides a checkpoint's answers beside its weights: how it reads and how it is asked.

Another tokenizer, chat template, setting of the architecture or prompt changes what a model says as surely as other
weights do, so what is known of one holds no longer for the other.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from chorus.checkpoints import baked
from chorus.checkpoints.manifest import sha256_of

FILES = (
    "*config*.json",
    "*.index.json",
    "*token*",
    "*template*",
    "additional_chat_templates/*",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "*.py",
)
"""What transformers and vLLM may read of a folder, beside weights."""


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each such file by its name, and of what the run card says of how to ask.

    The version of transformers that wrote a configuration is left out of it: an adapter's checkpoint is made anew on
    each machine.

    Raises:
        CheckpointError: there is a run card, and it can't be read.
    """
    files = {file for pattern in FILES for file in folder.glob(pattern) if file.is_file()}
    found = {file.relative_to(folder).as_posix(): _digest(file) for file in sorted(files)}
    if own := baked.read(folder):
        found[baked.RUN_CARD] = digest(own.model_dump(mode="json"))
    return found


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value, its keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _digest(file: Path) -> str:
    if not file.name.endswith("config.json"):
        return sha256_of(file)
    try:
        config = json.loads(file.read_bytes())
        del config["transformers_version"]
    except (ValueError, KeyError, TypeError):
        return sha256_of(file)
    return digest(config)
