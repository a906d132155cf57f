"""Inspect without what other packages plug into it: some of them take half a minute to load."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def without_other_plugins() -> Iterator[None]:
    """Keep Inspect to ours, and clear up after it: what it opened it leaves to the garbage collector."""
    from inspect_ai._util import entrypoints

    import evals.registered  # noqa: F401 - found by its entry point otherwise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entrypoints, "_inspect_ai_eps_loaded_all", True)
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
