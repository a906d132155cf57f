"""Results on disk: what was measured, on what, when, with which versions and seed.

Each benchmark writes `NAME.json`, which holds everything, and `NAME.md`, a table for people. Both upper floors write
theirs this way, each into a folder of its own.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chorus import whole_file
from chorus.chorus import versions


def write(
    name: str,
    title: str,
    command: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    seed: int | None = None,
    notes: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    plots: Sequence[str] = (),
    folder: Path,
) -> Path:
    """Write a result as JSON and as a Markdown table, and return the table's path. A kill leaves each whole, old or new.

    Args:
        name: of the files.
        title: the table's heading.
        command: what to run to get these figures again. Where it is the program that is running (`python -m MODULE`), the
            options that this was given are added.
        columns: headings; a unit belongs into each.
        rows: one per measurement, cells in the order of the columns.
        seed: of whatever was drawn; None when nothing was.
        notes: what a reader must know to read the figures right.
        data: the raw measurements, for the JSON file.
        plots: names of picture files in the same folder, shown below the table.
        folder: where the files go.
    """
    command = _as_given(command)
    about = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "hardware": hardware(),
        "python": platform.python_version(),
        "versions": versions(),
        "seed": seed,
        "command": command,
    }
    folder.mkdir(parents=True, exist_ok=True)
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    whole = {"title": title, **about, "rows": table, "notes": list(notes), "data": dict(data or {})}
    whole_file.put(folder / f"{name}.json", json.dumps(whole, indent=1) + "\n")
    ran_on = ", ".join(f"{package} {version}" for package, version in versions().items())
    lines = [f"# {title}", "", f"`{command}`, {about['date']}, {about['hardware']}, Python {about['python']}, {ran_on}"]
    lines[-1] += "" if seed is None else f", seed {seed}"
    lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    lines += ["", *(f"- {note}" for note in notes)]
    lines += [line for plot in plots for line in ("", f"![{title}]({plot})")]
    path = folder / f"{name}.md"
    whole_file.put(path, "\n".join(lines).rstrip() + "\n")
    return path


def hardware() -> str:
    """Return the processor, the cores this process may use, the memory, and the GPUs that NVIDIA's driver tells of."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return ", ".join([f"{model}, {cores} cores, {memory:.0f} GiB", *_gpus()])


def _gpus() -> list[str]:
    """Return name and memory of each GPU; none where the driver's own program isn't there, or tells of none."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [" ".join(line.replace(",", "").split()) for line in told.splitlines() if line.strip()]


def _as_given(command: str) -> str:
    """Return a command with the options that it was given, where it is a program's name, and that of this process."""
    running = getattr(sys.modules["__main__"], "__spec__", None)
    if running and command == f"python -m {running.name.removesuffix('.__main__')}":
        return shlex.join([*command.split(), *sys.argv[1:]])
    return command


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
