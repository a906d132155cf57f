"""What the tests of evaluations share."""

from __future__ import annotations

import gc
import warnings

import pytest


@pytest.fixture
def no_other_plugins(monkeypatch):
    """Keep Inspect from loading what other packages plug into it (some take half a minute), and clear up after it."""
    from inspect_ai._util import entrypoints

    import evals.registered  # noqa: F401 - found by its entry point otherwise

    monkeypatch.setattr(entrypoints, "_inspect_ai_eps_loaded_all", True)
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
