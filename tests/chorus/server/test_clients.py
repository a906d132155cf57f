"""Other people's clients, unchanged, against a running server: on a script in full, and once on the real model.

Their environments are made by `.ci/clients` in the folder that CHORUS_CLIENTS names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import SCRIPT, serving

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

PROGRAMS = Path(__file__).with_name("clients")
HOMES = Path(os.environ.get("CHORUS_CLIENTS", "none"))


def command(name: str, folder: Path) -> list[str]:
    """Return what runs a client, in its own environment."""
    if name == "openai_python":
        return [sys.executable, str(PROGRAMS / "openai_python.py")]
    if name in ("openai_node", "ai_sdk"):
        # Node looks for packages beside the program.
        copy = HOMES / "node" / f"{name}.mjs"
        copy.write_text((PROGRAMS / f"{name}.mjs").read_text())
        return ["node", str(copy)]
    package = {"litellm_client": "litellm", "langchain_client": "langchain-openai", "inspect_client": "inspect-ai"}[
        name
    ]
    return [str(HOMES / package / "bin" / "python"), str(PROGRAMS / f"{name}.py")]


CLIENTS = ("openai_python", "openai_node", "litellm_client", "langchain_client", "ai_sdk", "inspect_client")


CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Athens"}}</tool_call>'
WITH_TOOLS = {
    **SCRIPT,
    "turns": [
        {"turn": "*.spokesperson", "contains": "sunny", "text": "It is sunny in Athens."},
        {"turn": "*.spokesperson", "text": CALL},
        *SCRIPT["turns"],
    ],
}


def seen_by(name: str, base: str, folder: Path, *options: str) -> dict:
    """Run a client and return what it saw."""
    plain = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    line = [*command(name, folder), base, "chorus", *options]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=240, env=plain, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("clients"), script=WITH_TOOLS) as server:
        yield server


@pytest.mark.parametrize("name", CLIENTS)
def test_chat_stream_usage_errors_tools_and_reasoning(name, scripted, tmp_path):
    seen = seen_by(name, scripted.base, tmp_path, "tools")
    assert seen["content"] == "56"
    assert seen["usage"] is True
    assert seen["error"]["status"] in (400, 404)
    if "streamed" in seen:
        assert seen["streamed"] == "56"
        assert seen["streamed_usage"] is True
        assert seen["chunks"] > 10
    assert seen["tool"] == {"name": "weather", "arguments": {"city": "Athens"}}
    assert seen["after_tool"] == "It is sunny in Athens."
    assert name == "langchain_client" or "reasoning" in seen, "LangChain's client for OpenAI leaves it out"
    if "reasoning" in seen:
        assert "[formalist, round 1] 70 less 14" in seen["reasoning"]
    if name.startswith("openai"):
        response = seen["response"]
        assert (response["text"], response["streamed"], response["kept"]) == ("56", "56", True)
        assert response["debate"].startswith("[")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    pytest.importorskip("torch")
    with serving(tmp_path_factory.mktemp("real"), "--max-tokens", "24", engine="hf:smollm2-135m") as server:
        yield server


@pytest.mark.parametrize("name", CLIENTS)
def test_on_the_real_model(name, real, tmp_path):
    seen = seen_by(name, real.base, tmp_path)
    assert seen["content"].strip()
    assert seen["usage"] is True
