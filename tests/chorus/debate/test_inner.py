"""The inner chorus: what one model wrote for all voices, taken apart, whatever it wrote."""

from __future__ import annotations

import pytest
from debates import ESSAY, SEATS, after, cast, engine, fails, hold, plan
from hypothesis import given
from hypothesis import strategies as st

from chorus.debate.inner import MAX_VOICES, voices
from chorus.record import events, jsonl

INNER = plan("none", mode="inner", decision="judge")

TALK = """\
Let us hear them.

The Skeptic: I doubt it is 54. Answer: 54
The Estimator: Between 50 and 60.
It is near 56. Answer: 56

The Skeptic: You are right. Answer: 56
The Formalist: 7 * 8 = 56.

Answer: 56
"""


def apart(text, of=INNER):
    return [(f"{voice.round}.{voice.seat.seat}", voice.text) for voice in voices(text, of, cast(of))]


# ---- taking it apart ---------------------------------------------------------------------------------------------


def test_each_voice_gets_its_turns_in_order_and_nobody_the_closing_answer():
    assert apart(TALK) == [
        ("1.skeptic", "I doubt it is 54. Answer: 54"),
        ("1.estimator", "Between 50 and 60.\nIt is near 56. Answer: 56"),
        ("2.skeptic", "You are right. Answer: 56"),
        ("1.formalist", "7 * 8 = 56."),
    ]


@pytest.mark.parametrize(
    "opening",
    [
        "The Skeptic:",
        "the skeptic :",
        "THE SKEPTIC:",
        "Skeptic:",
        "skeptic：",
        "**The Skeptic:**",
        "**The Skeptic**:",
        "**The Skeptic** (round 1):",
        "*The Skeptic:*",
        "__Skeptic__:",
        "- The Skeptic:",
        "  * **Skeptic**:",
        "1. The Skeptic:",
        "2) **The Skeptic:**",
        "> The Skeptic:",
        "### The Skeptic\n",
        "## The Skeptic:\n",
        "**The Skeptic**\n",
        "[1.skeptic]",
        "[skeptic]:",
        "[1.skeptic]\n",
        "1.skeptic:",
        "The Skeptic —",
    ],
)
def test_a_voice_is_known_by_its_name_in_whatever_dress(opening):
    other = opening
    for mine, theirs in (("Skeptic", "Estimator"), ("skeptic", "estimator"), ("SKEPTIC", "ESTIMATOR")):
        other = other.replace(mine, theirs)
    text = f"Here they are.\n\n{opening} I doubt it.\n{other} So do I.\n"
    assert apart(text) == [("1.skeptic", "I doubt it."), ("1.estimator", "So do I.")]


@pytest.mark.parametrize(
    "text",
    [
        "The skeptic says it is 54.",
        "I asked the Skeptic: what now?",
        "The Skepticism: spreads.",
        "Skeptics: all of us.",
        "Answer: 56",
        "",
        "The Skeptic:\nThe Estimator:\n",
    ],
)
def test_talk_about_a_voice_is_no_voice(text):
    assert apart(text) == []


def test_what_is_said_after_the_last_round_belongs_to_the_last_turn():
    text = "\n".join(f"Skeptic: thought {number}" for number in range(4))
    assert apart(text) == [("1.skeptic", "thought 0"), ("2.skeptic", "thought 1\nthought 2\nthought 3")]


def test_a_turn_stands_where_it_says_unless_it_was_put_together():
    text = "Intro.\nThe Skeptic: Hm.\nThe Formalist:  Nine. \nThe Skeptic: Hm.\nAnswer: 9"
    one, two = plan(rounds=1), plan(rounds=2)
    stands = {of.rounds: [text[v.start : v.end] == v.text for v in voices(text, of, cast(of))] for of in (one, two)}
    assert stands == {1: [False, True], 2: [True, True, True]}
    assert {max(v.end for v in voices(text, of, cast(of))) for of in (one, two)} == {text.index("\nAnswer")}


def test_seats_of_one_persona_take_turns():
    of = plan("none", ("skeptic", "skeptic-2"), mode="inner", decision="judge")
    assert apart("Skeptic: a\nSkeptic: b\nSkeptic-2: c\nSkeptic: d", of) == [
        ("1.skeptic", "a"),
        ("1.skeptic-2", "b"),
        ("2.skeptic-2", "c"),
        ("2.skeptic", "d"),
    ]


@pytest.mark.parametrize("closing", ["Answer: 56", "**Answer:** 56", "Final answer: 56", "### Answer: 56"])
def test_the_answer_that_closes_the_talk_is_not_the_last_voices(closing):
    assert apart(f"Skeptic: I say so.\nAnswer: 54\n\n{closing}") == [("1.skeptic", "I say so.\nAnswer: 54")]


def test_letters_that_only_look_alike_to_a_regex_are_no_trouble():
    assert apart("Skeptİc: hm\nſKEPTıC: well") == [("1.skeptic", "hm"), ("2.skeptic", "well")]


