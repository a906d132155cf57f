"""A training run whose end is known: a base without a persona, and the same weights with one planted."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from chorus.checkpoints import fingerprint
from interp import commands, plan, subject
from interp import emergence as looking
from interp.errors import LensError
from interp.planted_subject import PlantedSubject

pytestmark = [pytest.mark.interp, pytest.mark.timeout(600)]

SEED = 102
QUICK = {
    "discover": 4, "select": 4, "test": 4, "layers": 1, "steps": 2, "share": 0.05, "randoms": 4, "probes": 5, "voices": 1,
    "batch": 64,
}  # fmt: skip


@pytest.fixture
def command(monkeypatch, tmp_path):
    """`chorus emergence` over a base, a checkpoint at which nothing has been learnt, and one with the persona."""
    loaded = []
    for name in ("base", "before", "after"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())

    def load(name, report, base=None, device=None):
        loaded.append(name)
        made = PlantedSubject(SEED, circuit=name == "after")
        made.folder = tmp_path / name
        made.weights = fingerprint(made.folder)
        return made

    monkeypatch.setattr(subject, "Checkpoint", load)
    monkeypatch.setattr(subject, "folder_of", lambda name, report: tmp_path / name)
    monkeypatch.setattr(commands, "_personas", lambda _: ("planted",))
    monkeypatch.setitem(plan.DEPTHS, "quick", QUICK)
    log = [{"step": step, "gold/accuracy": step / 100} for step in (40, 80)]
    (tmp_path / "run.json").write_text(json.dumps({"metrics": {"log": [*log, {"step": 81, "loss": 1.0}]}}))

    def run(*stages):
        words = [*stages, "--base", "base", "--accuracy", str(tmp_path / "run.json"), "--depth", "quick"]
        return CliRunner().invoke(commands.emergence, [*words, "--out", str(tmp_path / "out")], standalone_mode=False)

    return run, loaded


def test_a_persona_emerges_and_stays_explained(command, tmp_path):
    run, loaded = command
    ran = run("80=after", "40=before")
    assert ran.return_value == 0, ran.output
    first, last = json.loads((tmp_path / "out" / "emergence.json").read_text())["data"]["points"]
    assert (first["step"], last["step"]) == (40, 80)
    assert abs(first["shift"]["planted"]["value"]) < 1e-4
    assert first["residual"] == {}, "where there is no shift there is no share of it"
    assert last["shift"]["planted"]["value"] > 0.1
    assert last["residual"]["planted"]["value"] < 0.3 < last["residual"]["planted"]["null"][0]
    assert last["accuracy"]["value"] == 0.8
    assert "| 80 | 0.8 | planted |" in (tmp_path / "out" / "emergence.md").read_text()
    assert "<svg" in (tmp_path / "out" / "emergence.svg").read_text()
    assert run("80=after", "40=before").return_value == 0
    assert loaded == ["base", "before", "after", "base"], "what was found is not looked for again"


def test_stages_that_make_no_curve_are_refused(command):
    run, _ = command
    assert "is no STEP=CHECKPOINT" in str(run("after").exception)
    assert "two checkpoints of one training step: 40, 40" in str(run("40=before", "40=after").exception)
    assert "no accuracy is known of training step 60; it is of 40, 80" in str(run("60=after").exception)


def test_accuracy_is_read_from_a_file_of_ones_own(tmp_path):
    path = tmp_path / "accuracy.json"
    path.write_text('{"40": 0.5, "80": [0.6, 0.5, 0.7]}')
    found = looking.accuracies(path)
    assert (found[40].value, found[40].interval) == (0.5, None)
    assert (found[80].value, found[80].interval) == (0.6, (0.5, 0.7))
    for text in ("[]", "{}", '{"late": 0.5}', '{"40": "high"}', "no JSON"):
        path.write_text(text)
        with pytest.raises(LensError, match="holds no accuracy"):
            looking.accuracies(path)
