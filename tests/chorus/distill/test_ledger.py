"""The card of a step: written however it ends, and asked whether there is anything left to do."""

import json
import time

import pytest
from workshop import set_up

from chorus import ConfigError
from chorus.distill import files, ledger
from chorus.distill.recipe import load
from chorus.errors import ChorusError, RecordError

DATA = {"rows.jsonl": "abc"}


@pytest.fixture
def recipe(tmp_path):
    return load(str(set_up(tmp_path)))


def test_a_step_that_is_done_stands(tmp_path, recipe):
    folder = tmp_path / "sft"
    assert not ledger.stands(folder, recipe, "sft", DATA)
    with ledger.running(folder, recipe, "sft", DATA) as run:
        run.metrics["loss"] = 1.5
        assert ledger.read(folder)["status"] == "running"
    assert ledger.stands(folder, recipe, "sft", DATA)
    card = ledger.done(folder)
    assert card["metrics"] == {"loss": 1.5}
    assert card["config"]["learning_rate"] == 0.001
    assert card["seeds"] == {"run": 0}
    assert card["versions"]["greek-chorus"]


def test_other_work_in_the_same_folder_is_refused(tmp_path, recipe):
    with ledger.running(tmp_path / "sft", recipe, "sft", DATA):
        pass
    with pytest.raises(ConfigError, match="other data"):
        ledger.stands(tmp_path / "sft", recipe, "sft", {"rows.jsonl": "def"})
    with pytest.raises(ConfigError, match="another recipe"):
        ledger.stands(tmp_path / "sft", recipe.model_copy(update={"seed": 1}), "sft", DATA)


def test_what_stopped_a_step_is_written_down_and_it_may_go_on(tmp_path, recipe):
    with pytest.raises(ChorusError, match="the rule"), ledger.running(tmp_path / "rl", recipe, "rl", DATA):
        raise ChorusError("stopped by the rule 'entropy gone'")
    card = ledger.read(tmp_path / "rl")
    assert (card["status"], card["reason"]) == ("stopped", "stopped by the rule 'entropy gone'")
    assert not ledger.stands(tmp_path / "rl", recipe, "rl", DATA)
    with pytest.raises(RecordError, match="rl is stopped"):
        ledger.done(tmp_path / "rl")


def test_a_step_that_was_never_run_is_told_how(tmp_path):
    with pytest.raises(RecordError, match="chorus distill sft"):
        ledger.done(tmp_path / "sft")


def test_a_card_that_is_no_card(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(RecordError, match="no card"):
        ledger.read(tmp_path)


def test_what_a_killed_run_has_cost_is_known_to_the_one_that_goes_on(tmp_path):
    card = {"schema": 1}
    killed = ledger.Run(tmp_path, card, earlier=100.0, began=time.monotonic() - 20)
    killed.write("running")  # as with every checkpoint; nothing is written when it is killed
    assert ledger.read(tmp_path)["seconds"] == pytest.approx(120, abs=5)


def test_a_file_that_can_not_be_written_leaves_the_old_one(tmp_path):
    files.put(tmp_path / "a", "old")
    (tmp_path / ".a.partial").mkdir()
    with pytest.raises(files.NotWritten, match="can't write"):
        files.put(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