def test_endless_talk_is_bounded():
    many = plan("none", mode="inner", rounds=32)
    assert len(apart("Skeptic: a\nEstimator: b\nFormalist: c\n" * MAX_VOICES, many)) == 3 * 32


@given(
    st.lists(st.sampled_from(["The Skeptic", "estimator", ":", "**", "\n", "[1.", "]", "Answer:", " ", "x", "#", "("]))
)
def test_anything_can_be_taken_apart(parts):
    found = apart("".join(parts))
    assert len({name for name, _ in found}) == len(found) <= 6
    assert all(said.strip() for _, said in found)


# ---- as a debate -------------------------------------------------------------------------------------------------


def test_one_call_becomes_turns_and_its_answer_the_ruling():
    speaker = engine(default=TALK)
    held = hold(speaker, INNER)
    assert speaker.calls.started == held.answer.usage.calls == 1
    assert [turn.id for turn in held.answer.turns] == [
        "1.skeptic",
        "1.estimator",
        "1.formalist",
        "2.skeptic",
        "3.coordinator",
    ]
    assert (held.answer.answer, held.answer.status) == ("56", "done")
    ruling = held.turn("3.coordinator")
    assert (ruling.kind, ruling.text) == ("ruling", TALK)
    assert ruling.heard == ("1.skeptic", "1.estimator", "2.skeptic", "1.formalist")
    assert jsonl.loads(jsonl.dumps(held.answer)) == held.answer


def test_voices_hear_what_was_said_before_them_and_may_flip():
    held = hold(engine(default=TALK), INNER)
    assert held.turn("1.skeptic").heard == ()
    assert held.turn("2.skeptic").heard == ("1.skeptic", "1.estimator")
    assert held.turn("2.skeptic").flipped_from == "54"
    moved = [[row.answer for row in event.decision.support] for event in held.of(events.SupportMoved)]
    assert moved == [["54"], ["54", "56"], ["56"], ["56"]]


def test_voices_may_decide_by_vote_instead():
    held = hold(engine(default=TALK), plan("none", mode="inner", decision="plurality"))
    assert (held.answer.answer, held.answer.decision.rule) == ("56", "plurality")


def test_a_synthesis_does_not_take_the_place_of_the_talk():
    script = {"3.coordinator": "Skeptic: No.\nEstimator: Yes.", "4.coordinator": "They differ."}
    held = hold(engine(script), plan("none", mode="inner", kind="text", decision="synthesis"), ESSAY)
    assert [(turn.id, turn.kind) for turn in held.answer.turns][-2:] == [
        ("3.coordinator", "ruling"),
        ("4.coordinator", "synthesis"),
    ]
    assert (held.answer.answer, held.answer.usage.calls) == ("They differ.", 2)


@pytest.mark.parametrize("text", ["It is 7 times 8.\nAnswer: 56", "{'skeptic': 'no'} Answer: 56"])
def test_text_that_cannot_be_taken_apart_still_gives_its_answer_with_a_note(text):
    held = hold(engine(default=text), INNER)
    assert [turn.id for turn in held.answer.turns] == ["3.coordinator"]
    assert (held.answer.answer, held.answer.status) == ("56", "done")
    assert held.answer.notes == ("no voices could be told apart in what the inner chorus wrote",)


@pytest.mark.parametrize("text", ["", "a" * 4096, "<|im_end|>" * 50, "\0", "The Skeptic:" * 200])
def test_text_without_voices_or_answer_is_a_failure_on_record(text):
    held = hold(engine(default=text), INNER)
    assert (held.answer.status, held.answer.answer) == ("failed", None)
    assert held.answer.reason == "no voice gave an answer"
    assert jsonl.loads(jsonl.dumps(held.answer)) == held.answer


def test_a_call_that_fails_is_a_failure_on_record():
    held = hold(engine(default=fails("the server is down")), INNER)
    assert (held.answer.status, held.answer.reason) == ("failed", "the server is down")
    assert [turn.status for turn in held.answer.turns] == ["failed"]


def test_time_that_runs_out_cancels_the_call():
    speaker = engine(default=after(60, TALK))
    held = hold(speaker, INNER, max_seconds=5)
    assert (held.answer.status, held.answer.reason) == ("failed", "the budget of 5 seconds is spent")
    assert (held.answer.usage.wall_s, speaker.calls.aborted, speaker.calls.running) == (5, 1, 0)


def test_a_large_cast_asks_for_no_more_than_the_window_holds():
    asked = []
    speaker = engine(default=TALK, context_window=2000)
    generate = speaker.generate

    async def listen(request, emit):
        asked.append(request.sampling.max_tokens)
        return await generate(request, emit)

    speaker.generate = listen
    held = hold(speaker, plan("none", mode="inner", decision="judge", rounds=8, max_tokens=512))
    assert (asked, held.answer.status) == ([1000], "done")


def test_every_seat_may_be_silent():
    assert {seat.seat for seat in INNER.seats} == set(SEATS)
    held = hold(engine(default="Skeptic: It is 54.\n\nAnswer: 54"), INNER)
    assert [turn.id for turn in held.answer.turns] == ["1.skeptic", "3.coordinator"]
    assert held.answer.answer == "54"
