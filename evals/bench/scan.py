"""How long a run on Ray takes to know what it need not do again. Run `python -m evals.bench.scan`.

A folder of shards is filled with a million ids, and opened by a process that has never seen it; then the question file
is read against it, after which that run would know that nothing is left. The records are short stand-ins: the scan reads
what stands beside a JSONL shard, and three columns of a Parquet one, never the records.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chorus.batch import read_questions
from chorus.cluster.run import SHARD_RECORDS
from chorus.record.shards import Row, Shards, hash_of
from evals import report

RECORD = json.dumps({"schema": 1, "status": "done", "answer": "56", "confidence": 0.75, "question": "What is 7 * 8?"})
FORMS = {"JSONL": "out", "Parquet": "out.parquet"}
AIM_S = 10.0


def fill(folder: Path, ids: int) -> None:
    """Write the questions and both folders of shards."""
    with (folder / "in.jsonl").open("w") as questions:
        for number in range(ids):
            questions.write(f'{{"id": "question-{number:07}", "question": "What is {number} * 8?"}}\n')
    for name in FORMS.values():
        shards = Shards(folder / name)
        for first in range(0, ids, SHARD_RECORDS):
            numbers = range(first, min(first + SHARD_RECORDS, ids))
            shards.add(Row(f"question-{n:07}", hash_of(f"What is {n} * 8?"), False, RECORD) for n in numbers)


def measure(shards: Path, questions: Path) -> dict[str, float]:
    """Return the seconds of both halves and the peak memory in MiB of this process."""
    began = time.perf_counter()
    known = Shards(shards).known
    scanned = time.perf_counter()
    left = [one.id for one in read_questions(questions) if known.asked.get(one.id) != hash_of(one.text)]
    read = time.perf_counter()
    assert not left, f"{len(left)} questions have no record"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"scan_s": scanned - began, "read_s": read - scanned, "peak_mib": peak}


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
        fill(Path(place), options.ids)
        for form, name in FORMS.items():
            again = [sys.executable, "-m", "evals.bench.scan", "--once", f"{place}/{name}", f"{place}/in.jsonl"]
            runs = [
                json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE).stdout)
                for _ in range(options.runs)
            ]
            data[form] = runs
            for key, what, aim in (
                ("scan_s", "shards opened, s", f"< {AIM_S:g}"),
                ("read_s", "questions read against them, s", "-"),
                ("peak_mib", "peak memory, MiB", "-"),
            ):
                values = [run[key] for run in runs]
                rows.append((form, what, statistics.median(values), min(values), max(values), aim))
    path = report.write(
        "scan",
        f"Going on after {options.ids:,} ids",
        "python -m evals.bench.scan",
        ("shards", "figure", "median", "min", "max", "aim"),
        rows,
        data=data,
        notes=[f"{options.runs} processes each, files in the page cache; {SHARD_RECORDS} records a shard"],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
