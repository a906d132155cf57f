"""From SPECs to engines, built in or brought by other distributions."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from chorus.engines.registry import engine_names, event_loop, open_engine, split_spec
from chorus.engines.virtual_time import VirtualTimeLoop
from chorus.errors import ConfigError, MissingExtra


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.yaml"
    path.write_text("default: {text: 'Answer: 56'}")
    return path


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that brings the engines `echo`, `broken`, and one that would replace `scripted`."""
    site = tmp_path / "site"
    info = site / "echo_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[chorus.engines]\necho = echo_engine:open\nbroken = echo_engine_missing:open\nscripted = echo_engine:open\n"
    )
    (site / "echo_engine.py").write_text(
        "from chorus.engines.scripted import ScriptedEngine\n"
        "async def open(rest, *, loud=False):\n"
        "    return ScriptedEngine(lambda request: rest, spec=f'echo:{rest}{loud}')\n"
    )
    monkeypatch.syspath_prepend(site)
    return site


async def test_a_spec_opens_its_engine(script: Path):
    engine = await open_engine(f"scripted:{script}")
    assert engine.info.spec == f"scripted:{script}"
    await engine.aclose()


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("hf:smollm2-135m", ("hf", "smollm2-135m")),
        ("openai:http://127.0.0.1:8000/v1#m:7b", ("openai", "http://127.0.0.1:8000/v1#m:7b")),
        (" scripted:a.yaml\n", ("scripted", "a.yaml")),
    ],
)
def test_a_spec_splits_at_its_first_colon(spec, parts):
    assert split_spec(spec) == parts


@pytest.mark.parametrize("spec", ["", "hf", "hf:", ":smollm2-135m"])
def test_a_spec_needs_both_halves(spec):
    with pytest.raises(ConfigError, match="write NAME:REST, for instance hf:smollm2-135m"):
        split_spec(spec)


def test_a_bare_url_is_told_what_it_lacks():
    with pytest.raises(ConfigError, match=r"write openai:http://127\.0\.0\.1:8000/v1"):
        split_spec("http://127.0.0.1:8000/v1")


async def test_an_unknown_engine_is_named_with_the_nearest_and_all_the_others():
    with pytest.raises(ConfigError) as refused:
        await open_engine("openia:http://127.0.0.1:8000/v1#secret")
    message = str(refused.value)
    assert "no engine 'openia'" in message
    assert "did you mean 'openai'?" in message
    for example in ("hf:smollm2-135m", "openai:http://127.0.0.1:8000/v1#MODEL", "scripted:FILE.yaml"):
        assert example in message
    assert "secret" not in message


async def test_an_unknown_option_is_named(script: Path):
    with pytest.raises(ConfigError, match="the engine 'scripted' has no option 'heat': it takes none"):
        await open_engine(f"scripted:{script}", heat=1)
    with pytest.raises(ConfigError, match="'openai' has no option 'timeout': it takes timeout_s, context_window"):
        await open_engine("openai:http://127.0.0.1:9/v1", timeout=3)


async def test_a_missing_dependency_names_the_install_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"the engine 'openai' needs .* pip install 'greek-chorus\[openai\]'"):
        await open_engine("openai:http://127.0.0.1:9/v1#m")


@pytest.mark.usefixtures("plugin")
async def test_other_distributions_bring_engines():
    assert "echo" in engine_names()
    engine = await open_engine("echo:hello", loud=True)
    assert engine.info.spec == "echo:helloTrue"
    await engine.aclose()


@pytest.mark.usefixtures("plugin")
async def test_other_distributions_cant_take_over_a_built_in_name(script: Path):
    assert engine_names().count("scripted") == 1
    engine = await open_engine(f"scripted:{script}")
    assert engine.info.spec == f"scripted:{script}"
    await engine.aclose()


@pytest.mark.usefixtures("plugin")
async def test_an_engine_that_cant_be_loaded_is_blamed_on_its_distribution():
    with pytest.raises(ConfigError, match="the engine 'broken' of echo-engine can't be loaded: No module named"):
        await open_engine("broken:x")


def test_the_built_in_engines_come_first():
    assert engine_names()[:4] == ("hf", "openai", "scripted", "vllm")


def test_naming_engines_imports_none_of_them():
    code = (
        "import sys; from chorus.engines.registry import engine_names; engine_names(); "
        "heavy = {'openai', 'torch', 'chorus.engines.scripted', 'chorus.engines.hf_local'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("clock", "virtual"), [("false", True), ("true", False)])
def test_a_script_says_which_clock_its_loop_has(tmp_path: Path, clock, virtual):
    path = tmp_path / "clock.yaml"
    path.write_text(f"real_time: {clock}")
    with asyncio.Runner(loop_factory=lambda: event_loop(f"scripted:{path}")) as runner:
        assert isinstance(runner.get_loop(), VirtualTimeLoop) is virtual
    with asyncio.Runner(loop_factory=lambda: event_loop("hf:smollm2-135m")) as runner:
        assert not isinstance(runner.get_loop(), VirtualTimeLoop)
