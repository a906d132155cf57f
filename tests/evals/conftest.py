"""What the tests of evaluations share."""

from __future__ import annotations

import pytest
from inspect_alone import without_other_plugins


@pytest.fixture
def no_other_plugins():
    with without_other_plugins():
        yield
