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
    """Return what stands for the prefix that the calls of one debate share, and other debates don't.

    That is the system messages (charter and cast in the `shared` layout, one seat's own in the `system` layout), the
    debate, and the first paragraph of its prompts, where the question begins: the paragraph alone may be a template that
    a thousand questions have in common. A conversation is told by its first message, which later ones don't change, and
    so is a call that belongs to no debate.
    """
    parts: list[str] = []
    for message in request.messages:
        if message.role == "user":
            opening = message is request.messages[-1]
            in_debate = opening and request.debate
            parts += [request.debate, message.content.partition("\n\n")[0]] if in_debate else [message.content]
            break
        parts.append(message.content)
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
