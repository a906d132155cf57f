"""Which ways of answering a server lists."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi")

from chorus.config import Settings
from chorus.errors import ConfigError
from chorus.server.models import MAX_ID, ways
from chorus.server.options import settings_for
from personas import Library

FITTED = {
    "date": "2026-11-24",
    "command": "a test",
    "engine": "scripted:x",
    "questions": 40,
    "split": "train",
    "seed": 0,
}
CALIBRATION = {"schema": 1, "fitted": FITTED, "answer": {"intercept": 0.0, "weights": {"text": 1.0}}}
GATE = {"voices": 2, "threshold": 0.8, "answered": 0.6, "accuracy": 0.9, "interval": [0.8, 0.95]}


@pytest.mark.parametrize(("more", "listed"), [({}, False), ({"gate": GATE}, True)])
def test_the_gate_is_listed_where_a_calibration_file_has_one(tmp_path, more, listed):
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps({**CALIBRATION, **more}))
    assert ("chorus-gate" in ways(Settings(calibration=str(file)))) is listed
    assert "chorus-gate" not in ways(Settings())


def test_a_name_that_no_request_could_hold_is_refused(tmp_path):
    folder = tmp_path / ("x" * MAX_ID)
    folder.mkdir()
    (folder / "run.json").write_text(
        '{"prompts": {"answer": "a", "chorus": "b"}, "cast": [], "rounds": 1, "detail": "brief"}'
    )
    with pytest.raises(ConfigError, match="at most 200 characters"):
        ways(Settings(), [f"hf:{folder}"], allow_unaudited=True)


@pytest.mark.parametrize("rule", ["borda", "checked"])
def test_a_servers_own_rule_that_asks_every_voice_is_left_to_those_that_have_voices(rule):
    base = Settings(decision=rule)
    chosen = {name: settings_for(base, way, None, Library.builtin()).decision for name, way in ways(base).items()}
    assert chosen == {"chorus": rule, "chorus-vote": rule, "chorus-inner": None, "chorus-solo": rule}
