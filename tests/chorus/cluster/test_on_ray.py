"""Debates on a real Ray cluster of two nodes, of which anything may be killed while they are on."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest
from command_line import start
from fake_openai_server import FakeOpenAIServer, in_thread
from hypothesis import given
from hypothesis import strategies as st

from chorus import Settings
from chorus.cluster import on_ray
from chorus.cluster.engines import RayEngines
from chorus.cluster.on_ray import IN_HAND, LENGTHS, RayFleet, block_sizes
from chorus.cluster.run import debate_shards
from chorus.engines.base import Request
from chorus.engines.endpoints import Endpoints
from chorus.errors import ConfigError, MissingExtra
from chorus.record import transcript
from chorus.types import Message

CAST = "skeptic,formalist"
SCRIPT = "real_time: true\nlatency: {first: 0.1, jitter: 0.5}\ndefault: {text: 'Answer: 56', confidence: 0.9}\n"


# Ray has warnings of its own.
pytestmark = pytest.mark.filterwarnings("default")


def test_without_ray_the_install_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'greek-chorus\[ray\]'"), RayFleet("local", Settings()):
        pass


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCRIPT)
    return tmp_path


NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 << 20}
"""A GPU on paper."""


@pytest.fixture(scope="module")
def nodes():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray's name: else workers stand back behind all others)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    cluster.second = None
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster(nodes):
    """Two nodes of one CPU on this machine. A test that kills the second leaves None, and the next has a new one."""
    nodes.second = nodes.second or nodes.add_node(**NODE)
    return nodes


def ask_for(count: int) -> list[str]:
    ids = [f"q{number}" for number in range(count)]
    lines = [{"id": name, "question": f"What is 7 * {at}?"} for at, name in enumerate(ids)]
    lines += lines[:5]  # as inputs are that were thrown together
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ids


def held(out: str = "out") -> Counter[str]:
    return Counter(record.question.id for record in transcript.read(out))


def workers(kind: bytes = b"_Holder") -> list[int]:
    """The processes of the workers, on whichever node of this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if kind in (process / "cmdline").read_bytes() and os.getuid() == process.stat().st_uid:
                found.append(int(process.name))
        except OSError:
            continue
    return found


class Struck:
    """A fleet that something happens to after some replies."""

    def __init__(self, fleet: RayFleet, after: int, happens) -> None:
        self._fleet, self._after, self._happens = fleet, after, happens
        self.at_once = fleet.at_once
        self.replies = 0

    def hold(self, lines, *, alone):
        for replies in self._fleet.hold(lines, alone=alone):
            yield replies
            self.replies += len(replies)
            if self._happens and self.replies >= self._after:
                self._happens()
                self._happens = None


def hold(cluster, happens, count: int = 60, gpus: float = 0.5):
    """Hold debates to which something happens; return their questions' ids, and what the run says of itself."""
    ids = ask_for(count)
    settings = Settings(engine="scripted:s.yaml", personas=CAST)
    with RayFleet(cluster.address, settings, workers=2, concurrency=4, gpus=gpus) as fleet:
        struck = Struck(fleet, 8, happens)
        summary = debate_shards(struck, Path("in.jsonl"), Path("out"))
        assert struck._happens is None, "nothing happened"
    return ids, summary


def kill_a_worker() -> None:
    processes = workers()
    assert len(processes) == 2
    os.kill(processes[0], signal.SIGKILL)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_loses_no_question(cluster):
    ids, summary = hold(cluster, kill_a_worker)
    assert held() == Counter(ids)
    assert (summary.complete, summary.done) == (True, len(ids))


async def all_up(engine: Endpoints) -> None:
    async with asyncio.timeout(300):
        while not all(endpoint.up for endpoint in engine.endpoints):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.1)


@pytest.mark.ray
@pytest.mark.timeout(600)
async def test_calls_outlive_a_worker_that_is_killed(cluster):
    """Thirty calls of two workers' engine; once the first has come back, one of them is killed, and comes back later."""
    said = Message(role="user", content="What is 7 * 8?")
    with RayEngines(cluster.address, workers=2) as engines:
        engine = await engines.open("scripted:s.yaml")
        await all_up(engine)
        asked = [Request((said,), id=f"1.{at}") for at in range(30)]
        calls = [asyncio.create_task(engine.generate(one, lambda piece: None)) for one in asked]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        os.kill(workers(b"ray::_Host")[0], signal.SIGKILL)
        assert {one.text for one in await asyncio.gather(*calls)} == {"Answer: 56"}
        await all_up(engine)
        await engine.aclose()
        with pytest.raises(ConfigError, match="there is no engine 'none'"):
            await engines.open("none:such")


