"""The notebooks run from top to bottom on tiny models, and are kept as they were written: without what came out."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

pytestmark = [pytest.mark.interp, pytest.mark.timeout(900)]

FOLDER = Path(__file__).parents[2] / "interp" / "notebooks"
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sorted(FOLDER.glob("*.ipynb"))}


def test_they_run(tmp_path, monkeypatch):
    """One after another in one kernel, which forgets all names in between: each of its own would load the libraries."""
    for name in set(os.environ) & {"CHORUS_NOTEBOOKS", "CHORUS_BAKED"}:
        monkeypatch.delenv(name)
    for name in ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = nbformat.v4.new_notebook()
    for notebook in NOTEBOOKS.values():
        whole.cells += [nbformat.v4.new_code_cell("%reset -f"), *deepcopy(notebook.cells)]
    nbclient.NotebookClient(whole, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    shown = [output for cell in whole.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "stream" and output.name == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 4
    assert sum("image/svg+xml" in output.get("data", {}) for output in shown) == 3


def test_there_are_five_and_none_keeps_what_came_out():
    assert [name[0] for name in NOTEBOOKS] == list("12345")
    for name, notebook in NOTEBOOKS.items():
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code), name
