"""Where the time of a debate goes: in the engine, in tokenizing, on the wire, or in our own code.

Two ways of looking, of two runs of one debate:

- **the longest path**, by time stamps alone, which cost nothing: from the last turn back to the turn that it waited for,
  and so on. What lies between the end of one call and the beginning of the next is ours; of a call the server accounts
  for the engine's part (prefill, decode, and waiting while it computes for others), and the rest is HTTP and the client.
  Tokenizing is measured apart, on the same prompts, and taken off the waiting;
- **this process**, by cProfile: seconds of each function itself, summed by whose code it is. Profiling slows Python
  down, so these seconds are more than an ordinary run has; it shows where they are, not how many.
"""

from __future__ import annotations

import cProfile
import itertools
import pstats
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evals.bench.driving import Call
from evals.bench.holding import Held

OTHER = "Python's own libraries (asyncio, json, ssl …)"
OWNERS = {
    "select.epoll": "waiting for the engine",
    "select.kqueue": "waiting for the engine",
    "chorus/debate/grad": "ours: finding and comparing answers",
    "sympy": "ours: finding and comparing answers",
    "math_verify": "ours: finding and comparing answers",
    "chorus/debate/prompts": "ours: writing prompts",
    "chorus/debate": "ours: scheduling, decision, record",
    "chorus/record": "ours: scheduling, decision, record",
    "chorus/types": "ours: scheduling, decision, record",
    "chorus/route": "ours: scheduling, decision, record",
    "chorus/chorus": "ours: scheduling, decision, record",
    "networkx": "ours: scheduling, decision, record",
    "chorus/engines": "ours: the engine's client",
    "evals/bench": "this benchmark",
    "openai": "the SDK and HTTP client",
    "httpx": "the SDK and HTTP client",
    "httpcore": "the SDK and HTTP client",
    "h11": "the SDK and HTTP client",
    "anyio": "the SDK and HTTP client",
    "pydantic": "pydantic",
}
"""Part of a file's or function's name -> whose time it is; the first that fits."""


def longest_path(calls: Sequence[Call], heard: Mapping[str, Sequence[str]]) -> list[Call]:
    """Return the calls of one debate that each waited for the one before, up to the call that ended last.

    Args:
        calls: of one debate, answered.
        heard: turn id -> the turns that it waits for.
    """
    by_turn = {call.request.id: call for call in calls}
    path = [max(calls, key=lambda call: call.ended)]
    while waited := [by_turn[turn] for turn in heard.get(path[0].request.id, ()) if turn in by_turn]:
        path.insert(0, max(waited, key=lambda call: call.ended))
    return path


def along_the_path(held: Held, tokenizing_s: float) -> dict[str, float]:
    """Return the seconds of one debate's wall time by where they went; they add up to it.

    The server's seconds are its means over all calls of the debate, as it doesn't say which call took which.

    Args:
        held: one debate.
        tokenizing_s: see `tokenizing`.
    """
    path = longest_path(held.calls, held.heard)
    calls = sum(call.ended - call.began for call in path)
    between = sum(after.began - before.ended for before, after in itertools.pairwise(path))
    # Of all seconds that callers waited, the server accounts for these shares.
    waited = sum(call.ended - call.began for call in held.calls)
    served, prefill, decode = (held.counted[f"{name}_s"] / waited * calls for name in ("served", "prefill", "decode"))
    return {
        "ours: before the first call (routing, first prompts)": path[0].began - held.began,
        "ours: between calls (answer found, next prompt written)": between,
        "ours: after the last call (decision, record)": held.ended - path[-1].ended,
        "engine: reading prompts": prefill,
        "engine: writing": decode,
        "engine: waiting for its turn there": served - prefill - decode - tokenizing_s,
        "tokenizing": tokenizing_s,
        "HTTP, the server's front and the client": calls - served,
    }


def tokenizing(held: Held, encode: Callable[[list[dict[str, str]]], object]) -> float:
    """Return the seconds that tokenizing the prompts of the longest path takes, measured apart.

    Args:
        held: one debate.
        encode: takes chat messages, as the server's tokenizer does.
    """
    prompts = [
        [{"role": message.role, "content": message.content} for message in call.request.messages]
        for call in longest_path(held.calls, held.heard)
    ]
    return sum(_seconds(encode, prompt) for prompt in prompts)


def in_this_process(work: Callable[[], object]) -> dict[str, float]:
    """Run it under cProfile and return the seconds by whose code they were spent in, most first."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        work()
    finally:
        profiler.disable()
    shares: dict[str, float] = {}
    stats: Any = pstats.Stats(profiler)
    for (file, _, name), (_, _, own, _, _) in stats.stats.items():
        owner = next((owner for mark, owner in OWNERS.items() if mark in file or mark in name), OTHER)
        shares[owner] = shares.get(owner, 0.0) + own
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _seconds(encode: Callable[[list[dict[str, str]]], object], prompt: list[dict[str, str]]) -> float:
    """Return how long a prompt takes to be tokenized, the median of five times."""
    taken = []
    for _ in range(5):
        before = time.perf_counter()
        encode(prompt)
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)
