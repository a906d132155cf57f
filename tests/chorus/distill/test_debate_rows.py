"""Rows from debates: each form says what it should, and a dialogue can be taken apart again."""

from pathlib import Path

import pytest
from workshop import debated, question

from chorus.debate import grade
from chorus.distill import cast, rows
from chorus.types import Answer
from personas import Library

LIBRARY = Library.builtin()


@pytest.fixture
def record(tmp_path: Path) -> Answer:
    return debated(tmp_path)


def made_of(record: Answer) -> dict[str, rows.Row]:
    spoke = cast.of_records([record], LIBRARY.personas)
    return {row.form: row for row in rows.rows(record, spoke)}


def said(row: rows.Row) -> str:
    return row.completion[0].content


def test_a_debate_gives_a_row_of_each_form(record):
    assert set(made_of(record)) == {"plain", "rationale", "dialogue", "compressed"}


def test_the_plain_row_is_the_answer_alone(record):
    assert said(made_of(record)["plain"]) == "Answer: 56"


def test_the_rationale_is_that_of_the_surest_winner(record):
    assert said(made_of(record)["rationale"]) == "It must be near 55, so it is 56.\nAnswer: 56"


def test_a_dialogue_keeps_dissent_and_corrected_mistakes(record):
    assert said(made_of(record)["dialogue"]).split("\n") == [
        "The Skeptic: I doubt that it is more. Answer: 54",
        "The Estimator: It must be near 55, so it is 56. Answer: 56",
        "The Formalist: By the rule it comes to this. Answer: 63",
        "The Skeptic: I found my error: it is 56. Answer: 56",
        "The Estimator: It must be near 55, so it is 56. Answer: 56",
        "The Formalist: So I was off by one group. Answer: 54",
        "Answer: 56",
    ]


def test_a_compressed_dialogue_leaves_out_who_keeps_to_an_answer(record):
    assert said(made_of(record)["compressed"]).split("\n") == [
        "The Skeptic: The answer is 54.",
        "The Estimator: It must be near 55, so it is 56.",
        "The Formalist: The answer is 63.",
        "The Skeptic: I found my error: it is 56.",
        "The Formalist: The answer is 54.",
        "Answer: 56",
    ]


@pytest.mark.parametrize("form", ["dialogue", "compressed"])
def test_a_dialogue_is_read_as_it_was_written(record, form):
    row = made_of(record)[form]
    spoke = cast.of_records([record], LIBRARY.personas)
    assert rows.read(said(row), spoke) == [(turn.name, turn.text) for turn in row.turns]
    assert grade.extract(said(row), "number") == "56"


def test_the_prompt_says_the_style_and_nothing_of_the_cast(record):
    made = made_of(record)
    for row in made.values():
        told = " ".join(message.content for message in row.prompt)
        assert "What is 7 * 8?" in told
        assert not any(name in told for name in ("Skeptic", "Estimator", "Formalist"))
    assert made["plain"].prompt == made["rationale"].prompt != made["dialogue"].prompt == made["compressed"].prompt


def test_a_turn_in_which_a_voice_speaks_for_another_stays_its_own(record):
    liar = "Listen.\nThe Estimator: I was wrong, it is 54.\nAnswer: 54"
    turns = tuple(t.model_copy(update={"text": liar}) if t.id == "1.skeptic" else t for t in record.turns)
    row = made_of(record.model_copy(update={"turns": turns}))["dialogue"]
    assert [turn.name for turn in row.turns][:2] == ["The Skeptic", "The Estimator"]
    assert said(row).split("\n")[0].startswith("The Skeptic: Listen. The Estimator: I was wrong")


def test_marks_stand_in_every_row(record):
    for row in made_of(record).values():
        assert (row.right, row.contested, row.flips) == (True, True, 2)


def test_a_debate_that_came_to_nothing_gives_no_row(record):
    assert made_of(record.model_copy(update={"answer": None})) == {}


def test_a_card_that_has_changed_is_no_longer_that_voice(record):
    changed = [c.model_copy(update={"voice": "Loud."}) if c.id == "skeptic" else c for c in LIBRARY.personas]
    with pytest.raises(cast.RecordError, match="'skeptic' is not at hand"):
        cast.of_records([record], changed)


def test_names_dealt_anew_change_who_says_it_and_nothing_that_is_said(record):
    row = made_of(record)["dialogue"]
    dealt = rows.shuffled(row, seed=3)
    assert [turn.text for turn in dealt.turns] == [turn.text for turn in row.turns]
    assert sorted(turn.name for turn in dealt.turns) == sorted(turn.name for turn in row.turns)
    assert said(dealt) != said(row)
    assert said(dealt).endswith("\nAnswer: 56")
    assert rows.shuffled(row, seed=3) == dealt


def test_methods_under_other_names_are_what_the_teacher_of_the_control_reads(record):
    spoke = cast.of_records([record], LIBRARY.personas)
    dealt = [spoke.shuffled(f"0:question {number}") for number in range(20)]
    for other in dealt:
        assert [card.name for card in other.personas] == [card.name for card in spoke.personas]
        assert sorted(card.method for card in other.personas) == sorted(card.method for card in spoke.personas)
    assert {other.personas[0].method for other in dealt} == {card.method for card in spoke.personas}
    assert spoke.shuffled("0:question 1") == dealt[1]


def test_the_teacher_reads_charter_cards_and_question(record):
    spoke = cast.of_records([record], LIBRARY.personas)
    told = "\n".join(message.content for message in spoke.protocol(question()))
    assert all(persona.name in told for persona in spoke.personas)
    assert spoke.personas[0].method[0] in told
    assert "What is 7 * 8?" in told
