"""The work folder: a step is done once, by whichever process comes to it first, and never half."""

from __future__ import annotations

import multiprocessing
import os
import time
from functools import partial

import pytest

from interp.plan import DEPTHS, Config
from interp.work import Work

pytestmark = [pytest.mark.interp, pytest.mark.timeout(120)]

SPAWN = multiprocessing.get_context("spawn")
NAMES = [f"step-{number}" for number in range(12)]


def worker(folder, together, said):
    """A process that works in the folder once all are there."""
    work = Work(folder, said.put)
    together.wait()
    found = work.do({name: (name, partial(made, folder, name)) for name in NAMES})
    said.put({"pid": os.getpid(), "found": found})


def made(folder, name):
    """A step that notes each time that it is done."""
    with (folder / "made.txt").open("a") as log:
        log.write(f"{name}\n")
    time.sleep(0.1)
    return {"by": os.getpid()}


def hangs(folder):
    """A process that never gets done with the second step."""
    Work(folder, print).do({NAMES[0]: ("quick", lambda: {"by": 0}), NAMES[1]: ("slow", lambda: time.sleep(1000) or {})})


def test_processes_share_the_steps_and_find_the_same(tmp_path):
    together, said = SPAWN.Barrier(2), SPAWN.Queue()
    both = [SPAWN.Process(target=worker, args=(tmp_path, together, said)) for _ in range(2)]
    for each in both:
        each.start()
    ends = []
    while len(ends) < 2:
        if isinstance(word := said.get(timeout=60), dict):
            ends.append(word)
    for each in both:
        each.join()
    assert sorted((tmp_path / "made.txt").read_text().split()) == sorted(NAMES)
    assert ends[0]["found"] == ends[1]["found"]
    assert {own["by"] for own in ends[0]["found"].values()} == {each["pid"] for each in ends}


def test_what_a_killed_process_was_at_is_done_by_another(tmp_path):
    hung = SPAWN.Process(target=hangs, args=(tmp_path,))
    hung.start()
    while not (tmp_path / f".{NAMES[1]}.lock").exists():
        time.sleep(0.05)
    said, kills = [], iter([hung.kill])

    def report(words):
        said.append(words)
        if words.startswith("waiting"):
            next(kills)()

    found = Work(tmp_path, report).do({name: (name, partial(made, tmp_path, name)) for name in NAMES[:3]})
    hung.join()
    assert (tmp_path / "made.txt").read_text().split() == [NAMES[2], NAMES[1]], "what is free comes first"
    assert found[NAMES[0]] == {"by": 0}
    assert said[0].startswith("[#######.............] 2 of 3: step-2")
    assert said[1] == "waiting for other processes, which are at step-1"
    assert said[2].startswith("[#############.......] 3 of 3: step-1, about ")


def test_a_plan_is_written_once(tmp_path):
    config = Config(("skeptic",), **DEPTHS["quick"])
    assert Work(tmp_path, print).fix(config, weights="0") == Work(tmp_path, print).fix(config, weights="0")
