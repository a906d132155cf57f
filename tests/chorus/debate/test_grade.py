"""What answer a text gives, by example."""

import pytest

from chorus.debate import grade
from chorus.types import Question

CITIES = ("Paris", "London", "Rome")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7 * 8 = 56", "56"),
        ("The answer is 56.", "56"),
        ("The sum of 3 and 4 is 7.", "7"),
        ("The answer to 7 * 8 is 56.", "56"),
        ("7 times 8 equals 56", "56"),
        ("I multiplied 7 by 8 to get 56 apples.", "56"),
        ("56. I multiplied 7 by 8.", "56"),
        ("56 is the product of 7 and 8.", "56"),
        ("There are seven apples.", "seven"),
        ("Answer: 56 (because 7 * 8 = 56)", "56"),
        ("Answer: 7 * 8 = 56", "56"),
        ("Answer: 5 - 7 = -2", "-2"),
        ("Answer:\n\nThe sum of 17 and 25 is 42.", "42"),
        ("The answer is:\n$$\n17 + 25 = 42\n$$", "42"),
        ("7 × 8 = **56**", "56"),
        ("Answer: B) 56", "56"),
        ("Answer: 8/2 = 4", "8/2"),
        ("**Answer:** 56 apples", "56"),
        ("Answer:\n\n**56**", "56"),
        ("Final answer: $1,000.50.", "1,000.50"),
        ("A: 56", "56"),
        ("#### 42", "42"),
        (r"So it is \boxed{\frac{1}{2}}.", "1/2"),
        (r"Final Answer: The final answer is $56$. I hope it is correct.", "56"),
        ("Answer: −3 °C", "-3"),
        ("It rose by 50%.", "50%"),
        ("Answer: 3 million", "3 million"),
        ("Answer: 1.5 × 10^3", "1.5 × 10^3"),
        ("1. First, 7 * 8 = 56.\n2. Done.", "56"),
        ("Step 1: take 3.\nStep 2: add 4.\nTotal: 7", "7"),
    ],
)
def test_a_number_is_read_however_it_is_put(text, answer):
    assert grade.extract(text, "number") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 54. Wait, that is wrong.\nAnswer: 56", "56"),
        ("The answer is 54. No: the answer is 56.", "56"),
        (r"\boxed{54} was wrong. Answer: 56", "56"),
        (r"Answer: 54, no, \boxed{56}", "56"),
        ("Answer: 56\nI am sure that the answer is correct.", "56"),
        ("Answer: 56\nAnswer: <your answer>", "56"),
        ("Answer: 56\nAnswer:", "56"),
        ("My answer is 56, though the skeptic's answer is 54.", "56"),
    ],
)
def test_the_last_announcement_counts_that_can_be_read(text, answer):
    assert grade.extract(text, "number") == answer


@pytest.mark.parametrize("text", ["", "   ", "7 * 8", "The answer is 7 * 8.", "I don't know.", "2024-05-01", "H2O"])
def test_no_number_is_made_up(text):
    assert grade.extract(text, "number") is None


@pytest.mark.parametrize(
    "text",
    [
        "It is 56.\nConfidence: 80%",
        "7 * 8 = 56. I am 90% sure.",
        "Answer: 56 (confidence: 0.8)",
        "**Answer:** 56\n\n**Confidence:** 95 percent",
        "Answer:\nConfidence: 80%\n56",
    ],
)
def test_confidence_is_not_taken_for_the_answer(text):
    assert grade.extract(text, "number") == "56"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("b) London", "B"),
        ("**B) London**", "B"),
        ("Answer: B) Paris", "B"),
        ("The answer is London.", "B"),
        ("Answer: The capital is London, I think", "B"),
        ("I choose option B.", "B"),
        ("The correct option is B because it is larger.", "B"),
        ("It is not Paris but London", "B"),
        ("So I think B is correct, rather than A.", "B"),
        ("A good question. I say (B).", "B"),
        ("Answer: E", None),
        ("A city is a large town.", None),
        ("", None),
    ],
)
def test_a_choice_is_read_as_its_letter(text, letter):
    assert grade.extract(text, "choice", CITIES) == letter


def test_a_choice_named_in_full_is_not_mistaken_for_a_letter():
    assert grade.extract("Answer: A bus", "choice", ("The train", "A bus")) == "B"


