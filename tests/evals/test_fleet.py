"""What a second endpoint is worth: a rate that no endpoint could hold is no measurement."""

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from evals.bench import fleet
from evals.bench.simulated import call_s, calls_of, serve


def test_a_rate_stands_beside_what_the_endpoints_have_room_for():
    one = fleet.rated(30, 10.0, calls=180, endpoints=1)
    assert one == pytest.approx((3.0, 8 / 0.41 / 6, 6.0))
    assert fleet.rated(60, 10.0, calls=360, endpoints=2).most == pytest.approx(2 * one.most)


@pytest.mark.parametrize(("endpoints", "debates"), [(1, 33), (2, 66)])
def test_a_rate_above_it_is_refused(endpoints, debates):
    with pytest.raises(
        RuntimeError, match=f"where {endpoints} endpoints have room for .*: the clock or the count is wrong"
    ):
        fleet.rated(debates, 10.0, calls=6 * debates, endpoints=endpoints)


def test_an_endpoint_holds_no_more_than_its_slots_and_tells_since_when():
    with serve(2, 0.05, 0.01) as url:
        assert calls_of(url) == (0, 0.0)

        def call() -> bytes:
            with urllib.request.urlopen(f"{url}/chat/completions", b"{}") as response:
                return response.read()

        began = time.monotonic()
        with ThreadPoolExecutor(6) as crowd:
            said = [future.result() for future in [crowd.submit(call) for _ in range(6)]]
        seconds = time.monotonic() - began
        number, since_s = calls_of(url)
    assert all(b"fifty" in one and one.rstrip().endswith(b"[DONE]") for one in said)
    assert number == 6
    assert 3 * call_s(0.05, 0.01) <= seconds
    assert 3 * call_s(0.05, 0.01) <= since_s <= time.monotonic() - began
