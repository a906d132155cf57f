"""Suites: what is read of them, and what is wrong with them."""

from __future__ import annotations

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("reasoning_gym")

from chorus.errors import ConfigError
from evals import suite

HEAD = 'name = "mine"\nengine = "scripted:a.yaml"\nsplit = "dev"\ntasks = ["capitals"]\n'


def loaded(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return suite.load(path)


@pytest.mark.parametrize("name", suite.built_in())
def test_built_in_suites_are_sound(name):
    assert suite.load(name).name == name


def test_a_system_is_a_name_a_solver_and_all_that_the_solver_takes(tmp_path):
    one = loaded(
        tmp_path, HEAD + '[settings]\nmax_tokens = 9\n[[system]]\nname = "a"\nsolver = "best_of_n"\nn = 3\nseeds = [7]'
    )
    (system,) = one.system
    assert system.seeds == (7,)
    assert one.settings_of(system, 7) == {"engine": "scripted:a.yaml", "max_tokens": 9, "n": 3, "seed": 7}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "mine.toml is not TOML"),
        (HEAD, "system: Field required"),
        (
            HEAD.replace('"dev"', '"train-set"') + '[[system]]\nname = "a"',
            "split: Input should be 'train', 'dev' or 'test'",
        ),
        (HEAD + 'tusks = 1\n[[system]]\nname = "a"', "tusks: Extra inputs are not permitted"),
        (HEAD + '[[system]]\nname = "a"\nsolver = "best-of-m"', "no solver 'best-of-m'; did you mean best_of_n"),
        (HEAD + '[[system]]\nname = "a"\nronds = 2', "system 'a': ronds .* did you mean rounds"),
        (HEAD + '[[system]]\nname = "a"\nsolver = "baked"\nk = 2', "system 'a': k "),
        (HEAD + '[[system]]\nname = "a"\n[[system]]\nname = "a"', "two systems are named 'a'"),
        (HEAD + '[[system]]\nname = "a"\nseed = 3', "leave `seed` out"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, fault):
    with pytest.raises(ConfigError, match=fault):
        loaded(tmp_path, text)


def test_a_suite_that_isnt_there():
    with pytest.raises(ConfigError, match="there is no suite quik: did you mean 'quick'"):
        suite.load("quik")
    with pytest.raises(ConfigError, match=r"can.t read the suite nowhere\.toml"):
        suite.load("nowhere.toml")


def test_narrowed_to_what_a_command_line_asks_for(tmp_path):
    one = loaded(tmp_path, HEAD + '[[system]]\nname = "a"\nseeds = [1, 2]\n[[system]]\nname = "b"')
    less = one.narrowed(systems=["a"], seeds=[5], questions=3, engine="scripted:b.yaml")
    assert [system.name for system in less.system] == ["a"]
    assert (less.system[0].seeds, less.seeds, less.questions, less.engine) == (None, (5,), 3, "scripted:b.yaml")
    with pytest.raises(ConfigError, match="has no system 'c'; it has a, b"):
        one.narrowed(systems=["c"])
