"""Where a debate's time goes."""

import time

import pytest

from chorus.engines.base import Completion, Request
from chorus.types import Usage
from evals.bench import spans
from evals.bench.driving import Call
from evals.bench.holding import Held


def call(turn: str, began: float, ended: float) -> Call:
    return Call(Request((), id=turn), Completion("", "stop", Usage()), began, began, ended)


# 1.b is slower than 1.a, and 2.a waits for both; 2.b hears only itself.
CALLS = (call("1.a", 1.0, 3.0), call("1.b", 1.0, 4.0), call("2.b", 4.5, 6.0), call("2.a", 5.0, 8.0))
HEARD = {"1.a": (), "1.b": (), "2.a": ("1.a", "1.b"), "2.b": ("1.b",)}


def test_the_longest_path_ends_with_the_last_turn_and_runs_through_the_slowest_that_it_heard():
    assert [one.request.id for one in spans.longest_path(CALLS, HEARD)] == ["1.b", "2.a"]


def test_a_turn_that_was_never_spoken_is_not_waited_for():
    assert [one.request.id for one in spans.longest_path(CALLS[2:], HEARD)] == ["2.a"]


def test_the_seconds_along_the_path_add_up_to_the_debates():
    waited = 2.0 + 3.0 + 1.5 + 3.0
    counted = {"served_s": 0.9 * waited, "prefill_s": 0.3 * waited, "decode_s": 0.4 * waited}

    class Told(Held):
        heard = HEARD

    seconds = spans.along_the_path(Told(0.5, 8.25, (), CALLS, 4, counted), tokenizing_s=0.1)
    assert sum(seconds.values()) == pytest.approx(7.75)
    assert list(seconds.values()) == pytest.approx([0.5, 1.0, 0.25, 1.8, 2.4, 1.1, 0.1, 0.6])


def test_a_profile_says_whose_code_took_the_time():
    import networkx

    def work() -> None:
        time.sleep(0.05)
        networkx.relabel_nodes(networkx.path_graph(2000), str)

    seconds = spans.in_this_process(work)
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)
    assert seconds["ours: scheduling, decision, record"] > 0
    assert seconds[spans.OTHER] >= 0.04