def test_without_known_choices_any_letter_will_do():
    assert grade.extract("The answer is (D).", "choice") == "D"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes, because 7 is prime.", "yes"),
        ("No.", "no"),
        ("**Yes**", "yes"),
        ("Answer: True", "yes"),
        ("The statement is false.", "no"),
        ("The statement is not true.", "no"),
        ("At first I said yes. But the answer is no.", "no"),
        ("There is no doubt.\nAnswer: yes", "yes"),
        ("There is no evidence for that", None),
        ("", None),
    ],
)
def test_yes_and_no_are_read_where_they_are_clear(text, answer):
    assert grade.extract(text, "yesno") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The capital of France is Paris.", "Paris"),
        ("Paris is the capital of France.", "Paris"),
        ("Paris. It is known for the Eiffel Tower.", "Paris"),
        ("The answer is **Paris**.", "Paris"),
        ('Answer: "Paris", because it is the seat of government.', "Paris"),
        ("Answer: St. Louis. It is in Missouri.", "St. Louis"),
        ("Answer: George W. Bush", "George W. Bush"),
        ("Answer: Life is Beautiful", "Life is Beautiful"),
        ("William Shakespeare wrote Hamlet.", "William Shakespeare"),
        ("Hamlet was written by William Shakespeare.", "William Shakespeare"),
        ("The Treaty of Versailles was signed in 1919.", "1919"),
        ("The Nile is the longest river in the world.", "The Nile"),
        ("The chemical symbol for gold is Au.", "Au"),
        ("I recall the map.\nSo, the capital of France is Paris.", "Paris"),
        ("This can be looked at in very many ways, and every one of them has something going for it", None),
        ('The answer is "Tokyo" and the solution is "Tokyo".', "Tokyo"),
        ('Answer: "The Old Man and the Sea" by Hemingway', "The Old Man and the Sea"),
    ],
)
def test_a_short_answer_is_taken_out_of_its_sentence(text, answer):
    assert grade.extract(text, "short") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The primes are 2, 3, 5.", "2, 3, 5"),
        ("Answer: 2, 3, 5 (all of them prime)", "2, 3, 5"),
        ("Here they are:\n- red\n- blue", "red, blue"),
        ("Answer:\n1. red, or so\n2. blue", "red, or so; blue"),
        ("", None),
    ],
)
def test_a_list_is_read_on_one_line(text, answer):
    assert grade.extract(text, "list") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: x = 3", "x = 3"),
        ("The simplified form is 5x.", "5x"),
        ("3x + 2x = 5x", "5x"),
        (r"Hence $x^2+1$ it is.", "x^2+1"),
        (r"\boxed{\frac{\sqrt{x}}{2}}", r"\frac{\sqrt{x}}{2}"),
        ("I have no idea", None),
    ],
)
def test_an_expression_is_read_as_written(text, answer):
    assert grade.extract(text, "expression") == answer


def test_code_is_the_last_fenced_block():
    text = "First try:\n```\nx = 1\n```\nBetter:\n```python\ndef f():\n    return 2\n```\nDone."
    assert grade.extract(text, "code") == "def f():\n    return 2"


def test_code_cut_off_by_the_token_limit_runs_to_the_end():
    assert grade.extract("```python\ndef f():\n    return", "code") == "def f():\n    return"


def test_a_free_text_is_what_follows_the_marker_or_everything():
    assert grade.extract("Let me see.\n\nAnswer: We should.\n\nIt pays.", "text") == "We should.\n\nIt pays."
    assert grade.extract(" We should, since it pays.\nConfidence: 80%\n", "text") == "We should, since it pays."
    assert grade.extract("Some say the answer is no. I disagree.", "text") == "Some say the answer is no. I disagree."


def test_long_texts_are_read_at_their_end_and_long_answers_are_cut():
    essay = "word " * 30_000
    assert grade.extract("Answer: 54\n" + essay + "\nAnswer: 56", "number") == "56"
    assert grade.extract("Answer: 54\n" + essay, "number") is None
    assert len(grade.extract(essay, "text") or "") <= grade.MAX_ANSWER


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("Confidence: 80%", 0.8),
        ("confidence: 0.8", 0.8),
        ("Confidence: 8/10", 0.8),
        ("**Confidence:** 80 percent", 0.8),
        ("My confidence is 80%.", 0.8),
        ("Confidence level: 80 out of 100", 0.8),
        ("Confidence: 80", 0.8),
        ("I am 80% sure.", 0.8),
        ("Confidence: 20%. On reflection, confidence: 80%", 0.8),
        ("Confidence: 1", 1.0),
        ("Confidence: 5", None),  # of 10, or of 100?
        ("Confidence: high", None),
        ("Confidence: 150%", None),
        ("80% of voters", None),
        ("", None),
    ],
)
def test_stated_confidence(text, confidence):
    assert grade.stated_confidence(text) == (None if confidence is None else pytest.approx(confidence))


