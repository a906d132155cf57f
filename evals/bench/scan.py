"""How long a run on Ray takes to know what it need not do again. Run `python -m evals.bench.scan`.

A folder of shards is filled with a million ids, and opened by a process that has never seen it; then the question file
is read against it, after which that run knows that nothing is left. The aim is set on both together. Folders are filled by
as many records at once as fit into a shard, and as a slow run fills them, which writes every few seconds what it has. The
records are short stand-ins: the scan reads what stands beside a JSONL shard, and three columns of a Parquet one, never the
records.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chorus.question_file import read_lines
from chorus.record.shards import SHARD_RECORDS, Row, Shards, hash_of_text
from evals import report

RECORD = json.dumps({"schema": 1, "status": "done", "answer": "56", "confidence": 0.75, "question": "What is 7 * 8?"})
FORMS = {"JSONL": ".jsonl", "Parquet": ".parquet"}
SLOW = 40
"""Records that a slow run writes at once: in five seconds, at eight debates a second."""
AIM_S = 10.0
FIGURES = {
    "scan_s": ("shards opened, s", "-"),
    "read_s": ("questions read against them, s", "-"),
    "whole_s": ("both, s", f"< {AIM_S:g}"),
    "peak_mib": ("peak memory, MiB", "-"),
}


def ask(questions: Path, ids: int) -> None:
    """Write the questions."""
    with questions.open("w") as file:
        for number in range(ids):
            file.write(f'{{"id": "question-{number:07}", "question": "What is {number} * 8?"}}\n')


def fill(folder: Path, ids: int, at_once: int) -> int:
    """Write the records, so many at once, and return how many shards there are."""
    shards = Shards(folder)
    for first in range(0, ids, at_once):
        numbers = range(first, min(first + at_once, ids))
        shards.add(Row(f"question-{n:07}", hash_of_text(f"What is {n} * 8?"), False, RECORD) for n in numbers)
    return len(list(folder.glob("part-*")))


def measure(shards: Path, questions: Path) -> dict[str, float]:
    """Return the seconds of both halves and of the whole, and the peak memory in MiB of this process."""
    began = time.perf_counter()
    known = Shards(shards).known
    scanned = time.perf_counter()
    left = [line.id for line in read_lines(questions) if known.asked.get(line.id) != hash_of_text(line.text)]
    read = time.perf_counter()
    assert not left, f"{len(left)} questions have no record"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"scan_s": scanned - began, "read_s": read - scanned, "whole_s": read - began, "peak_mib": peak}


def main() -> None:
    """Measure in fresh processes, write `scan.json` and `scan.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", nargs=2, type=Path, metavar=("SHARDS", "QUESTIONS"), help="measure these, print JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(*options.once)))
        return
    rows, data = [], {}
    with tempfile.TemporaryDirectory() as place:
        questions = Path(place) / "in.jsonl"
        ask(questions, options.ids)
        for form, at_once in itertools.product(FORMS, (SHARD_RECORDS, SLOW)):
            folder = Path(place) / f"{at_once}{FORMS[form]}"
            count = fill(folder, options.ids, at_once)
            again = [sys.executable, "-m", "evals.bench.scan", "--once", str(folder), str(questions)]
            runs = [
                json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE).stdout)
                for _ in range(options.runs)
            ]
            shutil.rmtree(folder)
            data[f"{form}, {at_once} at once"] = runs
            for key, (what, aim) in FIGURES.items():
                values = [run[key] for run in runs]
                rows.append((form, at_once, count, what, statistics.median(values), min(values), max(values), aim))
    path = report.write(
        "scan",
        f"Going on after {options.ids:,} ids",
        "python -m evals.bench.scan",
        ("shards", "records written at once", "shards there", "figure", "median", "min", "max", "aim"),
        rows,
        data=data,
        notes=[f"{options.runs} processes each, files in the page cache"],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
