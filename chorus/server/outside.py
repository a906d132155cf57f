"""Connections to the world outside, and to nothing on the server's own networks.

Somebody who may name a URL, or who holds the name in it, could otherwise have the server speak to what only it can
reach: itself, its neighbours, the cloud's metadata service. What counts is the address that is connected to, so a name
is looked up here, and the connection made to one of the addresses that were checked, never to the name once more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

import httpcore

_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""IPv4 addresses as IPv6 networks reach them (RFC 6052), and as they once did (RFC 4291, 2.5.5.1)."""

_LOCAL = (ipaddress.ip_network("64:ff9b:1::/48"), ipaddress.ip_network("192.0.0.0/24"))
"""A site's own translation (RFC 8215) and the protocols' own addresses (RFC 6890), which some Pythons call global."""


class NotPublic(httpcore.ConnectError):
    """A name leads to no public address."""


class Outside(httpcore.AsyncNetworkBackend):
    """Connects to public addresses. `allow_private` takes all of them."""

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._connects = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that answers. Raises httpcore.ConnectError, and ConnectTimeout."""
        failure: httpcore.ConnectError = NotPublic(f"{host} is not on the public internet")
        for address in await _addresses(host, port):
            if not (self._allow_private or is_public(address)):
                continue
            try:
                return await self._connects.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet's, and stands for no other that isn't."""
    found = ipaddress.ip_address(address)
    if any(found in network for network in _LOCAL):
        return False
    if isinstance(found, IPv6Address):
        if found.is_site_local:
            return False
        if inner := _within(found):
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


async def _addresses(host: str, port: int) -> list[str]:
    """Look a host up."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} can't be looked up: {error}") from error
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def _within(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address is another way to."""
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
