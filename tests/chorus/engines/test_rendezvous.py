"""Where calls go: home, as long as there is room, and then to the next in the prefix's own ranking."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chorus import Chorus
from chorus.engines.base import Request
from chorus.engines.rendezvous import CALM, FACTOR, first_with_room, ranking, shared_prefix
from chorus.engines.scripted import ScriptedEngine
from chorus.types import Message

SERVERS = [f"http://10.0.0.{number}/v1" for number in range(5)]


TEMPLATE = "Answer the question below.\n\nRules: be exact."


def request(*said: tuple[str, str], debate: str = "") -> Request:
    return Request(tuple(Message(role=role, content=text) for role, text in said), debate=debate)


async def calls_of(question: str, layout: str) -> list[Request]:
    """All that a debate asks of its engine."""
    made = []

    def answer(request: Request) -> str:
        made.append(request)
        return "I count.\n\nAnswer: 56"

    async with Chorus(
        ScriptedEngine(answer), "skeptic,formalist", rounds=3, topology="complete", decision="judge", layout=layout
    ) as chorus:
        await chorus.aask(question)
    return made


async def test_all_turns_of_a_debate_have_one_prefix_and_questions_in_one_template_dont():
    debates = [await calls_of(f"{TEMPLATE}\n\nWhat is {number} * 8?", "shared") for number in range(40)]
    prefixes = [{shared_prefix(call) for call in calls} for calls in debates]
    assert all(len(calls) == 2 * 3 + 1 for calls in debates)
    assert all(len(shared) == 1 for shared in prefixes)
    assert len(set.union(*prefixes)) == 40
    homes = Counter(ranking(prefix, SERVERS)[0] for (prefix,) in prefixes)
    assert len(homes) == len(SERVERS)


async def test_a_seat_keeps_its_prefix_where_its_card_comes_first():
    calls = await calls_of(f"{TEMPLATE}\n\nWhat is 7 * 8?", "system")
    by_seat = {}
    for call in calls:
        by_seat.setdefault(call.id.partition(".")[2], set()).add(shared_prefix(call))
    assert {seat: len(shared) for seat, shared in by_seat.items()} == dict.fromkeys(by_seat, 1)
    assert len(set.union(*by_seat.values())) == len(by_seat) == 3


def test_one_name_of_many_debates_still_leaves_their_questions_apart():
    one, other = (request(("system", "Charter"), ("user", f"Poll {n}?\n\nA) Yes"), debate="poll") for n in range(2))
    assert shared_prefix(one) != shared_prefix(other)


def test_calls_of_no_debate_are_told_apart_by_all_that_is_asked():
    one, other = (request(("user", f"{TEMPLATE}\n\nWhat is {number} * 8?")) for number in range(2))
    assert shared_prefix(one) != shared_prefix(other)


def test_a_conversation_keeps_its_prefix_as_it_grows():
    begun = (("system", "Charter"), ("user", f"{TEMPLATE}\n\nHello"))
    again = (*begun, ("assistant", "Hi"), ("user", "Why?"))
    further = (*again, ("assistant", "So"), ("user", "And then?"))
    prefix = shared_prefix(request(*begun))
    assert prefix == shared_prefix(request(*again, debate="a")) == shared_prefix(request(*further, debate="b"))


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
