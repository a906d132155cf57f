"""A grant can't be chosen for by what the audit leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interp import caps, verdicts
from interp.caps import Asked

WHOLE = Asked("full", ("estimator", "skeptic"), {"estimator", "skeptic"}, baked=True, base=True, dialogues=True)


def test_nothing_holds_back_who_was_asked_everything():
    assert caps.held(WHOLE) == ()
    assert caps.held(Asked("full", ("estimator",), {"estimator"})) == (), "an untrained model owes no base"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": "quick"}, "19 draws are a look"),
        ({"personas": ("estimator",)}, "not asked about: skeptic"),
        ({"owed": {"estimator", "skeptic", "backtracker"}}, "not asked about: backtracker"),
        ({"base": False}, "nobody asked what training changed"),
        ({"dialogues": False}, "when they speak by themselves"),
    ],
)
def test_whatever_was_left_out_holds_back(changes, said):
    (reason,) = caps.held(replace(WHOLE, **changes))
    assert said in reason


def test_the_caps_stand_in_the_table_that_is_hashed():
    assert all(cap.why in verdicts.table() for cap in caps.CAPS)
