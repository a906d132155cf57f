"""The cards that come with the package: each sound, no two alike."""

from itertools import combinations
from pathlib import Path

import pytest

import personas
from personas import Library, validate
from personas.cardfile import MAX_BYTES
from personas.cast import check, method_distance
from personas.library import BASELINE
from personas.persona import SamplingOffset

FLOOR = 0.85
"""No two of our methods may be closer than this: at most 15% of their content words are shared."""

LIBRARY = Library.builtin()
METHODS = [card for card in LIBRARY.cards if card.pack != BASELINE]
PAIRS = list(combinations((card.persona for card in METHODS), 2))


def test_every_card_is_valid():
    assert validate(Path(personas.__file__).with_name("cards")) == []


def test_each_pack_is_large_enough_to_debate():
    sizes = {name: len(members) for name, members in LIBRARY.packs.items() if name != BASELINE}
    assert sizes["reasoning"] == 8
    assert min(sizes.values()) >= 4


@pytest.mark.parametrize("card", METHODS, ids=lambda card: card.persona.id)
def test_house_rules_for_a_card(card):
    persona = card.persona
    assert Path(card.file).stem == persona.id
    assert Path(card.file).stat().st_size < MAX_BYTES / 16
    assert persona.summary.endswith(".")
    assert ". " not in persona.summary
    assert persona.cue.endswith(".")
    assert 4 <= len(persona.method) <= 5
    assert all(step.endswith((".", "?")) for step in persona.method)
    assert len(persona.expertise) >= 6
    assert 0.0 <= persona.sampling.temperature <= 0.2
    assert persona.sampling.top_p == 0.0


def test_no_two_methods_are_near():
    near = {(a.id, b.id): method_distance(a, b) for a, b in PAIRS if method_distance(a, b) < FLOOR}
    assert near == {}


@pytest.mark.parametrize("field", ["cue", "voice", "name", "summary", "expertise", "sha256"])
def test_no_two_cards_share(field):
    values = [getattr(persona, field) for persona in LIBRARY.personas]
    assert len(set(values)) == len(values)


def test_all_of_them_together_make_a_sound_cast():
    assert check([card.persona for card in METHODS]) == []


def test_the_plain_voice_adds_nothing_to_the_question():
    (plain,) = LIBRARY.packs[BASELINE]
    assert (plain.id, plain.cue) == ("plain", "Answer the question.")
    assert plain.sampling == SamplingOffset()


def test_no_id_is_also_the_name_of_a_pack():
    assert not set(LIBRARY.packs) & {persona.id for persona in LIBRARY.personas}
