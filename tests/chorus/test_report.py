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
