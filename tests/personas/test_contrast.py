"""Contrasts: the same question with a persona and without, and nothing else that could tell the two apart."""

from __future__ import annotations

from itertools import combinations

import pytest

from personas.cast import content_words
from personas.contrast import contrast, contrasts
from personas.library import Library
from personas.persona import PersonaError


@pytest.mark.parametrize("name", contrasts())
def test_five_paraphrases_share_no_content_word(name):
    found = contrast(name)
    assert len(found.prompts) >= 5
    assert len(found.prompts) == len(found.neutral_prompts)
    for one, other in combinations(found.prompts, 2):
        assert content_words(one), one
        assert not content_words(one) & content_words(other), (one, other)


def test_there_are_four_personas_and_each_has_a_card():
    cards = {card.persona.id for card in Library.builtin().cards}
    assert len(contrasts()) >= 4
    assert contrasts().keys() <= cards


def test_four_cells_hold_two_prompts_and_two_texts():
    cells = list(contrast("skeptic").cells("42", 1))
    assert [(cell.prompt_on, cell.text_on) for cell in cells] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert len({cell.prompt for cell in cells}) == len({cell.text for cell in cells}) == 2
    assert cells[1].text == cells[3].text == "The answer is 42."
    assert all("42" in cell.text for cell in cells)


def test_a_persona_without_a_contrast_is_named():
    with pytest.raises(PersonaError, match="stranger"):
        contrast("stranger")
