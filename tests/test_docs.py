"""The documentation is executed: what its pages tell a reader to run, runs, and the site builds with every link in it."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from told import run, steps

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ON_THE_REAL_MODEL = {"start.md"}
WANTS = {"evaluate.md": ("inspect_ai", "reasoning_gym", "statsmodels")}
"""Packages beyond the test environment's."""

TOLD = [page for page in PAGES if list(steps(page.read_text("utf-8")))]


def hooks():
    """The module that fills pages; MkDocs loads it from its file, too."""
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=pytest.mark.model if page.name in ON_THE_REAL_MODEL else ())
        for page in TOLD
    ],
)
@pytest.mark.timeout(600)
def test_what_a_page_tells_to_run_runs(page, tmp_path):
    """All its blocks in order, each in the folder that the ones before it left."""
    for package in WANTS.get(page.name, ()):
        pytest.importorskip(package)
    ran = run(steps(page.read_text("utf-8")), tmp_path)
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"


def test_pages_that_say_so_are_there():
    assert {*ON_THE_REAL_MODEL, *WANTS} <= {page.name for page in TOLD}


def test_tables_are_the_results_own():
    """Every cell that a directive puts on a page stands in the file that it names."""
    made = hooks()
    asked = [
        found[2] for page in PAGES for found in made.DIRECTIVE.finditer(page.read_text("utf-8")) if found[1] == "table"
    ]
    assert len(asked) >= 10
    for wanted in asked:
        file = made.RESULTS / wanted.split("|")[0].strip().removesuffix("?")
        if wanted.startswith(f"{file.name}?") and not file.exists():
            assert "Not measured yet" in made.table(wanted)
            continue
        result = file.read_text("utf-8")
        table = [line for line in made.table(wanted).splitlines() if line.startswith("|") and "---" not in line]
        assert len(table) >= 2, wanted
        assert all(cell.strip() in result for line in table for cell in line.strip("| ").split(" | "))


def test_the_thresholds_are_those_of_the_code():
    from interp import verdicts

    assert verdicts.table() in hooks().filled((DOCS / "audit.md").read_text("utf-8"))


@pytest.mark.parametrize(
    "wanted", ["serving.md | No such heading", "serving.md | | no such column", "serving.md | | way | way=nobody"]
)
def test_a_table_that_is_not_there_stops_the_build(wanted):
    with pytest.raises(LookupError):
        hooks().table(wanted)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_site_builds_and_asks_nobody_else_for_anything(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    ran = run([f"cd '{ROOT}'", f"python -m mkdocs build --strict --quiet --site-dir '{tmp_path / 'site'}'"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//", re.I)
    for page in pages:
        text = page.read_text("utf-8")
        assert not loads.search(re.sub(r'<link rel="?canonical"?[^>]*>', "", text)), page
        assert "<!-- table" not in text, page
    api = (tmp_path / "site" / "api.html").read_text("utf-8")
    assert all(f'id="{name}"' in api for name in ("chorus.Chorus", "chorus.Chorus.ask", "chorus.types.Answer"))
    assert sys.prefix not in api
