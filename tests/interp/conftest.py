"""What the tests of the laboratory share. They are left alone where its extra is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("transformer_lens") else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny models are faster on one thread, and their sums come out the same everywhere."""
    import torch

    torch.set_num_threads(1)
