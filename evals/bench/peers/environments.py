"""Environments for the peers, one each, outside the tree: made once, with the versions that are measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import platformdirs

TORCH = "torch>=2.11,<2.14"
"""A range in which pip finds a build for CPUs, where one is served."""

PACKAGES = {
    "its-hub": (["its-hub[lm]==1.2.0"], []),
    "mallm": (["mallm==1.0.5", "pyarrow<18", TORCH], []),
    # Its own requirements take over five minutes and several GB; these are what it imports on the way to an answer.
    "optillm": (
        "flask openai httpx tiktoken z3-solver networkx numpy requests beautifulsoup4 lxml litellm math-verify PyYAML "
        "scikit-learn aiohttp transformers<5.13 datasets cerebras_cloud_sdk azure-identity gradio<5.16 "
        f"adaptive-classifier nbconvert nbformat ipython ipykernel {TORCH}".split(),
        ["optillm==0.4.0"],
    ),
}
"""Peer -> what is installed, and what is installed without what it asks for."""


class NotInstalled(Exception):
    """A peer's packages could not be installed; the message ends with pip's own words."""


def python_of(peer: str) -> Path:
    """Return the Python of a peer's environment, which is made where there is none yet. Raises NotInstalled."""
    folder = _root() / peer
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    wanted, alone = PACKAGES[peer]
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    # pip finds a CPU's torch where uv does not; uv finds versions that fit together where pip tries for an hour.
    _run([str(python), "-m", "pip", "install", "--quiet", "uv", *([TORCH] if TORCH in wanted else [])])
    install = [str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(python)]
    _run([*install, *wanted])
    if alone:
        _run([*install, "--no-deps", *alone])
    (folder / "complete").touch()
    return python


def _root() -> Path:
    cache = os.environ.get("CHORUS_CACHE") or platformdirs.user_cache_dir("greek-chorus")
    return Path(cache) / "bench"


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotInstalled((ended.stderr or ended.stdout).strip()[-400:])
