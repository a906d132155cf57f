"""Where calls go: home, as long as there is room, and then to the next in the prefix's own ranking."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chorus.engines.base import Request
from chorus.engines.rendezvous import CALM, FACTOR, first_with_room, ranking, shared_prefix
from chorus.types import Message

SERVERS = [f"http://10.0.0.{number}/v1" for number in range(5)]


def request(*said: tuple[str, str]) -> Request:
    return Request(tuple(Message(role=role, content=text) for role, text in said))


def test_the_seats_of_a_debate_have_one_prefix():
    one = request(("system", "Charter"), ("user", "Question: 7 * 8?\n\nYou are the skeptic.\n\nSpeak."))
    other = request(("system", "Charter"), ("user", "Question: 7 * 8?\n\n[1.skeptic]\n> 56\n\nYou are the tester."))
    elsewhere = request(("system", "Charter"), ("user", "Question: 7 * 9?\n\nYou are the skeptic.\n\nSpeak."))
    assert shared_prefix(one) == shared_prefix(other) != shared_prefix(elsewhere)


def test_a_conversation_keeps_its_prefix_as_it_grows():
    begun = (("system", "Charter"), ("user", "Hello"))
    assert shared_prefix(request(*begun)) == shared_prefix(request(*begun, ("assistant", "Hi"), ("user", "Why?")))


def test_homes_are_spread_evenly():
    homes = Counter(ranking(f"question {number}", SERVERS)[0] for number in range(5000))
    assert all(850 < homes[index] < 1150 for index in range(5))


@given(st.text(), st.integers(0, 4))
def test_a_server_that_goes_moves_only_those_at_home_there(prefix, gone):
    before = [SERVERS[index] for index in ranking(prefix, SERVERS)]
    left = [server for server in SERVERS if server != SERVERS[gone]]
    after = [left[index] for index in ranking(prefix, left)]
    assert after == [server for server in before if server != SERVERS[gone]]


@given(st.permutations(range(5)), st.lists(st.integers(0, 100), min_size=5, max_size=5), st.integers(1, 5))
def test_the_first_with_room_is_taken_and_there_always_is_one(order, loads, there):
    ranked = order[:there]
    chosen = first_with_room(ranked, loads)
    mean = (sum(loads[index] for index in ranked) + 1) / there
    assert loads[chosen] + 1 <= max(CALM, FACTOR * mean + 1)
    assert all(loads[index] >= max(CALM, FACTOR * mean) for index in ranked[: ranked.index(chosen)])


def test_home_it_is_while_all_is_calm():
    assert first_with_room([2, 0, 1], [0, 0, CALM - 1]) == 2
    assert first_with_room([2, 0, 1], [0, 0, CALM]) == 0
