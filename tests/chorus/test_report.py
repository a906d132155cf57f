"""Results on disk say what gives them again."""

import json
import sys
from importlib.machinery import ModuleSpec

import pytest

from chorus import report


@pytest.mark.parametrize(
    ("running", "command", "told"),
    [
        ("evals.bench.fleet", "python -m evals.bench.fleet", "python -m evals.bench.fleet --questions 12 '--to=a b'"),
        (
            "evals.bench.peers.__main__",
            "python -m evals.bench.peers",
            "python -m evals.bench.peers --questions 12 '--to=a b'",
        ),
        ("evals.bench.fleet", "python -m evals.bench.scan", "python -m evals.bench.scan"),
        ("evals.bench.fleet", "chorus eval liar in.jsonl", "chorus eval liar in.jsonl"),
        (None, "python -m evals.bench.fleet", "python -m evals.bench.fleet"),
    ],
)
def test_a_program_is_told_with_the_options_that_it_was_given(tmp_path, monkeypatch, running, command, told):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", running and ModuleSpec(running, None))
    monkeypatch.setattr(sys, "argv", ["/somewhere/fleet.py", "--questions", "12", "--to=a b"])
    path = report.write("figures", "Figures", command, ("what", "value"), [("sum", 3)], folder=tmp_path)
    assert f"`{told}`, " in path.read_text()
    assert json.loads((tmp_path / "figures.json").read_text())["command"] == told


def test_gpus_are_part_of_the_hardware_where_the_driver_tells_of_them(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB'\necho 'NVIDIA H100 80GB HBM3, 81559 MiB'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert report.hardware().endswith("GiB, NVIDIA H100 80GB HBM3 81559 MiB, NVIDIA H100 80GB HBM3 81559 MiB")
    driver.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert report.hardware().endswith("GiB")
