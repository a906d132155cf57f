"""What holds for every text and every set of answers."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.debate import grade
from chorus.types import AnswerKind, Question

KINDS = get_args(AnswerKind)
CHEAP = [kind for kind in KINDS if kind != "expression"]
CHOICES = ("Paris", "London", "New York")

PIECES = [
    *(
        "Answer:",
        "The answer is",
        r"\boxed{",
        "}",
        "{",
        "####",
        "A)",
        "(b)",
        "B",
        "(A) x (B) y",
        "```",
        "\n",
        "\n- ",
        "1. ",
    ),
    *(
        "56",
        "1,000",
        "1/2",
        "50%",
        "-",
        "=",
        "*",
        "**",
        "$",
        r"\frac",
        "x^2",
        "√",
        "½",
        "9^9^9",
        ", ",
        ";",
        "?",
        " ",
        "\t",
    ),
    *("yes", "No.", "Paris", "is", "the capital of", "because", "Confidence: 80%"),
    *("\x00", "\ud800", "\u200b", "e\u0301", "İ"),
]
texts = st.one_of(
    st.text(st.characters(), max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join),
)
answers = st.one_of(
    st.sampled_from(
        [
            "56",
            "56.0",
            "1/2",
            "50%",
            "0.5",
            "yes",
            "No",
            "Paris",
            "paris.",
            "(b)",
            "B",
            "a, b",
            "a; b",
            "b, a",
            "",
            " ",
            "x=1",
        ]
    ),
    st.text(max_size=12),
)
unhurried = settings(deadline=None)


@unhurried
@given(texts, st.sampled_from(KINDS), st.sampled_from([(), CHOICES]))
def test_extract_takes_any_text(text, kind, choices):
    found = grade.extract(text, kind, choices)
    assert found is None or 0 < len(found) <= grade.MAX_ANSWER
    assert found is None or found == found.strip()


@unhurried
@given(texts)
def test_questions_and_confidence_take_any_text(text):
    confidence = grade.stated_confidence(text)
    assert confidence is None or 0 <= confidence <= 1
    question = Question.model_construct(text=text, kind=None, choices=())
    assert grade.infer_kind(question) in KINDS
    assert len(grade.infer_choices(question)) != 1


@unhurried
@given(texts, st.sampled_from(["yes", "No."]))
def test_a_last_line_says_yes_or_no_whatever_stands_before_it(text, last):
    assert grade.verdict(text) in (None, True, False)
    assert grade.verdict(f"{text}\n{last}") is (last == "yes")


@unhurried
@given(texts, st.lists(st.text(max_size=8), max_size=30))
def test_a_ranking_holds_options_only_and_each_place_once(text, options):
    ranked = grade.ranking(text, options)
    assert len(ranked) <= len(options)
    assert set(ranked) <= set(options)


@unhurried
@given(st.data(), st.sampled_from(CHEAP))
def test_classes_are_a_partition_that_order_does_not_change(data, kind):
    given_answers = data.draw(st.lists(answers, max_size=8))
    groups = grade.classes(given_answers, kind, CHOICES)
    assert sorted(index for group in groups for index in group) == list(range(len(given_answers)))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    order = data.draw(st.permutations(range(len(given_answers))))
    shuffled = grade.classes([given_answers[index] for index in order], kind, CHOICES)
    assert {frozenset(order[index] for index in group) for group in shuffled} == {frozenset(g) for g in groups}


@unhurried
@given(answers, answers, st.sampled_from(CHEAP))
def test_same_is_reflexive_symmetric_and_agrees_with_classes(a, b, kind):
    assert grade.same(a, a, kind, CHOICES)
    assert grade.same(a, b, kind, CHOICES) == grade.same(b, a, kind, CHOICES)
    assert grade.same(a, b, kind, CHOICES) == (len(grade.classes([a, b, a], kind, CHOICES)) == 1)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_expressions_are_an_equivalence_too(data):
    pool = ["x+1", "1+x", "x=2", "2", "y=2", "(x+1)^2", "x^2+2x+1", "", "$", "9^{9^{9}}", "no idea", "1/2", "0.5"]
    chosen = data.draw(st.lists(st.sampled_from(pool), max_size=5))
    order = data.draw(st.permutations(range(len(chosen))))
    groups = grade.classes(chosen, "expression")
    shuffled = grade.classes([chosen[index] for index in order], "expression")
    assert {frozenset(order[index] for index in group) for group in shuffled} == {frozenset(g) for g in groups}


@unhurried
@given(st.integers(-(10**12), 10**12))
def test_every_way_of_writing_a_whole_number_is_one_answer(number):
    spellings = [
        f"{number}", f"{number:,}", f"{number}.0", f"{number} apples", f"${number}", f"**{number}**", f"{number * 3}/3",
        f"{number}e0", f"{number * 100}%", f"{number}".replace("-", "−"), f"{number}.",
    ]  # fmt: skip
    assert len(grade.classes(spellings, "number")) == 1
    assert not grade.same(f"{number}", f"{number + 1}", "number")


@unhurried
@given(st.decimals(-(10**6), 10**6, places=4))
def test_an_announced_number_comes_back_whole(number):
    for text in (
        f"Answer: {number}",
        f"Thinking of 3 and 4.\n**Answer:** {number}.\nConfidence: 70%",
        f"\\boxed{{{number}}}",
    ):
        found = grade.extract(text, "number")
        assert found is not None
        assert grade.same(found, str(number), "number")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("number", "-1,234.5"),
        ("expression", r"\frac{x+1}{2}"),
        ("choice", "C"),
        ("yesno", "no"),
        ("short", "New York"),
        ("list", "red, green, blue"),
        ("code", "return 1"),
        ("text", "Better not."),
    ],
)
def test_what_is_announced_is_what_is_read(kind, answer):
    assert grade.extract(f"I thought it over.\nAnswer: {answer}", kind, CHOICES) == answer


@unhurried
@given(st.from_regex(r"[A-Z][a-z]{2,10}( [A-Z][a-z]{2,10})?", fullmatch=True))
def test_a_name_that_is_announced_comes_back(name):
    assert grade.extract(f"Some words first.\nAnswer: {name}.", "short") == name
