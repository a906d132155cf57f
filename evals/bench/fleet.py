"""What a second worker with a second endpoint is worth. Run `python -m evals.bench.fleet`; needs the extra `ray`.

The same questions are debated by one worker on one simulated endpoint, and by two workers on two, each of which knows
both; repetitions alternate. A run's rate is that of all its debates over the time from the first call that an endpoint saw
to the last reply: workers take seconds to start, which a run of hours doesn't see, and those alone are left out. All calls
fall into that time, so endpoints can't have held more debates in it than their slots have room for: a measured rate above
that is a fault of the measurement, and ends it. What the run loses at its end, when slots run empty, is in the rate.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chorus.cluster.on_ray import RayFleet
from chorus.cluster.run import Fleet, debate_shards
from chorus.cluster.worker import Reply
from chorus.config import Settings
from evals import report
from evals.bench.simulated import MODEL, call_s, calls_of, serve

AIM = 1.8
SLOTS, FIRST_S, PER_TOKEN_S = 8, 0.2, 0.03
"""Of each endpoint: a call takes 0.41 s, as a short turn does on one GPU, and eight run at once."""


class Measured(NamedTuple):
    """A run."""

    rate: float
    """Debates a second."""
    most: float
    """Debates a second that the endpoints have room for."""
    calls: float
    """That a debate made."""


class Timed:
    """A fleet whose last reply is clocked."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.at_once = fleet.at_once
        self.last = 0.0
        """When the newest reply came, on the monotonic clock."""

    def hold(self, lines: Sequence[str], *, alone: bool = False) -> Iterator[list[Reply]]:
        """Yield what the fleet yields."""
        for replies in self._fleet.hold(lines, alone=alone):
            self.last = time.monotonic()
            yield replies


def measure(workers: int, questions: Path, out: Path, concurrency: int) -> Measured:
    """Hold all debates, by so many workers on as many endpoints. Raises RuntimeError where the rate can't be true."""
    with contextlib.ExitStack() as servers:
        urls = [servers.enter_context(serve(SLOTS, FIRST_S, PER_TOKEN_S)) for _ in range(workers)]
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
        now = time.monotonic()
        told = [calls_of(url) for url in urls]
    began = now - max(since_s for _, since_s in told)
    return rated(done.done, timed.last - began, sum(number for number, _ in told), endpoints=workers)


def rated(debates: int, seconds: float, calls: int, *, endpoints: int) -> Measured:
    """Return the rate of debates whose calls all began and ended within so many seconds.

    Raises:
        RuntimeError: the endpoints can't have computed so many calls in that time.
    """
    each = calls / debates
    found = Measured(debates / seconds, endpoints * SLOTS / call_s(FIRST_S, PER_TOKEN_S) / each, each)
    if found.rate > found.most:
        raise RuntimeError(
            f"{found.rate:.3g} debates/s were measured where {endpoints} endpoints have room for {found.most:.3g}: "
            "the clock or the count is wrong"
        )
    return found


def main() -> None:
    """Measure, write `fleet.json` and `fleet.md`, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8, help="debates at once in each worker")
    options = parser.parse_args()
    runs: dict[int, list[Measured]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        questions = Path(place) / "in.jsonl"
        asked = ({"id": f"q{n}", "question": f"What is {n} * 8?"} for n in range(options.questions))
        questions.write_text("".join(json.dumps(line) + "\n" for line in asked))
        for run in range(options.runs):
            for workers, found in runs.items():
                out = Path(place) / f"out-{workers}-{run}"
                found.append(measure(workers, questions, out, options.concurrency))
    rates = {workers: [run.rate for run in found] for workers, found in runs.items()}
    most = {workers: min(run.most for run in found) for workers, found in runs.items()}
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    rows = [
        ("one worker, one endpoint: debates/s", *_spread(rates[1]), most[1], "-"),
        ("two workers, two endpoints: debates/s", *_spread(rates[2]), most[2], "-"),
        ("two over one", *_spread(ratios), most[2] / most[1], f">= {AIM:g}"),
    ]
    made = sorted({run.calls for found in runs.values() for run in found})
    path = report.write(
        "fleet",
        f"{options.questions} debates of 3 voices x 2 rounds on Ray",
        "python -m evals.bench.fleet",
        ("figure", "median", "min", "max", "room for", "aim"),
        rows,
        data={"runs": {workers: [run._asdict() for run in found] for workers, found in runs.items()}},
        notes=[
            f"Endpoints are simulated: {SLOTS} calls at once, {FIRST_S:g} s to the first token, {PER_TOKEN_S:g} s to each "
            f"further one; {options.concurrency} debates at once in each worker; {options.runs} runs each, in turn",
            f"Room for: what the endpoints' slots could hold at most, at {call_s(FIRST_S, PER_TOKEN_S):g} s a call and "
            f"{' to '.join(f'{each:.3g}' for each in dict.fromkeys((made[0], made[-1])))} calls a debate",
            "A rate is that of all debates from the first call to the last reply",
        ],
    )
    print(path.read_text())


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


if __name__ == "__main__":
    main()
