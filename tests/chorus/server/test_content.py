"""What goes out of an answer is always a beginning of it: stop strings end it, and nothing is taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")

from chorus.errors import EngineError
from chorus.server.content import Content, cut

PIECES = st.lists(st.text("ab \n", max_size=4), max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3)


@given(PIECES, STOPS)
def test_the_pieces_that_go_out_are_the_answer_up_to_the_stop(pieces, stops):
    content, out = Content(stops), ""
    final = "".join(pieces).strip()
    for piece in pieces:
        content.say(piece)
        out += content.ready()
        assert cut(final, stops)[0].startswith(out)
    assert out + content.close(final) == cut(final, stops)[0]


def test_the_stop_string_that_is_complete_first_ends_the_answer():
    assert cut("so aba", ["b", "aba"]) == ("so a", True), "its b came before the last letter of the other"


def test_the_beginning_of_a_stop_string_waits():
    content = Content(["END"])
    content.say("so it is 56 E")
    assert content.ready() == "so it is 56"
    content.say("N")
    assert content.ready() == ""
    content.say("OUGH")
    assert content.ready() == " ENOUGH"


def test_an_attempt_that_begins_otherwise_than_what_is_out_is_an_error():
    content = Content()
    content.say("The answer")
    assert content.ready() == "The answer"
    content.void()
    content.say("Well, 56")
    assert content.ready() == ""
    with pytest.raises(EngineError, match="ask again"):
        content.close("Well, 56")
