"""Settings: which source goes before which, and what is said of a setting that can't be used."""

from __future__ import annotations

import pytest

from chorus.config import Settings, load
from chorus.errors import ConfigError

pytestmark = pytest.mark.usefixtures("bare_place")


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def test_defaults_alone():
    assert load() == Settings()


def test_the_file_goes_before_defaults_the_environment_before_the_file_and_arguments_before_all(tmp_path, monkeypatch):
    write(tmp_path / "chorus.toml", "rounds = 3\nvoices = 4\nseed = 5\n")
    monkeypatch.setenv("CHORUS_VOICES", "6")
    monkeypatch.setenv("CHORUS_SEED", "7")
    settings = load({"seed": 8})
    assert (settings.attempts, settings.rounds, settings.voices, settings.seed) == (3, 3, 6, 8)


def test_an_argument_that_is_none_leaves_the_others_in_force(monkeypatch):
    monkeypatch.setenv("CHORUS_ROUNDS", "4")
    assert load({"rounds": None}).rounds == 4


def test_a_file_may_be_named_and_is_then_the_only_one(tmp_path, monkeypatch):
    write(tmp_path / "chorus.toml", "rounds = 3\n")
    mine = write(tmp_path / "mine.toml", "voices = 4\n")
    assert (load(file=mine).voices, load(file=mine).rounds) == (4, None)
    monkeypatch.setenv("CHORUS_CONFIG", str(mine))
    assert (load().voices, load().rounds) == (4, None)


def test_settings_in_force_are_changed_without_looking_anywhere_else(tmp_path, monkeypatch):
    base = load({"voices": 4})
    write(tmp_path / "chorus.toml", "rounds = 3\n")
    monkeypatch.setenv("CHORUS_SEED", "7")
    changed = load({"attempts": 5, "voices": None}, base=base)
    assert (changed.voices, changed.attempts, changed.rounds, changed.seed) == (4, 5, None, 0)


def test_tables_hold_an_engines_options(tmp_path):
    write(tmp_path / "chorus.toml", '[engine_options]\ndevice = "cpu"\nmax_batch = 4\n')
    assert load().engine_options == {"device": "cpu", "max_batch": 4}


def test_variables_that_are_empty_or_mean_something_else_are_passed_over(monkeypatch):
    monkeypatch.setenv("CHORUS_ROUNDS", "")
    monkeypatch.setenv("CHORUS_CACHE", "/somewhere")
    monkeypatch.setenv("CHORUS_HOME", "/somewhere")
    assert load() == Settings()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"rounds": 0}, r"^rounds \(arguments\): Input should be greater than or equal to 1, got 0$"),
        ({"rounds": 33}, r"^rounds \(arguments\): .*less than or equal to 32, got 33$"),
        ({"rounds": "many"}, r"^rounds \(arguments\): .*valid integer.*, got 'many'$"),
        ({"openness": 2}, r"^openness \(arguments\): .*got 2$"),
        ({"openness": float("nan")}, r"^openness \(arguments\): .*got nan$"),
        ({"mode": "shout"}, r"^mode \(arguments\): .*'debate', 'vote', 'inner' or 'solo', got 'shout'$"),
        ({"voices": 65}, r"^voices \(arguments\)"),
        ({"max_seconds": 0}, r"^max_seconds \(arguments\)"),
        ({"max_seconds": float("inf")}, r"^max_seconds \(arguments\)"),
        ({"seed": -1}, r"^seed \(arguments\)"),
        ({"engine": ""}, r"^engine \(arguments\)"),
        ({"roundz": 3}, r"^roundz \(arguments\): no such setting; did you mean rounds\?$"),
        ({"max-tokens": 3}, r"^max-tokens \(arguments\): no such setting; did you mean max_tokens"),
        ({"xyzzy": 3}, r"^xyzzy \(arguments\): no such setting$"),
    ],
)
def test_an_argument_that_does_not_fit_is_named_with_what_was_given(arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        load(arguments)


def test_a_message_never_repeats_a_long_value():
    with pytest.raises(ConfigError) as raised:
        load({"rounds": "9" * 100_000, "voices": 3})
    assert len(str(raised.value)) < 400


def test_a_fault_in_the_file_names_the_file(tmp_path):
    path = write(tmp_path / "mine.toml", "rounds = 99\n")
    with pytest.raises(ConfigError, match=r"^rounds \(.*mine\.toml\): .*got 99$"):
        load(file=path)
    write(path, "voicez = 2\n")
    with pytest.raises(ConfigError, match=r"^voicez \(.*mine\.toml\): no such setting; did you mean voices\?$"):
        load(file=path)


def test_a_fault_in_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("CHORUS_ROUNDS", "many")
    with pytest.raises(ConfigError, match=r"^rounds \(CHORUS_ROUNDS\): .*got 'many'$"):
        load()


@pytest.mark.parametrize(
    "text", ["rounds = = 3", "rounds = 1\nrounds = 2\n", "x = " + "[" * 5000, "rounds = \0"], ids=repr
)
def test_a_file_that_is_not_toml_is_named(tmp_path, text):
    with pytest.raises(ConfigError, match=r"can't read the settings in .*mine\.toml"):
        load(file=write(tmp_path / "mine.toml", text))


def test_a_file_that_cant_be_read_is_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"can't read the settings in .*gone\.toml: .*No such file"):
        load(file=tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="can't read the settings in"):
        load(file=tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'engine = "caf\xe9"')
    monkeypatch.setenv("CHORUS_CONFIG", "latin.toml")
    with pytest.raises(ConfigError, match=r"can't read the settings in latin\.toml"):
        load()
