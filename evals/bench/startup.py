"""How much CPU it takes before anything is asked: `import chorus`, `chorus --help`. Run `python -m evals.bench.startup`.

Every figure is the user and system CPU time of a fresh Python process, less nothing: the interpreter's own start is
part of what a person waits for, and is shown in a row of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

from evals import report

PROCESSES = {
    "python -c pass": ["-c", "pass"],
    "import chorus": ["-c", "import chorus"],
    "chorus --help": ["-m", "chorus", "--help"],
    "chorus ask --help": ["-m", "chorus", "ask", "--help"],
}
LIMITS = {"import chorus": 0.5, "chorus --help": 1.0}
"""What was aimed at, in seconds of CPU."""


def cpu_seconds(arguments: list[str]) -> float:
    """Return the CPU seconds that a fresh Python takes for these arguments."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure, write `startup.json` and `startup.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for arguments in PROCESSES.values():
        cpu_seconds(arguments)  # the first run compiles
    # In turn, so that a noisy minute falls on all alike.
    times: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for _ in range(runs):
        for name, arguments in PROCESSES.items():
            times[name].append(cpu_seconds(arguments))
    rows = [
        (name, statistics.median(spent), min(spent), max(spent), LIMITS.get(name, "-")) for name, spent in times.items()
    ]
    columns = ("process", "CPU s, median", "min", "max", "aim")
    path = report.write(
        "startup", "Start-up", "python -m evals.bench.startup", columns, rows, data=times, notes=[f"{runs} runs each"]
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
