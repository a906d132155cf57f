"""The processes of vLLM's engine, with a stand-in for vLLM: kept apart from the caller, and ended with it."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chorus.engines.vllm_processes import DEFAULT_ENVIRONMENT, QUIET, Processes

psutil = pytest.importorskip("psutil")


def compute(ready, seconds: float = 60.0) -> None:
    """Stand in for vLLM's engine: say something, report what it is like in here, and take long."""
    print("loading the weights", flush=True)
    os.write(2, b"a word on standard error\n")
    masked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    main = sys.modules["__main__"]
    ready.send((masked, getattr(main, "__file__", None), os.environ.get("FLAVOUR")))
    time.sleep(seconds)


def fail_and_stay(seconds: float) -> None:
    """Stand in for an engine that fails, and on its way out waits for something that never comes."""
    print("ValueError: no memory\nEngineCore failed to start.", flush=True)
    time.sleep(seconds)


class Started:
    """An engine whose one process has been started."""

    def __init__(self, processes: Processes) -> None:
        mine, theirs = multiprocessing.Pipe()
        with processes.starting({"FLAVOUR": "plain"}):
            self.process = multiprocessing.get_context("spawn").Process(
                target=compute, args=(theirs,), name="EngineCore", daemon=True
            )
            self.process.start()
            self.masked, self.main, self.flavour = mine.recv()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Processes:
    for name in DEFAULT_ENVIRONMENT:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Processes()


async def test_an_engine_that_failed_and_does_not_end_is_ended(processes, monkeypatch):
    monkeypatch.setattr("chorus.engines.vllm_processes.GRACE_S", 0.1)

    def start() -> int | None:
        with processes.starting({}):
            failed = multiprocessing.get_context("spawn").Process(
                target=fail_and_stay, args=(60.0,), name="EngineCore", daemon=True
            )
            failed.start()
            failed.join(50)
            return failed.exitcode

    assert await processes.keep(start) == -signal.SIGKILL
    assert processes.last_words() == "ValueError: no memory"
    processes.end()


async def test_what_processes_print_goes_to_the_log(processes, capfd):
    started = await processes.keep(lambda: Started(processes))
    assert processes.log.read_text().splitlines() == ["loading the weights", "a word on standard error"]
    started.process.kill()
    processes.end()
    assert capfd.readouterr() == ("", "")
    assert not processes.log.parent.exists()


async def test_who_sets_the_logging_level_sees_what_they_print(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(QUIET, "DEBUG")
    processes = Processes()
    started = await processes.keep(lambda: Started(processes))
    started.process.kill()
    processes.end()
    assert "loading the weights" in capfd.readouterr().out


async def test_they_dont_hear_ctrl_c_nor_run_the_callers_script(processes):
    before = sys.modules["__main__"].__spec__, getattr(sys.modules["__main__"], "__file__", None)
    started = await processes.keep(lambda: Started(processes))
    assert (started.masked, started.main, started.flavour) == (True, None, "plain")
    assert (sys.modules["__main__"].__spec__, getattr(sys.modules["__main__"], "__file__", None)) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    started.process.kill()
    processes.end()


async def test_a_process_that_does_not_end_is_killed(processes, monkeypatch):
    monkeypatch.setattr("chorus.engines.vllm_processes.GRACE_S", 0.1)
    started = await processes.keep(lambda: Started(processes))
    processes.end()
    assert not started.process.is_alive()


async def test_the_log_of_a_failure_is_kept(processes):
    with pytest.raises(ValueError, match="no"):
        await processes.keep(lambda: fail(processes))
    processes.end(keep_log=True)
    assert processes.last_words() == "ValueError: no room"


def fail(processes: Processes) -> None:
    with processes.starting({}):
        processes.log.write_text("(EngineCore pid=7) ERROR 11-23 18:29:10 [core.py:1433] ValueError: no room\n")
        raise ValueError("no")


async def test_a_start_that_nobody_waits_for_is_ended(processes):
    loop, began = asyncio.get_running_loop(), asyncio.Event()
    children: list[multiprocessing.Process] = []

    def start_and_wait() -> None:
        with processes.starting({}):
            child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,), name="EngineCore")
            child.start()
            children.append(child)
            loop.call_soon_threadsafe(began.set)
            child.join()  # as vLLM waits for its engine to be ready

    waiting = asyncio.create_task(processes.keep(start_and_wait))
    await began.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 20)
    assert not children[0].is_alive()
    assert not processes.log.parent.exists()


async def test_a_start_that_has_not_begun_is_given_up(processes):
    go_on, started = threading.Event(), []

    def slow() -> None:
        go_on.wait(20)
        with processes.starting({}):
            started.append(True)

    waiting = asyncio.create_task(processes.keep(slow))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
    go_on.set()
    await asyncio.sleep(0.2)
    assert not started


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties processes to threads")
def test_they_end_with_a_caller_that_is_killed(tmp_path: Path):
    script = tmp_path / "caller.py"
    script.write_text(
        f"import asyncio, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_vllm_processes import Processes, Started\n"
        "async def main():\n"
        "    processes = Processes()\n"
        "    started = await processes.keep(lambda: Started(processes))\n"
        "    print(started.process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True) as caller:
        child = psutil.Process(int(caller.stdout.readline()))
        caller.kill()
        caller.wait()
        child.wait(20)


# Last words


LOG = """\
INFO whatever
(Worker pid=9) ERROR 11-23 18:02:53 [multiproc_executor.py:970] KeyError: 'model.embed'
(Worker pid=9) ERROR 11-23 18:02:53 [multiproc_executor.py:970] During handling of the above
(Worker pid=9) ERROR 11-23 18:02:53 [multiproc_executor.py:970] torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB
(EngineCore pid=8) ERROR 11-23 18:02:54 [core.py:1433] Exception: WorkerProc initialization failed due to an exception
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
RuntimeError: cancelled
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (LOG, "OutOfMemoryError: CUDA out of memory. Tried 2 GiB"),
        ("AssertionError\n", "AssertionError"),
        (
            "ERROR 11-23 18:29:12 [x.py:3] Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down.\n",
            "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)",
        ),
        ("Loading: 100%\nFutureWarning: old\n", None),
        ("", None),
        (None, None),
    ],
)
def test_the_root_cause_is_found_in_the_log(processes, log, words):
    if log is not None:
        processes.log.write_text(log)
    assert processes.last_words() == words
