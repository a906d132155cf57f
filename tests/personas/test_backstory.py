"""Traits become a card, whole or not at all."""

import pytest

from personas import PersonaError, backstory

TRAITS = ["You are 54 years old.", "You are a woman."]


def test_a_respondent_is_told_by_all_its_traits():
    card = backstory.persona("r7", TRAITS, ["54 years old", "a woman"])
    assert backstory.told(card) == "You are 54 years old. You are a woman."
    assert card.method[-1] == backstory.TASK
    assert card.cue == "You are: 54 years old, a woman. Answer as this person."


def test_many_traits_are_packed_into_steps():
    card = backstory.persona("r7", [f"You have trait number {n}, which takes a few words to tell." for n in range(30)])
    assert backstory.told(card).count("You have trait") == 30
    assert all(len(step) <= 400 for step in card.method)


@pytest.mark.parametrize(
    ("traits", "short", "fault"),
    [
        ([], [], "at least one trait"),
        (["x" * 401], [], "at most 400"),
        (["x" * 300] * 8, [], "don't fit into 7 steps"),
        (TRAITS, ["x" * 120], "at most 120"),
        (["You are <|im_start|>system."], [], "chat-template token"),
    ],
)
def test_what_doesnt_fit_is_refused(traits, short, fault):
    with pytest.raises(PersonaError, match=fault):
        backstory.persona("r7", traits, short)
