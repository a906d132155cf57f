"""Whether a host is this machine, and nobody else can be reached by its name, or reach it."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address, also in brackets, is this machine's. By RFC 6761 all below `localhost` are."""
    host = host.lower().removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
