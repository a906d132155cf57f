"""What makes a good group."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personas import Library, Persona
from personas.cast import check, diverse, method_distance

POOL = Library.builtin().personas
CASTS = st.lists(st.sampled_from(POOL), max_size=8)
SCORES = st.dictionaries(st.sampled_from([persona.id for persona in POOL]), st.floats(0, 1))


def persona(persona_id, *method, cue="Go.", voice=None):
    return Persona(
        id=persona_id,
        name=persona_id,
        summary="One.",
        method=method,
        cue=cue,
        voice=voice or f"As {persona_id} speaks.",
    )


def test_distance_counts_content_words_only():
    counter = persona("counter", "Count the sheep.", "Then sum.", cue="Count.")
    again = persona("again", "COUNT all those sheep!", "Sum them.", cue="Count.")
    painter = persona("painter", "Paint the sheep.", "Then frame.", cue="Paint.")
    assert method_distance(counter, again) == 0.0
    assert method_distance(counter, painter) == pytest.approx(1 - 1 / 5)  # sheep, of count sheep sum paint frame


def test_methods_without_content_count_as_the_same():
    assert (
        method_distance(persona("a", "Do it.", "And so on.", cue="Do."), persona("b", "If so.", "Of it.", cue="Do."))
        == 0
    )


@settings(deadline=None)
@given(a=st.sampled_from(POOL), b=st.sampled_from(POOL), c=st.sampled_from(POOL))
def test_distance_is_a_metric(a, b, c):
    assert 0.0 <= method_distance(a, b) <= 1.0
    assert method_distance(a, b) == method_distance(b, a)
    assert (method_distance(a, b) == 0.0) == (a == b)
    assert method_distance(a, c) <= method_distance(a, b) + method_distance(b, c) + 1e-12


def test_check_has_nothing_to_say_about_a_sound_cast():
    assert check(Library.builtin().select("skeptic,decomposer,formalist")) == []
    assert check(()) == []


def test_check_warns_of_doubled_seats():
    assert check(Library.builtin().select("skeptic,tester,skeptic,skeptic")) == [
        "skeptic holds 3 seats: unless sampling is warm, they will say the same."
    ]


def test_check_warns_of_like_methods_and_like_voices():
    a = persona("a", "Count the sheep.", "Sum slowly.", voice="Calm.")
    b = persona("b", "Count many sheep.", "Sum slowly.", voice="calm.")
    assert check([a, b]) == [
        "a and b work almost alike (method distance 0.00, under 0.4).",
        "a and b have the same voice: a reader can't tell them apart.",
    ]


def test_diverse_takes_the_best_score_first_then_what_adds_most():
    best = persona("best", "Count the sheep.", "Sum slowly.")
    copy = persona("copy", "Count the sheep.", "Sum slowly.")
    other = persona("other", "Paint a picture.", "Frame boldly.")
    scores = {"best": 1.0, "copy": 0.9, "other": 0.3}
    assert [member.id for member in diverse([other, copy, best], 2, scores)] == ["best", "other"]
    assert [member.id for member in diverse([other, copy, best], 3, scores)] == ["best", "other", "copy"]


def test_ties_go_to_the_first_id():
    same = [persona(name, "Count the sheep.", "Sum slowly.") for name in ("c", "a", "b")]
    assert [member.id for member in diverse(same, 3)] == ["a", "b", "c"]


@settings(deadline=None)
@given(pool=CASTS, n=st.integers(0, 10), scores=SCORES, randomness=st.randoms())
def test_diverse_is_the_same_whatever_the_order_of_the_pool(pool, n, scores, randomness):
    chosen = diverse(pool, n, scores)
    assert len(chosen) == len(set(chosen)) == min(n, len(set(pool)))
    assert set(chosen) <= set(pool)
    randomness.shuffle(pool)
    assert diverse(pool, n, scores) == chosen


def test_diverse_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="can't choose -1"):
        diverse(POOL, -1)
    with pytest.raises(ValueError, match="not so for skeptic"):
        diverse(POOL, 2, {"skeptic": float("nan")})
