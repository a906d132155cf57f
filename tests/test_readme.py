"""The README is executed: its tree is the tree, as is that of `docs/house.md`, and what it tells a reader to run, runs.

Every option that it or the documentation names exists, and its links lead somewhere.
"""

import re
from pathlib import Path

import click
import pytest
from told import blocks, commands, run, section, steps

from chorus.cli import chorus

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PACKAGES = ("chorus", "personas", "interp", "evals")
OF_OTHERS = {"--address", "--check", "--data-parallel-size", "--head", "--help", "--log-dir", "--no-deps"}
"""Options in our texts of commands that are not `chorus`: pip, Ray, vLLM, Inspect, our benchmarks."""


def tree(text):
    """The paths that a tree names by its indentation; those of folders end in a slash."""
    paths, parents = set(), []
    for line in blocks(text, "")[0][1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents[depth:] = [name]
        paths.add("".join(parents))
    return paths


def test_the_tree_names_every_folder_of_code_and_none_that_is_not_there():
    named = tree(section(README, "The tree"))
    assert [name for name in named if not name.endswith("/") or not (ROOT / name).is_dir()] == []
    code = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    assert {f"{path.relative_to(ROOT)}/" for path in code} <= named


def test_the_house_names_every_file_and_no_other():
    bare = {"__init__.py"}  # packages whose line is that of their folder
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in bare
    }
    named = {path for path in tree((ROOT / "docs" / "house.md").read_text("utf-8")) if path.endswith(".py")}
    assert {path for path in named if path.rsplit("/", 1)[1] not in bare} == files


def options(command, name="chorus"):
    """What `chorus` and all commands under it take, written as on a command line."""
    context = click.Context(command, info_name=name)
    yield from (said for option in command.params for said in (*option.opts, *option.secondary_opts))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from options(command.get_command(context, name), name)


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_its_links_lead_somewhere(page):
    """Files, and the headings in them. What lies elsewhere can't be looked at offline."""
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text("utf-8")):
        if link.startswith("http"):
            continue
        name, _, heading = link.partition("#")
        file = ROOT / (name or page)
        assert file.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, link


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem
)
def test_every_option_that_it_names_exists(page):
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text("utf-8")))
    assert told - OF_OTHERS - set(options(chorus)) == set()


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