@pytest.mark.parametrize(
    ("ballot", "ranking"),
    [
        ("B, A, C", ["London", "Paris", "Rome"]),
        ("B > C", ["London", "Rome"]),
        ("1. B\n2. A\n3. C", ["London", "Paris", "Rome"]),
        ("A. Paris\nB. London\nC. Rome\n\nC, A, B", ["Rome", "Paris", "London"]),
        ("I put (B) before (A).", ["London", "Paris"]),
        ("A good case can be made for B", ["London"]),
        ("London is best, then Rome.", ["London", "Rome"]),
        ("Answer: B, B, D, A", ["London", "Paris"]),
        ("I can't say.", []),
    ],
)
def test_a_ballot_is_read_best_first(ballot, ranking):
    assert grade.ranking(ballot, CITIES) == ranking


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ("yes", True),
        ("No.", False),
        ("**No**", False),
        ("Yes, it is right.", True),
        ("Yes it is", True),
        ("No, the right answer is 56", False),
        ("Correct.", True),
        ("7 times 8 is 56: no slip.\nyes", True),
        ("The first step is correct. The second is not.\n\nno", False),
        ("54 does not hold.\nAnswer: no\nConfidence: 90%", False),
        ("Yes.\nAnswer: 56\nConfidence: 90%", True),
        ("No step is wrong, and so", None),
        ("The first step is correct. The second", None),
        ("Correct answer: 56", None),
        ("Answer: 56", None),
        ("", None),
    ],
)
def test_a_check_says_yes_or_no_in_its_last_line_or_its_first(check, says):
    assert grade.verdict(check) is says


KINDS = {
    "number": [
        "What is 7 * 8?",
        "7*8",
        "What is 15% of 80?",
        "What is five plus six?",
        "What is the square root of 144?",
        "Natalia sold 48 clips in April, and half as many in May. How many clips did she sell altogether?",
        "In what year did the war end?",
        "What is x if 2x + 3 = 7?",
        "Convert 5 km to miles.",
        "If a shirt costs $20 and is 25% off, what is the sale price?",
    ],
    "choice": [
        "Which is it? (A) one (B) two",
        "What is the capital of France?\nA) Paris\nB) London",
        "Pick one:\nA. Paris\nB. London",
    ],
    "yesno": [
        "Is 7 prime?",
        "Does ice float?",
        "Would a pear sink in water?",
        "Answer yes or no: whales are fish.",
    ],
    "code": ["Write a function that reverses a string.", "Can you write a Python program that sorts numbers?"],
    "list": [
        "List the primes below 10.",
        "Name three colours.",
        "What are the first five primes?",
        "Put 3, 1, 2 in ascending order.",
    ],
    "expression": [
        "Solve for x: 2x + 3 = 7",
        "Simplify 3x + 2x.",
        "What is the derivative of x^2?",
        "Factor x^2 - 5x + 6",
    ],
    "short": [
        "What is the capital of France?",
        "Who wrote Hamlet?",
        "When did the Berlin Wall fall?",
        "Which planet is the largest?",
        "Is a tomato a fruit or a vegetable?",
    ],
    "text": [
        "Should we adopt nuclear power?",
        "Why is the sky blue?",
        "Explain gravity.",
        "Could you explain gravity?",
        "Write an essay about love.",
        "What is the difference between a frog and a toad?",
        "How do planes fly?",
        "",
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in KINDS.items() for text in texts])
def test_the_wording_tells_what_is_wanted(kind, text):
    assert grade.infer_kind(Question(question=text)) == kind


def test_what_the_question_says_goes_before_its_wording():
    assert grade.infer_kind(Question(question="What is 7 * 8?", kind="text")) == "text"
    assert grade.infer_kind(Question(question="What is 7 * 8?", choices=("54", "56"))) == "choice"


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("Which? (A) one (B) two, or (C) three?", ("one", "two", "three")),
        ("Which?\nA) Paris\nB) London\n\nAnswer with the letter.", ("Paris", "London")),
        ("Pick one:\nA. Paris\nB. London", ("Paris", "London")),
        ("Choose:\n a) yes\n b) no", ("yes", "no")),
        ("Explain (a) how it works and (b) what it costs.", ()),
        ("Is vitamin A good?", ()),
        ("Which? (B) two (C) three", ()),
    ],
)
def test_choices_are_read_from_the_question(text, choices):
    assert grade.infer_choices(Question(question=text)) == choices


def test_choices_that_are_given_are_kept():
    assert grade.infer_choices(Question(question="Which? (A) x (B) y", choices=("p", "q"))) == ("p", "q")


def test_only_free_text_is_beyond_comparison():
    assert not grade.comparable("text")
    assert all(grade.comparable(kind) for kind in ("number", "expression", "choice", "yesno", "short", "list", "code"))
