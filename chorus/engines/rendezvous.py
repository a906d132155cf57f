"""Which of several servers a call goes to: the one where its prompt's beginning is likely to be cached, if it has room.

Every prefix ranks the servers by a hash of its own (rendezvous or highest-random-weight hashing, Thaler and Ravishankar,
IEEE/ACM Transactions on Networking 6(1), 1998): whoever hashes it finds the same home, and a server that goes or comes
moves only the prefixes that are at home there. A server is full at `FACTOR` times the mean load, and a call that finds
its home full goes to the next in its own ranking that is not (consistent hashing with bounded loads, Mirrokni, Thorup
and Zadimoghaddam, arXiv:1608.01350). Going to the next rather than to the idlest keeps what spills over together, so
that it finds its prefix there too. Below `CALM` calls no server is called full: where there is room for everybody,
sharing a prefix is worth more than an even load.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from chorus.engines.base import Request

FACTOR = 1.25
"""A server takes at most this many times the mean number of calls in flight."""

CALM = 8
"""Calls in flight that any server may have."""


def shared_prefix(request: Request) -> str:
    """Return what the calls of a debate begin with: the system messages, and the first paragraph that a user says.

    In the `shared` layout that is charter, cast and question, the same for every seat and round; in the `system` layout
    it is one seat's own. Later messages of a conversation don't change it.
    """
    parts = []
    for message in request.messages:
        parts.append(message.content)
        if message.role == "user":
            parts[-1] = message.content.partition("\n\n")[0]
            break
    return "\0".join(parts)


def ranking(prefix: str, servers: Sequence[str]) -> list[int]:
    """Return the servers' positions, the prefix's home first."""
    key = prefix.encode("utf-8", "surrogatepass")
    scores = [hashlib.blake2b(server.encode() + b"\0" + key, digest_size=8).digest() for server in servers]
    return sorted(range(len(servers)), key=lambda index: scores[index], reverse=True)


def first_with_room(ranked: Sequence[int], loads: Sequence[int]) -> int:
    """Return the first of some servers that has room for one call more. There always is one.

    Args:
        ranked: positions of the servers that may be chosen, the best first; not empty.
        loads: calls in flight, by position.
    """
    full = max(CALM, math.ceil(FACTOR * (sum(loads[index] for index in ranked) + 1) / len(ranked)))
    return next(index for index in ranked if loads[index] < full)
