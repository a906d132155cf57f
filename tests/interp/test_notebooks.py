"""The notebooks run from top to bottom on tiny models, and are kept as they were written: without what came out."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
manager = pytest.importorskip("jupyter_client.manager")

pytestmark = [pytest.mark.interp, pytest.mark.timeout(300)]

FOLDER = Path(__file__).parents[2] / "interp" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for all, since each would load the libraries for itself; names are forgotten in between."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CHORUS_NOTEBOOKS", "CHORUS_BAKED"):
            patch.delenv(name, raising=False)
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        started = manager.KernelManager()
        started.start_kernel(cwd=str(FOLDER))
        yield started
        started.shutdown_kernel(now=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    nbclient.NotebookClient(notebook, km=kernel, timeout=120).execute()


def test_there_are_five_and_none_keeps_what_came_out():
    assert [path.stem[0] for path in NOTEBOOKS] == list("12345")
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None), path
