"""When two answers are the same, by example."""

import pytest

from chorus.debate import grade

SAME = {
    "number": [
        ["56", "56.0", "56 apples", "$56", "+56", "fifty-six", "5.6e1", "**56**", "= 56", "x = 56"],
        ["1000", "1,000", "1 000", "$1,000.00", r"1{,}000", "10^3", "1 thousand"],
        ["1/2", "0.5", ".5", "50%", "50 percent", r"\frac{1}{2}", "½", "3/6"],
        ["50"],
        ["-3", "−3", "minus three", "-3.0"],
        ["1/3", "0.333333", "0.33333333"],
        ["0.33"],
        ["3/2", "1 1/2", "1½", "1.5"],
        ["2500000", "2.5 million", "2.5 × 10^6"],
        ["unknown", "Unknown."],
        ["1e999999999", "1E999999999"],
    ],
    "choice": [["B", "b", "(b)", "B.", "b) London", "London", "the london"], ["A", "Paris"], ["neither"]],
    "yesno": [["yes", "Yes.", "y", "true", "True"], ["no", "No!", "N", "false"], ["maybe"]],
    "short": [
        ["Paris", "paris.", " PARIS ", '"Paris"'],
        ["The Beatles", "Beatles", "the beatles"],
        ["Gödel", "Godel", "Go\u0308del"],
        ["U.S.A.", "USA", "usa"],
        ["1969", "in 1969", "1,969"],
        ["-5", "−5"],
        ["5", "five", "5.0"],
        ["C"],
        ["C++"],
        ["C#"],
        ["सीता"],
        ["सता"],
    ],
    "list": [
        [
            "2, 3, 5",
            "2,3,5",
            "[2, 3, 5]",
            "2; 3; 5",
            "2, 3 and 5",
            "2, 3, and 5.",
            "- 2\n- 3\n- 5",
            "2.0, 3, 5",
            "2 3 5",
        ],
        ["5, 3, 2"],
        ["-2, 3, 5"],
        ["red and blue", "Red, Blue", "1. red\n2. blue"],
        ["1,000, 2,000", "1000, 2000"],
    ],
    "code": [
        ["def f():\n    return 1", "```python\ndef f():\n    return 1\n```", "  def f():  \r\n      return 1\n\n"],
        ["def f():\n  return 1"],
    ],
    "text": [["We should.", "  we  should.\n"], ["We should not."]],
    "expression": [
        ["x^2 + 2x + 1", "(x+1)^2", "(x+1)**2", r"$(x+1)^{2}$", "x² + 2*x + 1"],
        ["sqrt(8)", r"2\sqrt{2}", "2√2"],
        ["3", "3.0", "x = 3", r"\frac{6}{2}"],
        ["2, 3", "x = 2 or x = 3", r"\{3, 2\}"],
        ["x^0.5", r"\sqrt{x}"],
        ["[1, 2)", r"\left[1,2\right)"],
        [r"x = \pm 2", "x=±2"],
        ["-2", "x=-2"],
        ["five boxes", "five  boxes"],
    ],
}


@pytest.mark.parametrize("kind", SAME)
def test_each_line_is_one_class(kind):
    groups = SAME[kind]
    answers = [answer for group in groups for answer in group]
    expected, start = [], 0
    for group in groups:
        expected.append(list(range(start, start + len(group))))
        start += len(group)
    assert grade.classes(answers, kind, ("Paris", "London")) == expected


def test_classes_come_in_order_of_first_appearance():
    assert grade.classes(["54", "56", "54.0", "56.0", "55"], "number") == [[0, 2], [1, 3], [4]]
    assert grade.classes([], "number") == []


def test_whole_numbers_are_told_apart_however_long():
    assert not grade.same("12345678901234567890", "12345678901234567891", "number")
    assert not grade.same("1234567.25", "1234567.26", "number")


def test_a_formula_is_not_its_number():
    assert not grade.same("√2", "2", "number")
    assert not grade.same("2x", "2", "number")


def test_a_percentage_is_a_fraction_and_never_two_numbers():
    assert grade.same("50%", "1/2", "number")
    assert not grade.same("50%", "50", "number")


def test_expressions_are_the_same_when_a_chain_links_them():
    # `x = 3` and `y = 3` are both the bare 3 to math-verify; on their own they differ.
    assert grade.classes(["x = 3", "y = 3"], "expression") == [[0], [1]]
    assert grade.classes(["x = 3", "y = 3", "3"], "expression") == [[0, 1, 2]]


def test_an_expression_too_long_to_parse_is_compared_as_text():
    long = "+".join(f"x^{power}" for power in range(2, 99))
    assert grade.same(long, long.replace("+", " + "), "expression")
    assert not grade.same(long, long + "+1", "expression")


def test_a_read_answer_is_the_same_as_the_one_in_the_question_file():
    said = grade.extract(r"Adding up, we get \boxed{\frac{1}{2}}.", "number")
    assert said is not None
    assert grade.same(said, "0.5", "number")
