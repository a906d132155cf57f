"""A suite is run, killed, gone on with, divided into shards, and faulty."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("reasoning_gym")

from chorus.cluster.engines import RayEngines
from chorus.engines.registry import open_engine
from chorus.errors import ConfigError, RecordError
from evals import logs, outcomes, run, solvers, suite
from evals.commands import evaluate

pytestmark = [
    pytest.mark.usefixtures("no_other_plugins"),
    pytest.mark.timeout(300),
    # Inspect's own: it retries by an old name, and leaves what it opened to the garbage collector.
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:(?i)unclosed:ResourceWarning"),
]

QUESTIONS = [{"id": f"sums/dev/{n}", "question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(1, 11)]

SUITE = """
name = "small"
engine = "scripted:{script}"
split = "dev"
tasks = ["{questions}"]
max_samples = 4
[settings]
max_tokens = 32
[[system]]
name = "single"
solver = "single"
[[system]]
name = "chorus"
personas = ["skeptic", "tester"]
"""

ECHO = """
turns:
  - {contains: "is 5 [+] 5", text: "Answer: 10", confidence: 0.9}
default: {text: "Answer: 8", confidence: 0.5}
"""


@pytest.fixture
def small(tmp_path):
    """The path of a suite of two systems on ten questions, 5 + 5 and 4 + 4 of which are answered rightly."""
    return written(tmp_path)


def written(folder, script=ECHO):
    (folder / "script.yaml").write_text(script)
    questions = folder / "sums.jsonl"
    questions.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    path = folder / "small.toml"
    path.write_text(SUITE.format(script=folder / "script.yaml", questions=questions))
    return path


def results(folder):
    return list(outcomes.read(folder / run.RESULTS))


def sampled(folder):
    """How often each sample stands in the logs."""
    return Counter(one.key for one in logs.read(folder / run.LOGS))


def test_every_system_answers_every_question_once(small, tmp_path):
    out, told = tmp_path / "out", []
    done = run.run(suite.load(small), out, advance=lambda *seen: told.append(seen[:2]))
    assert done.complete
    assert (done.total, done.found, done.done, done.failed) == (20, 0, 20, [])
    rows = results(out)
    assert Counter(row.system for row in rows) == {"single": 10, "chorus": 10}
    assert {row.question for row in rows if row.correct} == {"sums/dev/4", "sums/dev/5"}
    assert {row.calls for row in rows if row.system == "chorus"} == {4}
    assert told[0] == (0, 20)
    assert told[-1] == (20, 20)


def test_what_is_answered_is_not_asked_again_and_results_stay_the_same(small, tmp_path):
    out = tmp_path / "out"
    run.run(suite.load(small).narrowed(systems=["single"]), out)
    assert run.run(suite.load(small), out).found == 10
    before = (out / run.RESULTS).read_bytes()
    assert set(sampled(out).values()) == {1}
    run.collect(out)
    assert (out / run.RESULTS).read_bytes() == before
    for log in (out / run.LOGS).iterdir():
        log.unlink()
    again = run.run(suite.load(small), out)
    assert again.found == again.total, "results are enough to go on from, without logs"


def test_a_log_is_read_once_and_again_when_it_has_grown(small, tmp_path, monkeypatch):
    read, opened = logs._of_log, []

    def counted(path):
        opened.append(path.name)
        return read(path)

    out = tmp_path / "out"
    run.run(suite.load(small).narrowed(systems=["single"]), out)
    monkeypatch.setattr(logs, "_of_log", counted)
    logs._as_it_stands.cache_clear()
    (first,) = (out / run.LOGS).iterdir()
    assert list(logs.read(out / run.LOGS)) == list(logs.read(out / run.LOGS))
    assert opened == [first.name]
    run.run(suite.load(small), out)
    shutil.copyfile(next(path for path in (out / run.LOGS).iterdir() if path != first), first)
    assert all(seen == 2 for seen in sampled(out).values()), "the other system's, twice"
    assert opened.count(first.name) == 2


def test_shards_fill_one_folder(small, tmp_path):
    out = tmp_path / "out"
    for number in (1, 2, 3):
        done = run.run(suite.load(small), out, shard=(number, 3))
        assert done.complete
        assert done.found == 0
    assert len(results(out)) == 20
    assert set(sampled(out).values()) == {1}


def test_a_question_that_fails_is_recorded_with_its_reason(tmp_path):
    script = ECHO.replace("turns:", 'turns:\n  - {contains: "is 3 [+] 3", fail: {message: "no words for this"}}')
    out = tmp_path / "out"
    done = run.run(suite.load(written(tmp_path, script)), out)
    assert done.complete
    assert sorted(done.failed) == ["chorus/sums/dev/3", "single/sums/dev/3"]
    assert all("no words for this" in str(row.reason) for row in results(out) if row.status == "failed")


def test_a_solver_that_crashes_on_one_question_fails_there_alone(small, tmp_path, monkeypatch):
    hold = solvers._hold

    async def crash(chorus, question):
        if question.id == "sums/dev/3":
            raise ZeroDivisionError("no voice was left to divide by")
        return await hold(chorus, question)

    monkeypatch.setattr(solvers, "_hold", crash)
    out = tmp_path / "out"
    done = run.run(suite.load(small), out)
    assert (done.complete, sorted(done.failed)) == (True, ["chorus/sums/dev/3", "single/sums/dev/3"])
    assert len(results(out)) == 20
    assert all("no voice was left" in str(row.reason) for row in results(out) if row.status == "failed")


def test_an_engine_that_is_gone_ends_the_run_and_what_failed_can_be_asked_again(tmp_path):
    out, path = tmp_path / "out", written(tmp_path, "default: {fail: {message: it is gone}}")
    done = run.run(suite.load(path).narrowed(max_samples=1), out)
    assert not done.complete
    assert "it is gone" in str(done.gave_up)
    assert done.done < 20
    (tmp_path / "script.yaml").write_text(ECHO)
    again = run.run(suite.load(path), out, retry_failed=True)
    assert again.complete
    assert again.failed == []
    assert len(results(out)) == 20


def test_another_system_of_the_same_name_is_refused(small, tmp_path):
    out = tmp_path / "out"
    run.run(suite.load(small).narrowed(systems=["single"], questions=1), out)
    small.write_text(small.read_text().replace("max_tokens = 32", "max_tokens = 16"))
    with pytest.raises(ConfigError, match=r"another system 'single' \(differs in max_tokens\)"):
        run.run(suite.load(small), out)


def test_a_damaged_log_is_named(small, tmp_path):
    out = tmp_path / "out"
    run.run(suite.load(small).narrowed(systems=["single"], questions=1), out)
    (log,) = (out / run.LOGS).iterdir()
    log.write_bytes(log.read_bytes()[:-30])
    with pytest.raises(RecordError, match=r"can.t read the log .*eval"):
        run.run(suite.load(small), out)


SLOW = "latency: {first: 0.05}\n" + ECHO


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_ended(tmp_path):
    """Killed at 60%, by the signal that can't be caught."""
    out, path = tmp_path / "out", written(tmp_path, SLOW)
    command = [sys.executable, "-m", "chorus", "eval", str(path), "--out", str(out), "--max-samples", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and sum(sampled(out).values() if out.exists() else ()) < 12:
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    there = set(sampled(out))
    assert 12 <= len(there) < 20
    assert not (out / run.RESULTS).exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{20 - len(there)} answered now, {len(there)} before" in done.stderr
    assert len(results(out)) == 20
    assert set(sampled(out).values()) == {1}, "no sample twice"
    assert {row.key for row in results(out)} >= there, "none lost"


def test_a_suites_engines_may_be_workers_on_a_cluster(small, tmp_path, monkeypatch):
    """Here it is a cluster on paper."""
    opened = []

    class Engines:
        def __init__(self, address, *, workers, gpus):
            self.given = address, workers, gpus

        def __enter__(self):
            return self

        def __exit__(self, *_):
            opened.append("closed")

        async def open(self, spec, *, report, **options):
            opened.append((*self.given, spec, options))
            return await open_engine(spec)

    monkeypatch.setattr("chorus.cluster.engines.RayEngines", Engines)
    small.write_text(small.read_text() + 'engine_options = {dtype = "float32"}\n')  # an engine of its own
    arguments = ["run", str(small), "--out", str(tmp_path / "out")]
    assert evaluate.main([*arguments, "--ray", "auto", "--workers", "2", "--gpus", "1"], standalone_mode=False) == 0
    asked = "auto", 2, 1.0, f"scripted:{tmp_path / 'script.yaml'}"
    assert opened == [(*asked, {}), (*asked, {"dtype": "float32"}), "closed"]
    assert {row.question for row in results(tmp_path / "out") if row.correct} == {"sums/dev/4", "sums/dev/5"}


@pytest.mark.ray
@pytest.mark.filterwarnings("default")  # Ray has warnings of its own.
def test_a_suite_is_run_on_a_real_cluster(small, tmp_path, monkeypatch):
    """One that is started for this run and ended with it."""
    pytest.importorskip("ray")
    opened, engines = RayEngines.open, []

    async def noted(self, spec, **options):
        engines.append(await opened(self, spec, **options))
        return engines[-1]

    monkeypatch.setattr(RayEngines, "open", noted)
    arguments = ["run", str(small), "--system", "chorus", "--out", str(tmp_path / "out")]
    assert evaluate.main([*arguments, "--ray", "local", "--workers", "1"], standalone_mode=False) == 0
    assert [endpoint.done for one in engines for endpoint in one.endpoints] == [40], "calls of the worker"
    rows = results(tmp_path / "out")
    assert (len(rows), {row.calls for row in rows}) == (10, {4})
    assert {row.question for row in rows if row.correct} == {"sums/dev/4", "sums/dev/5"}
