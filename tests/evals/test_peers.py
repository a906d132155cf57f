"""The table of peers is made anew from what was measured: same rows, same verdicts."""

import json
from argparse import Namespace

import pytest

from evals import report
from evals.bench.peers.__main__ import kept
from evals.bench.peers.table import verdicts, write


def test_the_stored_cells_give_the_table_that_is_published(tmp_path):
    pytest.importorskip("matplotlib")
    settings = json.loads((report.RESULTS / "peers.json").read_text("utf-8"))["data"]["settings"]
    cells = kept(Namespace(folder=report.RESULTS, anew=False, **settings))
    assert len(cells) > 5
    made = write(cells, Namespace(folder=tmp_path, **settings)).read_text("utf-8")
    published = (report.RESULTS / "peers.md").read_text("utf-8")
    rows = [line for line in made.splitlines() if line.startswith("|")]
    assert rows == [line for line in published.splitlines() if line.startswith("|")]
    assert all(f"- {told}\n" in published for told in verdicts(cells))


def test_cells_of_other_settings_are_not_gone_on_with():
    settings = json.loads((report.RESULTS / "peers.json").read_text("utf-8"))["data"]["settings"]
    assert kept(Namespace(folder=report.RESULTS, anew=False, **settings | {"max_tokens": 1})) == []
    assert kept(Namespace(folder=report.RESULTS, anew=True, **settings)) == []