@pytest.mark.ray
@pytest.mark.timeout(60)  # Ray itself would wait for ever
async def test_workers_that_book_more_gpus_than_any_node_has_are_refused(cluster):
    ask_for(1)
    refused = pytest.raises(ConfigError, match=r"no worker with 2 GPUs fits into this cluster: its nodes have 1, 1;")
    with RayEngines(cluster.address, gpus=2) as engines, refused:
        await engines.open("scripted:s.yaml")
    with RayFleet(cluster.address, Settings(engine="scripted:s.yaml"), gpus=2) as fleet, refused:
        debate_shards(fleet, Path("in.jsonl"), Path("out"))


def run_command(address: str, *more: str, out: str = "out") -> subprocess.Popen[str]:
    arguments = ["--engine", "scripted:s.yaml", "--personas", CAST, "--concurrency", "4", "--ray", address, *more]
    return start("debate", "in.jsonl", out, *arguments)


def until_written(out: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 300
    while not list(Path(out).glob("part-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "no shard was written"
        time.sleep(0.05)


def noting(file: Path) -> type:
    """A holder that notes how many questions it is given, and each that it is rid of. Its worker gets it by value."""

    class Noting(on_ray._Holder):
        def __call__(self, block):
            with file.open("a") as notes:  # appended: a worker's calls run in threads
                print(len(block["lines"]), file=notes, flush=True)
                for reply in super().__call__(block):
                    print(-1, file=notes, flush=True)
                    yield reply

    return Noting


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_slow_engine_is_handed_no_more_than_it_has_in_hand(cluster, folder, monkeypatch):
    ids, concurrency = ask_for(40), 1
    Path("s.yaml").write_text(
        "real_time: true\nlatency: {first: 0.1}\ndefault: {text: 'Answer: 56', confidence: 0.9}\n"
    )
    monkeypatch.setattr(on_ray, "_Holder", noting(folder / "notes"))
    settings = Settings(engine="scripted:s.yaml", personas="skeptic", mode="solo")
    with RayFleet(cluster.address, settings, workers=1, concurrency=concurrency) as fleet:
        assert debate_shards(fleet, Path("in.jsonl"), Path("out")).done == len(ids)
    notes = [int(line) for line in Path("notes").read_text().splitlines()]
    assert sum(number for number in notes if number > 0) == len(ids)
    assert max(accumulate(notes)) <= IN_HAND * LENGTHS * concurrency < len(ids) / 4


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("out", "left"), [("out", ".part-000009.jsonl"), ("out.parquet", ".part-000009.parquet")])
def test_a_driver_that_is_killed_goes_on_where_it_ended(cluster, out, left):
    ids = ask_for(300)
    driver = run_command(cluster.address, out=out)
    until_written(out, driver)
    assert len(workers()) == 2, "one on each node"
    driver.kill()
    driver.communicate()
    before = held(out)
    assert 0 < len(before) < len(ids)
    (Path(out) / f"{left}.partial").write_text('{"schema": 1, "id": "half')
    again = run_command(cluster.address, out=out)
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert said.endswith(f"300 questions: {300 - len(before)} answered now, {len(before)} before\n")
    assert held(out) == Counter(ids)
    assert list(Path(out).glob(".*.partial")) == []


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_cluster_for_one_run_is_started_and_ended_by_ctrl_c(folder):
    ids = ask_for(120)
    driver = run_command("local", "--workers", "1", out="out.parquet")
    until_written("out.parquet", driver)
    driver.send_signal(signal.SIGINT)
    said = driver.communicate()[1]
    assert driver.returncode == 130, said
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    before = held("out.parquet")
    assert 0 < len(before) < len(ids)
    assert max(before.values()) == 1
    assert workers() == []


@pytest.mark.ray
@pytest.mark.parametrize(
    ("address", "told"),
    [("127.0.0.1:1", "there is no Ray cluster at '127.0.0.1:1': .*refused"), ("here", "'here' is no address of a Ray")],
)
def test_where_no_cluster_is_the_address_is_named(address, told):
    with pytest.raises(ConfigError, match=told), RayFleet(address, Settings()):
        pass


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_what_fits_no_question_ends_the_run_as_it_does_here(cluster):
    ask_for(1)
    with (
        pytest.raises(Exception, match="unknown decision rule 'coin'") as refused,
        RayFleet(cluster.address, Settings(engine="scripted:s.yaml", decision="coin"), workers=1) as fleet,
    ):
        debate_shards(fleet, Path("in.jsonl"), Path("out"))
    assert refused.value.exit_code == ConfigError.exit_code


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_what_keeps_workers_from_being_made_is_told_as_it_is(cluster):
    ask_for(3)
    ran = run_command(cluster.address, "--engine", "scripted:missing.yaml")
    said = ran.communicate()[1]
    assert (ran.returncode, said.splitlines()[-1]) == (
        ConfigError.exit_code,
        "error: can't read the script missing.yaml: No such file or directory",
    )


def tripping(over: str) -> type:
    """A holder in which a fault of ours ends one question's debate. Its worker gets it by value."""

    class Tripping(on_ray._Holder):
        def _make(self):
            worker = super()._make()
            convene = worker._chorus.convene

            async def trip(question):
                debate = await convene(question)
                if question.id == over:
                    debate._walk = None
                return debate

            worker._chorus.convene = trip
            return worker

    return Tripping


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_workers_share_an_endpoint_and_a_fault_of_ours_in_one_debate_is_that_ones_failure(cluster, monkeypatch):
    ids = ask_for(8)
    monkeypatch.setattr(on_ray, "_Holder", tripping("q3"))
    with in_thread(FakeOpenAIServer()) as server:
        settings = Settings(engine=f"openai:{server.url}#fake", personas=CAST, early_stop=False)
        with RayFleet(cluster.address, settings, workers=2, concurrency=2) as fleet:
            summary = debate_shards(fleet, Path("in.jsonl"), Path("out"))
    assert held() == Counter(ids)
    assert (summary.failed, summary.faults) == (["q3"], {"q3": "TypeError: 'NoneType' object is not callable"})
    (failed,) = (record for record in transcript.read("out") if record.status == "failed")
    assert failed.reason == f"a fault of ours: {summary.faults['q3']}"
    answered = [record for record in transcript.read("out") if record.status == "done"]
    assert {record.answer for record in answered} == {"56"}
    assert len(server.chats) == sum(record.usage.calls for record in answered) > 0


def deadly(killer: str, notes: Path) -> type:
    """A holder whose process dies when the debate on one question begins. Workers note when they are closed."""

    class Deadly(on_ray._Holder):
        def _make(self):
            worker = super()._make()
            convene, close = worker._chorus.convene, worker.close

            async def die(question):
                debate = await convene(question)
                hold = debate.hold

                async def begin():
                    if question.id == killer:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return await hold()

                debate.hold = begin
                return debate

            def note():
                close()
                with notes.open("a") as file:
                    print("closed", file=file)

            worker._chorus.convene, worker.close = die, note
            return worker

    return Deadly


@pytest.mark.ray
@pytest.mark.timeout(600)  # Ray itself would hand it out for ever
def test_a_question_that_kills_its_worker_has_failed_and_all_others_are_answered(cluster, folder, monkeypatch):
    ids, notes = ask_for(12), folder / "notes"
    monkeypatch.setattr(on_ray, "_Holder", deadly("q5", notes))
    settings = Settings(engine="scripted:s.yaml", personas=CAST)
    with RayFleet(cluster.address, settings, workers=2, concurrency=2) as fleet:
        summary = debate_shards(fleet, Path("in.jsonl"), Path("out"))
    assert held() == Counter(ids)
    assert (summary.done, summary.failed, summary.gave_up) == (len(ids) - 1, ["q5"], None)
    (failed,) = (record for record in transcript.read("out") if record.status == "failed")
    assert failed.reason == "the process of its worker died 2 times while it held this question"
    until = time.monotonic() + 60
    while not notes.exists():
        assert time.monotonic() < until, "no worker was closed at the end"
        time.sleep(0.1)


def processes_of(node) -> list[int]:
    """The workers on a node: children of its raylet."""
    (raylet,) = node.all_processes["raylet"]
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in workers()}
    return [pid for pid, parent in parents.items() if parent == raylet.process.pid]


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_node_that_is_killed_loses_no_question(cluster):
    """One worker fits on a node; that of the node that is killed goes on, from its blocks' beginning, on a new one."""
    died: list[int] = []

    def kill_the_second() -> None:
        died.extend(processes_of(cluster.second))
        cluster.remove_node(cluster.second, allow_graceful=False)
        cluster.second = cluster.add_node(**NODE)

    ids, summary = hold(cluster, kill_the_second, gpus=1)
    assert held() == Counter(ids)
    assert (summary.complete, summary.done) == (True, len(ids))
    assert len(died) == 1
    assert not Path(f"/proc/{died[0]}").exists()


@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_a_worker_has_vllm_in_its_own_process(folder, monkeypatch):
    """The rest of the run knows nothing of the engine, which the actor opens, uses for all its debates, and closes."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else a busy machine leaves the engine no time to start
    ids = ask_for(3)
    settings = Settings(engine="vllm:smollm2-135m", mode="solo", max_tokens=8, patience_s=400)
    with RayFleet("local", settings, workers=1, concurrency=3) as fleet:
        summary = debate_shards(fleet, Path("in.jsonl"), Path("out"))
    assert (summary.complete, summary.done) == (True, len(ids))
    assert held() == Counter(ids)
    assert {record.plan.engine for record in transcript.read("out")} == {settings.engine}


@given(st.integers(0, 100_000), st.integers(1, 64), st.integers(1, 64))
def test_blocks_hold_every_question_and_fewer_and_fewer_of_them(questions, workers, concurrency):
    sizes = list(block_sizes(questions, workers, concurrency))
    assert sum(sizes) == questions
    assert sizes == sorted(sizes, reverse=True)
    assert all(0 < size <= 4 * concurrency for size in sizes)


def test_a_million_questions_are_no_million_objects():
    assert len(list(block_sizes(1_000_000, 4, 64))) < 5000
