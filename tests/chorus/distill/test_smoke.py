"""The recipe `smoke` as the README runs it, on the embedded model: a baked model comes out, and `chorus ask` uses it."""

import importlib.util
import json
import math
import os
import re
from pathlib import Path

import pytest
from command_line import Command

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")

pytestmark = [
    pytest.mark.distill,
    pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs the extra distill"),
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("default"),  # torch, transformers and TRL have warnings of their own
]


def test_what_the_readme_tells_to_run_makes_a_model_that_is_asked(tmp_path, monkeypatch, capsys):
    section = README.split("## Bake the chorus into one model\n", 1)[1].split("\n## ", 1)[0]
    told = re.findall(r"^\$ chorus (distill run --recipe smoke .*|ask .*)$", section, re.M)
    assert len(told) == 2
    cache = os.environ.get("CHORUS_CACHE")
    chorus = Command(tmp_path, monkeypatch, capsys)
    if cache:
        monkeypatch.setenv("CHORUS_CACHE", cache)
    bake, ask = (re.findall(r'"[^"]*"|\S+', line) for line in told)
    ran = chorus(*bake)
    assert ran.code == 0, ran.err
    for step in ("sft", "bake", "rl"):
        metrics = json.loads((tmp_path / "baked" / step / "run.json").read_text())["metrics"]
        assert metrics["moved"] > 0
        assert all(math.isfinite(entry["loss"]) for entry in metrics["log"] if "loss" in entry)
    rewards = json.loads((tmp_path / "baked" / "rl" / "run.json").read_text())["metrics"]["log"]
    assert max(entry.get("rewards/correct/mean", 0.0) for entry in rewards) > 0
    baked = json.loads((tmp_path / "baked" / "bake" / "run.json").read_text())["metrics"]["log"]
    assert all(baked[0][f"kl/decile_{number}"] > 0 for number in range(1, 11))
    exported = json.loads((tmp_path / "baked" / "export" / "run.json").read_text())
    assert exported["metrics"]["merged_off"] < 1e-3
    asked = chorus(*(word.strip('"') for word in ask))
    assert asked.code == 0, asked.err
    assert "Answer:" in asked.out
