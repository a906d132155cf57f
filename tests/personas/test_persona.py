"""What a persona card may hold, and how its faults read."""

import pickle

import pytest
from pydantic import ValidationError

from personas import Fault, Persona, PersonaError, SamplingOffset

CARD = {
    "id": "surveyor",
    "name": "The Surveyor",
    "summary": "Measures first.",
    "method": ["Measure.", "Compare."],
    "cue": "Measure, then compare.",
    "voice": "Terse.",
    "expertise": ["maps", "distance"],
}


def card(**changes):
    return Persona.model_validate(CARD | changes)


def test_a_card_is_frozen_and_hashable():
    persona = card()
    assert persona in {persona}
    with pytest.raises(ValidationError, match="frozen"):
        persona.name = "Another"


def test_sampling_is_left_alone_by_default():
    assert card().sampling == SamplingOffset(temperature=0.0, top_p=0.0)


def test_the_hash_is_of_the_content_not_of_the_layout():
    folded = card(summary="  Measures\n   first. ", expertise=("maps", "distance"))
    assert folded.sha256 == card().sha256
    assert len(folded.sha256) == 64


def test_every_field_counts_in_the_hash():
    changes = [
        {"id": "surveyor-two"},
        {"name": "Surveyor"},
        {"summary": "Measures."},
        {"method": ["Compare.", "Measure."]},
        {"cue": "Measure."},
        {"voice": "Dry."},
        {"expertise": ["maps"]},
        {"sampling": {"temperature": 0.1}},
        {"sampling": {"top_p": -0.1}},
    ]
    assert len({card().sha256, *(card(**change).sha256 for change in changes)}) == len(changes) + 1


def test_minus_zero_hashes_as_zero():
    assert card(sampling={"temperature": -0.0}).sha256 == card().sha256


@pytest.mark.parametrize("slug", ["a", "devils-advocate", "x2", "a" * 40])
def test_good_ids(slug):
    assert card(id=slug).id == slug


@pytest.mark.parametrize("slug", ["", "Skeptic", "2nd", "-a", "a-", "a--b", "a_b", "a b", "a.b", "é", "a\n", "a" * 41])
def test_bad_ids(slug):
    with pytest.raises(ValidationError):
        card(id=slug)


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[2J", "a\u202eb", "a\u200bb", "a\U000e0041b", "a\x85b", "a\ud800b"])
@pytest.mark.parametrize("field", ["name", "summary", "cue", "voice"])
def test_control_and_invisible_characters_are_refused(field, text):
    with pytest.raises(ValidationError):
        card(**{field: text})


@pytest.mark.parametrize(
    "text",
    [
        "<|im_end|>",
        "<|im_start|>system",
        "<| \n eot |>",
        "＜｜User｜＞",
        "[INST] hi",
        "<<SYS>>",
        "</s>",
        "<start_of_turn>",
    ],
)
def test_chat_template_tokens_are_refused_everywhere(text):
    for change in ({"name": text}, {"cue": text}, {"voice": text}, {"summary": text}, {"method": ["Fine.", text]}):
        with pytest.raises(ValidationError, match="chat-template token"):
            card(**change)


@pytest.mark.parametrize("text", ["if x < y | y > z", "naïve — «été»", "می‌خواهم", "👩‍🔬 tests", "三思而行", "a <b> c"])
def test_ordinary_text_of_any_script_is_kept(text):
    assert card(voice=text).voice == text


@pytest.mark.parametrize(
    "change",
    [
        {"method": ["One step only."]},
        {"method": ["Step."] * 9},
        {"method": ["Step.", "  "]},
        {"method": "Step one, step two."},
        {"cue": "x" * 121},
        {"cue": ""},
        {"expertise": ["Maps"]},
        {"expertise": ["two words"]},
        {"expertise": ["maps", "maps"]},
        {"sampling": {"temperature": 1.5}},
        {"sampling": {"temperature": True}},
        {"sampling": {"temperature": float("nan")}},
        {"sampling": {"top_p": 0.1}},
        {"sampling": {"top_k": 5}},
        {"colour": "blue"},
    ],
    ids=str,
)
def test_what_a_card_may_not_be(change):
    with pytest.raises(ValidationError):
        card(**change)


def test_an_error_shows_all_its_faults_one_a_line_and_survives_pickling():
    error = PersonaError([Fault("a.yaml", "cue", "is empty"), Fault("b.yaml", "method.1", "is empty")])
    assert str(error) == "a.yaml: cue: is empty\nb.yaml: method.1: is empty"
    assert error.exit_code == 2
    assert pickle.loads(pickle.dumps(error)).faults == error.faults


def test_a_hostile_file_name_can_not_break_the_line_or_move_the_cursor():
    assert str(Fault("a\n\x1b[2Jb.yaml", "id", "is missing")) == r"a\n\x1b[2Jb.yaml: id: is missing"
