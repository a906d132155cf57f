"""A vote may end early at a stated risk, and the risk is no larger than stated."""

import itertools

import pytest
from debates import SUM, after, engine, hold, plan
from hypothesis import given
from hypothesis import strategies as st

from chorus.debate.sequential import count_order, likely_settled, stops
from chorus.types import Position, Turn


def ever_stops(votes: tuple[float, ...], error: float) -> bool:
    return any(stops(votes[:counted], len(votes), error) for counted in range(len(votes) + 1))


def stops_after(votes: list[float], error: float) -> int:
    return next(counted for counted in range(len(votes) + 1) if stops(votes[:counted], len(votes), error))


@given(
    st.lists(st.sampled_from([-1.0, -0.7, -0.3, 0.0, 0.2, 0.5, 1.0]), min_size=1, max_size=6),
    st.sampled_from([0.3, 0.2, 0.1, 0.05]),
)
def test_it_is_wrong_no_more_often_than_stated(votes, error):
    """Over all orders in which the votes could have been counted; not an estimate."""
    if sum(votes) > 1e-9:
        return  # the candidate does win: stopping for it is right
    orders = list(itertools.permutations(votes))
    assert sum(ever_stops(order, error) for order in orders) <= error * len(orders) + 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_what_can_change_nothing_is_not_waited_for(votes):
    ahead = len(votes) + 0.5
    assert stops([], len(votes), 1e-9, ahead=ahead)


@pytest.mark.parametrize(("error", "counted"), [(1e-6, 9), (0.05, 6), (0.2, 4)])
def test_sixteen_voices_that_agree_need_not_all_be_heard(error, counted):
    assert stops_after([0.8] * 16, error) <= counted


def test_a_divided_vote_is_counted_to_the_end():
    votes = [0.8, -0.8] * 8
    assert not ever_stops(tuple(votes), 0.05)


def spoken(answers: dict[str, str], round_: int, confidence: float | None = 0.9) -> list[Turn]:
    return [
        Turn(
            id=f"{round_}.{seat}",
            round=round_,
            seat=seat,
            persona=seat,
            text=answer,
            position=Position(answer=answer, confidence=confidence),
        )
        for seat, answer in answers.items()
    ]


SEATS = [f"s{number:02}" for number in range(16)]


def settles(
    turns: list[Turn], name: str = "weighted", final_round: int = 1, error: float = 0.05, seed: int = 0
) -> bool:
    return likely_settled(name, SUM, "number", turns, SEATS, final_round, error=error, seed=seed)


class TestVotes:
    def test_only_an_unbroken_run_of_the_order_drawn_counts(self):
        """Nine quick voices that agree are no sample while one that was to be counted earlier still thinks."""
        runs = {settles(spoken(dict.fromkeys(SEATS[:8], "56"), 1), seed=seed) for seed in range(20)}
        assert runs == {False}
        assert settles(spoken(dict.fromkeys(SEATS, "56"), 1))

    def test_no_risk_no_early_end(self):
        assert not settles(spoken(dict.fromkeys(SEATS, "56"), 1), error=0.0)

    def test_a_vote_of_unknown_weight_stops_nothing(self):
        turns = spoken(dict.fromkeys(SEATS, "56"), 1, confidence=None)
        assert not settles(turns)
        assert settles(turns, "plurality")

    def test_only_the_leader_of_the_round_before_can_be_stopped_for(self):
        before = spoken(dict.fromkeys(SEATS, "54"), 1)
        assert not settles(before + spoken(dict.fromkeys(SEATS[:15], "56"), 2), final_round=2)
        assert settles(before + spoken(dict.fromkeys(SEATS, "54"), 2), final_round=2)

    def test_ranked_rules_hear_everybody(self):
        assert not settles(spoken(dict.fromkeys(SEATS, "56"), 1), "borda")


def test_a_debate_ends_at_the_risk_it_was_allowed_and_says_so():
    """Sixteen votes for one answer, one a second in the order of the count: seven are enough at 5%, nine to be sure."""
    seats = tuple(f"skeptic-{number}" for number in range(16))
    replies = {
        f"1.{seat}": after(place, "Answer: 56", confidence=1.0)
        for place, seat in enumerate(count_order(seats, seed=0), 1)
    }
    sure = plan("none", seats, rounds=1, mode="vote", decision="weighted")
    at_risk = sure.model_copy(update={"stop_error": 0.05})
    heard, cut_short = (hold(engine(replies), of, concurrency=16).answer for of in (sure, at_risk))
    assert heard.answer == cut_short.answer == "56"
    assert heard.usage.wall_s == 9
    assert cut_short.usage.wall_s < 7
    assert cut_short.notes == (
        "stopped early: wrong in at most 5% of debates (votes counted in an order drawn beforehand)",
    )
    assert {turn.reason for turn in cut_short.turns if turn.status == "cancelled"} == {
        "the outcome was unlikely to change"
    }
