"""Which hosts are this machine."""

from __future__ import annotations

import pytest

from chorus.loopback import is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "chorus.localhost", "127.0.0.1", "127.0.0.2", "::1", "[::1]"]
)
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "notlocalhost", "127.0.0.1.example.com"],
)
def test_others(host):
    assert not is_loopback(host)
