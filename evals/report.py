"""Where benchmarks of this floor put their results: `evals/results`, in the form of `chorus.report`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from chorus import report

RESULTS = Path(__file__).with_name("results")

hardware = report.hardware
write = partial(report.write, folder=RESULTS)
