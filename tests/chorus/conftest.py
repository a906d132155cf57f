"""What the tests of this folder share. Being here makes `debates` importable from the folders below."""

from __future__ import annotations

import os

import pytest
from postgres import Cluster, programs


@pytest.fixture
def bare_place(monkeypatch, tmp_path):
    """Run in an empty folder, without settings in the environment."""
    for name in [name for name in os.environ if name.startswith("CHORUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def postgres():
    """A running PostgreSQL of the tests' own."""
    pytest.importorskip("psycopg")
    if not (where := programs()):
        pytest.skip("PostgreSQL is not installed")
    cluster = Cluster(where)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()
