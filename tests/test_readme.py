"""The README is executed: its tree is the tree, and what it tells a reader to run, runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from told import blocks, commands, run, section, steps

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PACKAGES = ("chorus", "personas", "interp", "evals")


def tree():
    """The paths that the README's tree names, in the indentation of a tree."""
    paths, parents = set(), []
    for line in blocks(section(README, "The tree"), "")[0][1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents[depth:] = [name.rstrip("/")]
        if name.endswith(".py"):
            paths.add("/".join(parents))
    return paths


def test_the_tree_names_every_file_and_no_other():
    bare = {"__init__.py"}  # packages whose line is that of their folder
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in bare
    }
    assert {path for path in tree() if path.rsplit("/", 1)[1] not in bare} == files


def test_every_option_that_it_names_exists():
    shown = "".join(
        subprocess.run(
            [sys.executable, "-m", "chorus", *command.split(), "--help"], capture_output=True, text=True, check=True
        ).stdout
        for command in ("ask", "debate", "serve", "store prune", "distill run", "eval run", "audit")
    )
    others = {"--data-parallel-size", "--no-deps", "--check", "--help", "--id", "--log-dir"}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - others
    assert told
    assert {option for option in told if option not in shown} == set()


@pytest.mark.model
@pytest.mark.timeout(900)
def test_what_it_tells_to_run_runs(tmp_path):
    """In the order of the README, each command in the folder that the ones before it left."""
    told = [
        # The first two install; .ci/run takes them, in environments of their own.
        *commands(section(README, "Two commands"))[2:],
        *commands(section(README, "What to do with a debate")),
        *commands(section(README, "Your own persona")),
        *commands(section(README, "Many questions")),
    ]
    assert len(told) >= 10
    ran = run(told, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "<svg" in (tmp_path / "graph.svg").read_text("utf-8")
    assert "[1.gardener]" in ran.stdout
    assert len((tmp_path / "records.jsonl").read_text("utf-8").splitlines()) == 1


@pytest.mark.model
@pytest.mark.timeout(300)
def test_its_python_runs(tmp_path):
    ran = run(steps(section(README, "From Python")), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "1.skeptic" in ran.stdout
