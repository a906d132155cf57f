"""How a folder of results came about: date, command, hardware, versions. Its first run writes it down, reports tell it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from chorus import whole_file
from chorus.chorus import versions
from chorus.errors import RecordError
from evals import report

FILE = "about.json"


def about(folder: Path, command: str = "") -> dict[str, str]:
    """Return what a reader of a folder's results should know of how they were made: what its first run wrote down.

    Args:
        folder: of the results.
        command: that makes them now; without it nothing is written down, and nothing may be known.

    Raises:
        RecordError: what is written down can't be read.
    """
    path = folder / FILE
    if command and not path.exists():
        known = {
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "command": command,
            "hardware": report.hardware(),
            "versions": ", ".join(f"{package} {version}" for package, version in versions().items()),
        }
        whole_file.put(path, json.dumps(known, indent=1) + "\n")
    try:
        return {str(name): str(what) for name, what in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RecordError(f"can't read {path}: {error}") from error
