"""What a text tells its reader to run: its blocks, as one script in which each finds what the ones before it left."""

import os
import re
import subprocess
import sys
from pathlib import Path

_HERE = re.compile(r"<<'(\w+)'")


def section(text, heading):
    """The text below a heading, up to the next one of any level."""
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def blocks(text, languages):
    """Pairs of a language and a block in it, in order; `languages` is a pattern."""
    return re.findall(rf"^```({languages})\n(.*?)^```", text, re.M | re.S)


def commands(text):
    """The shell lines of the console blocks, with what belongs to them: here-documents, strings over several lines."""
    found, until = [], None
    for _, block in blocks(text, "console"):
        for line in block.splitlines():
            if line.startswith("$ ") and until is None:
                found.append(line[2:])
                here = _HERE.search(line)
                until = here[1] if here else '"' if line.count('"') % 2 else None
            elif until is not None:
                found[-1] += f"\n{line}"
                until = None if line == until else until
    return found


def steps(text):
    """The console and Python blocks in order, as lines of a shell script."""
    for language, block in blocks(text, "console|python"):
        if language == "console":
            yield from commands(f"```console\n{block}```\n")
        else:
            yield f"python - <<'PYTHON'\n{block}PYTHON"


def run(lines, folder):
    """Run lines of shell in a folder, with this Python's `chorus`; what they left in the background ends with them."""
    tools = Path(folder) / ".tools"
    tools.mkdir()
    for name, called in (("chorus", "-m chorus"), ("python", "")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {called} "$@"\n')
        (tools / name).chmod(0o755)
    script = ["set -eo pipefail", "trap 'kill -KILL $(jobs -p) 2> /dev/null || true' EXIT", *lines]
    return subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
