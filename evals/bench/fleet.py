"""What a second worker with a second endpoint is worth. Run `python -m evals.bench.fleet`; needs the extra `ray`.

The same questions are debated by one worker on one simulated endpoint, and by two workers on two, each of which knows
both. A run's rate is that of the debates that end after the first answer has come in: workers take seconds to start, and
a run of hours doesn't see them. Repetitions alternate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from chorus.cluster.on_ray import RayFleet
from chorus.cluster.run import Fleet, debate_shards
from chorus.cluster.worker import Reply
from chorus.config import Settings
from evals import report
from evals.bench.simulated import MODEL, serve

AIM = 1.8
SLOTS, FIRST_S, PER_TOKEN_S = 8, 0.2, 0.03
"""Of each endpoint: a call takes 0.41 s, as a short turn does on one GPU, and eight run at once."""


class Timed:
    """A fleet whose replies are clocked."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.at_once = fleet.at_once
        self.came: list[tuple[float, int]] = []
        """When replies came, and how many."""

    def hold(self, lines: Sequence[str]) -> Iterator[list[Reply]]:
        """Yield what the fleet yields."""
        for replies in self._fleet.hold(lines):
            self.came.append((time.perf_counter(), len(replies)))
            yield replies

    def rate(self) -> float:
        """Return debates a second after the first answer."""
        (began, _), *later = self.came
        return sum(count for _, count in later) / (later[-1][0] - began)


def measure(urls: Sequence[str], workers: int, questions: Path, out: Path, concurrency: int) -> float:
    """Hold all debates and return their rate."""
    settings = Settings(
        engine=f"openai:{','.join(urls)}#{MODEL}",
        personas="skeptic,estimator,formalist",
        decision="plurality",
        early_stop=False,
        max_tokens=32,
    )
    with RayFleet("local", settings, workers=workers, concurrency=concurrency) as fleet:
        timed = Timed(fleet)
        done = debate_shards(timed, questions, out)
    assert done.complete, done.in_words()
    return timed.rate()


def main() -> None:
    """Measure, write `fleet.json` and `fleet.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8, help="debates at once in each worker")
    options = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with (
        tempfile.TemporaryDirectory() as place,
        serve(SLOTS, FIRST_S, PER_TOKEN_S) as one,
        serve(SLOTS, FIRST_S, PER_TOKEN_S) as other,
    ):
        questions = Path(place) / "in.jsonl"
        asked = ({"id": f"q{n}", "question": f"What is {n} * 8?"} for n in range(options.questions))
        questions.write_text("".join(json.dumps(line) + "\n" for line in asked))
        for run in range(options.runs):
            for workers, urls in ((1, [one]), (2, [one, other])):
                out = Path(place) / f"out-{workers}-{run}"
                rates[workers].append(measure(urls, workers, questions, out, options.concurrency))
    ratios = [two / single for single, two in zip(rates[1], rates[2], strict=True)]
    rows = [
        ("one worker, one endpoint: debates/s", *_spread(rates[1]), "-"),
        ("two workers, two endpoints: debates/s", *_spread(rates[2]), "-"),
        ("two over one", *_spread(ratios), f">= {AIM:g}"),
    ]
    path = report.write(
        "fleet",
        f"{options.questions} debates of 3 voices x 2 rounds on Ray",
        "python -m evals.bench.fleet",
        ("figure", "median", "min", "max", "aim"),
        rows,
        data={"rates": rates},
        notes=[
            f"Endpoints are simulated: {SLOTS} calls at once, {FIRST_S:g} s to the first token, {PER_TOKEN_S:g} s to each "
            f"further one; {options.concurrency} debates at once in each worker; {options.runs} runs each, in turn",
        ],
    )
    print(path.read_text())


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


if __name__ == "__main__":
    main()
