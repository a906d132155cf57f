"""Where the store's tests keep debates."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    """An empty database, in each kind that is supported."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'debates.db'}"
    return request.getfixturevalue("postgres").database()
