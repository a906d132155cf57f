"""Which order of a transcript shares most, counted by a prefix cache played over real prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import counting_server, letters

from chorus.debate.floor import Floor
from chorus.debate.prompts import Prompt
from evals.bench.prefix_order import TOPOLOGIES, computed_tokens, count, debate, parts, prompts, savings, sent
from evals.bench.transcript_orders import ORDERS, by_round, shared_first
from evals.bench.ways import ROUNDS, SEATS

PROMPTS = st.lists(st.lists(st.integers(0, 2), max_size=40), max_size=6)


def test_whole_blocks_of_earlier_prompts_are_not_computed_again():
    assert computed_tokens([[1, 2, 3, 4, 5]], 2) == 5
    assert computed_tokens([[1, 2, 3, 4, 5], [1, 2, 3, 4, 9]], 2) == 5 + 1
    assert computed_tokens([[1, 2, 3, 4, 5], [1, 2, 3, 9, 5]], 2) == 5 + 3  # a block counts only whole
    assert computed_tokens([[1, 2, 3, 4], [9, 9, 3, 4]], 2) == 4 + 4  # and only behind the same beginning


def test_the_last_token_of_a_prompt_is_always_computed():
    assert computed_tokens([[1, 2, 3, 4]] * 2, 2) == 4 + 2


@given(PROMPTS, st.integers(1, 8))
def test_no_fewer_than_one_token_a_prompt_and_no_more_than_all_are_computed(several, block):
    computed = computed_tokens(several, block)
    assert sum(1 for one in several if one) <= computed <= sum(map(len, several))
    assert computed_tokens(several * 2, block) <= 2 * computed


@given(PROMPTS)
def test_smaller_blocks_share_no_less(several):
    assert computed_tokens(several, 2) <= computed_tokens(several, 4) <= computed_tokens(several, 8)


@pytest.fixture(scope="module", params=["regular:d=2", "ring", "star", "complete"])
def held(request):
    return debate(request.param, 12, 0)


@pytest.mark.parametrize("name", ORDERS)
def test_every_order_shows_the_same_turns(held, name):
    floor = Floor(held.plan, held.question)
    for turn in held.turns:
        floor.add(turn)
    for turn in held.turns:
        heard = floor.heard((turn.round, turn.seat))
        assert sorted(map(id, ORDERS[name](heard, held.plan, turn.seat))) == sorted(map(id, heard))


@pytest.mark.parametrize("order", [by_round, shared_first])
def test_what_a_seat_has_read_grows_only_at_its_end(held, order):
    floor = Floor(held.plan, held.question)
    for turn in held.turns:
        floor.add(turn)
    for seat in SEATS:
        read = [order(floor.heard((number, seat)), held.plan, seat) for number in range(1, ROUNDS + 1)]
        assert [one.turn.id for one in read[2]][: len(read[1])] == [one.turn.id for one in read[1]]


def test_shared_beginnings_put_the_speaker_first_whom_most_hear():
    star = debate("star", 12, 0)
    floor = Floor(star.plan, star.question)
    for turn in star.turns:
        floor.add(turn)
    firsts = {shared_first(floor.heard((2, seat)), star.plan, seat)[0].turn.seat for seat in SEATS}
    assert firsts == {SEATS[0]}


def test_the_chorus_own_order_is_the_first_row_of_every_graph_and_never_far_from_the_best():
    rows = list(count(12, 0, letters, None))
    assert len(rows) == len(TOPOLOGIES) * (len(ORDERS) + 1)
    for topology in TOPOLOGIES:
        computed = {row[1]: row[3] for row in rows if row[0] == topology and row[1] in ORDERS}
        assert next(iter(computed)) == "by round, then seat (ours)"
        assert computed["by round, then seat (ours)"] <= 1.05 * min(computed.values())
    assert savings(rows).count(";") == len(TOPOLOGIES) - 1


def test_the_parts_of_what_is_computed_add_up():
    encoded = [letters([{"content": message.content} for message in prompt.messages]) for prompt in written()]
    told = parts(encoded, 16)
    assert sum(told.values()) == computed_tokens(encoded, 16)
    assert min(told.values()) >= 0
    (charter, *_), *_ = (prompt.messages for prompt in written())
    assert told["charter, cards, question"] >= len(charter.content) // 4


def written() -> list[Prompt]:
    return prompts(debate("complete", 12, 0), by_round)


def test_prompts_go_to_the_server_round_by_round():
    with counting_server() as server:
        words = sent(server, written())
        chats = server.fake.chats
    assert server.resets == 1
    assert len(chats) == len(written()) == 15
    assert words == sum(len(message.content.split()) for prompt in written() for message in prompt.messages)
    first = {prompt.messages[-1].content for prompt in written()[:5]}
    assert {chat["messages"][-1]["content"] for chat in chats[:5]} == first
