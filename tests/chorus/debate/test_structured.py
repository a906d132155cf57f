"""Positions as JSON: the schema, the words that come of it, what is streamed, and text that was meant to be JSON."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.debate import grade
from chorus.debate.json_reading import JsonReading
from chorus.debate.position_schema import ballot_schema, check_schema, schema
from chorus.debate.structured import (
    MAX_PREFACE,
    UNFINISHED,
    UNREADABLE,
    Listener,
    Stated,
    ballot_text,
)
from chorus.engines.base import Completion, TokenLogprob
from chorus.types import Usage, well_formed

SOUND = '{"reasoning": "7 times 8\\nis \\"56\\".", "answer": "56", "confidence": 90}'


def listen(text: str, size: int = 3) -> tuple[list[str], Stated]:
    """What is passed on of a text that comes in pieces, and what it comes to."""
    pieces: list[str] = []
    listener = Listener(pieces.append)
    tokens = [text[at : at + size] for at in range(0, len(text), size)]
    for token in tokens:
        listener.take(token)
    logprobs = tuple(TokenLogprob(token, -0.01 * number) for number, token in enumerate(tokens))
    return pieces, listener.finish(Completion(text, "stop", Usage(), logprobs))


def said(text: str) -> str:
    pieces, stated = listen(text)
    assert "".join(pieces) == stated.completion.text
    return stated.completion.text


# ---- words -------------------------------------------------------------------------------------------------------


def test_json_becomes_what_a_voice_would_have_written():
    assert said(SOUND) == '7 times 8\nis "56".\nAnswer: 56\nConfidence: 90%'


def test_the_reasoning_is_streamed_as_it_is_written():
    pieces, _ = listen(SOUND)
    assert len(pieces) > 4
    assert pieces[-1] == "\nAnswer: 56\nConfidence: 90%"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"reasoning": "a \\ud83d\\ude00 \\u00e9\\t/\\/", "answer": "b"}', "a 😀 é\t//\nAnswer: b"),
        ('{"answer": 56}', "Answer: 56"),
        ('{"answer": -0.5e3, "reasoning": "x"}', "x\nAnswer: -0.5e3"),
        ('{"answer": true}', "Answer: true"),
        ('{"answer": ["a", "b"]}', "Answer: a, b"),
        ('{"answer": {"x": [1, "}"]}}', 'Answer: {"x": [1, "}"]}'),
        ('{"Answer": " 5 ", "REASONING": "r"}', "r\nAnswer: 5"),
        ('{"answer": "first", "answer": "second"}', "Answer: second"),
        ('{"note": {"answer": "1"}, "answer": "2"}', "Answer: 2"),
        ('{"answer": "5"} {"answer": "6"}', "Answer: 5"),
        ('{"answer": "5"}\nAnswer: 6', "Answer: 5"),
        ('Sure, here it is:\n```json\n{"answer": "5"}\n```', "Answer: 5"),
    ],
)
def test_sound_json_is_read_whatever_stands_in_it(text, words):
    assert said(text) == words
    assert listen(text)[1].trouble is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{'reasoning': 'r', 'answer': 'yes'}", "r\nAnswer: yes"),
        ('{"reasoning": "it is "five" now", "answer": "5"}', 'it is "five" now\nAnswer: 5'),
        ('{reasoning: "r", answer: "5"}', "r\nAnswer: 5"),
        ('{"reasoning": "r", "answer": "5"', "r\nAnswer: 5"),
        ('{"reasoning": "r" "answer": "5"}', "r\nAnswer: 5"),
        ('{"reasoning": "r", "answer": "fif', "r\nAnswer: fif"),
        ('[{"answer": "5"}]', "Answer: 5"),
    ],
)
def test_broken_json_is_repaired(text, words):
    assert said(text) == words
    assert listen(text)[1].trouble is None


@pytest.mark.parametrize(
    "text", ["The answer is 56.", "", "{}", "{", '{"answer": null}', '{"sum": 56}', "a {b} c", '{"answer']
)
def test_what_is_no_position_is_taken_as_it_stands(text):
    assert said(text) == text
    assert listen(text)[1].trouble == UNREADABLE


def test_json_that_ends_before_its_answer_keeps_its_reasoning():
    pieces, stated = listen('{"reasoning": "7 times 8 is 5')
    assert "".join(pieces) == stated.completion.text == "7 times 8 is 5"
    assert stated.trouble == UNFINISHED


def test_reasoning_of_blanks_alone_is_no_position_and_none_of_it_is_streamed():
    blank = '{"reasoning": "\n '
    pieces, stated = listen(blank, 1)
    assert pieces == [stated.completion.text] == [blank]
    assert stated.trouble == UNREADABLE


def test_who_talks_before_the_json_is_taken_at_his_word():
    long = "I think. " * MAX_PREFACE + '{"answer": "5"}'
    pieces, stated = listen(long)
    assert "".join(pieces) == stated.completion.text == long
    assert len(pieces) > 10, "it is streamed once it is clear that no JSON comes"
    assert stated.trouble == UNREADABLE


@pytest.mark.parametrize(
    ("written", "sure"),
    [
        ("90", 0.9),
        ("100", 1.0),
        ("0", 0.0),
        ("1", 0.01),
        ("0.8", 0.8),
        ("1.0", 1.0),
        ("87.5", 0.88),
        ('"80%"', 0.8),
        ('"0.8"', 0.8),
        ("101", None),
        ("-1", None),
        ("1e2", None),
        ('"high"', None),
        ("null", None),
        ("[90]", None),
    ],
)
def test_confidence_is_a_percentage_or_a_share(written, sure):
    words = said(f'{{"answer": "5", "confidence": {written}}}')
    assert grade.stated_confidence(words) == sure
    assert words.startswith("Answer: 5")


# ---- tokens ------------------------------------------------------------------------------------------------------


def test_the_words_keep_their_own_tokens_and_lose_those_of_the_syntax():
    tokens = [('{"', -9.0), ("reasoning", -9.0), ('": "', -9.0), ("It is", -1.0), (" \\n", -2.0), ('fine.", "', -3.0)]
    tokens += [("answer", -9.0), ('": "', -9.0), ("5", -4.0), ("6", -5.0), ('"}', -9.0)]
    listener = Listener(lambda piece: None)
    text = "".join(token for token, _ in tokens)
    listener.take(text)
    stated = listener.finish(Completion(text, "stop", Usage(), tuple(TokenLogprob(*token) for token in tokens)))
    assert [(token.token, token.logprob) for token in stated.completion.logprobs] == [
        ("It is", -1.0),
        (" \n", -2.0),
        ("fine.", -3.0),
        ("\nAnswer: 5", -4.0),
        ("6", -5.0),
    ]


def test_tokens_are_left_out_where_their_places_are_not_known():
    for text in ("{'answer': '5'}", '{"answer": ["a", "b"]}'):
        assert listen(text)[1].completion.logprobs == ()


# ---- any text ----------------------------------------------------------------------------------------------------

SYNTAX = ["{", "}", "[", "]", '"', "\\", "\\u", "\\ud83d", "\\ude00", "d800", ":", ",", "'", "\n", " ", "```json"]
WORDS = ["reasoning", "answer", "confidence", '"answer": ', '{"reasoning": "', "null", "56", "\ud800"]
PIECES = st.sampled_from([*SYNTAX, *WORDS])


@given(st.lists(PIECES | st.text(max_size=5), max_size=25).map("".join), st.integers(1, 9))
def test_any_text_may_come_and_what_was_streamed_is_its_beginning(text, size):
    text = well_formed(text)
    pieces, stated = listen(text, size)
    assert "".join(pieces) == stated.completion.text
    assert stated.completion.text == well_formed(stated.completion.text)
    tokens = stated.completion.logprobs
    assert not tokens or "".join(token.token for token in tokens) == stated.completion.text
    if stated.trouble == UNREADABLE:
        assert stated.completion.text == text
    ballot_text(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.text(max_size=20), st.integers(0, 100))
def test_whatever_json_can_say_is_said(reasoning, answer, sure):
    answer = well_formed(answer)
    for ascii_only in (True, False):
        text = json.dumps({"reasoning": reasoning, "answer": answer, "confidence": sure}, ensure_ascii=ascii_only)
        reading = JsonReading()
        reading.feed(text)
        assert reading.done
        assert [field.text for field in reading.fields.values()] == [reasoning, answer, str(sure)]
        if answer.strip():
            words = said(text)
            assert words.startswith(reasoning)
            assert words.endswith(f"Answer: {answer.strip()}\nConfidence: {sure}%")


@pytest.mark.parametrize(
    "text",
    [
        "{" * 50_000,
        "[" * 50_000,
        '{"a":' * 20_000,
        '{"reasoning": "' + "\\" * 99_999,
        '{"reasoning": "' + "a" * 200_000,
        '{"answer": ' + "[" * 50_000,
        '{"answer": ' + "9" * 50_000 + "}",
        '{"reasoning": ' * 5_000,
        " " * 100_000,
        '"' * 50_000,
        '{"a":"b"' * 8_000,
        '{"reasoning": "' + "\\u12" * 30_000,
    ],
    ids=lambda text: text[:16],
)
def test_hostile_text_does_no_harm(text):
    pieces, stated = listen(text, 4_000)
    assert "".join(pieces) == stated.completion.text


# ---- schemas -----------------------------------------------------------------------------------------------------


def answer_of(kind, choices=()) -> dict:
    return json.loads(schema(kind, choices, 100))["properties"]["answer"]


def test_the_schema_asks_for_reasons_before_the_answer_and_then_how_sure():
    wanted = json.loads(schema("short", (), 100))
    assert wanted["required"] == list(wanted["properties"]) == ["reasoning", "answer", "confidence"]
    assert wanted["additionalProperties"] is False
    assert wanted["properties"]["confidence"] == {"type": "integer", "minimum": 0, "maximum": 100}


def test_the_answer_is_held_to_its_kind():
    assert answer_of("choice", ("Rome", "Paris", "Berlin"))["enum"] == ["A", "B", "C"]
    assert answer_of("yesno")["enum"] == ["yes", "no"]
    assert answer_of("text") == answer_of("choice") == {"type": "string"}


@pytest.mark.parametrize("number", ["0", "56", "-3.5", "22/7", "0.001", "123456789012345"])
def test_a_number_fits_its_pattern_and_is_graded_as_it_stands(number):
    assert re.fullmatch(answer_of("number")["pattern"], number)
    assert grade.extract(said(json.dumps({"reasoning": "2 + 2 = 4", "answer": number})), "number") == number


@pytest.mark.parametrize("number", ["", "fifty", "5 6", "1" * 16, "--1", "5."])
def test_what_is_no_number_does_not_fit(number):
    assert not re.fullmatch(answer_of("number")["pattern"], number)


def test_reasoning_is_bounded_so_that_the_answer_finds_room():
    assert json.loads(schema("number", (), 64))["properties"]["reasoning"]["maxLength"] == 128
    assert "maxLength" not in json.loads(schema("number", (), 65_536))["properties"]["reasoning"]


@pytest.mark.parametrize(
    ("text", "ranking"),
    [
        ('{"ranking": ["B", "A"]}', ["Paris", "Rome"]),
        ('{"ranking": ["B", "B"]}', ["Paris"]),
        ('{"ranking": ["A"', ["Rome"]),
        ('{"ranking": []}', []),
        ("B, A", ["Paris", "Rome"]),
        ('{"ranking": "B, A"}', ["Paris", "Rome"]),
    ],
)
def test_a_ballot_is_read_from_json_or_from_letters(text, ranking):
    assert grade.ranking(ballot_text(text), ("Rome", "Paris")) == ranking


def test_a_checks_schema_has_reasons_only_where_there_is_room_for_them():
    assert list(json.loads(check_schema(None))["properties"]) == ["answer"]
    reasoned = json.loads(check_schema(64))["properties"]
    assert list(reasoned) == ["reasoning", "answer"]
    assert reasoned["reasoning"]["maxLength"] == 128
    assert reasoned["answer"]["enum"] == ["yes", "no"]


def test_a_ballots_schema_lets_every_answer_be_ranked():
    ranking = json.loads(ballot_schema(3))["properties"]["ranking"]
    assert ranking["items"] == {"enum": ["A", "B", "C"]}
    assert ranking["minItems"] == ranking["maxItems"] == 3
