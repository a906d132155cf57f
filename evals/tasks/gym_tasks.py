"""The tasks made of reasoning-gym's generators: which, at what difficulty, in which words.

Difficulties suit a model of 135M weights: `evals/results/headroom.md` says what it scores on each. The first level of a
task is the one meant by its bare name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from evals.tasks.gym import Entry, Gym

_ORDERS = r"\s*(?:Respond|Reply|Answer|State|Provide|Give|Return)\b(?:(?!\?).)*$"
"""The last sentence of a question that only says how to answer: our prompts do."""


def _of(template: str) -> Callable[[Entry], str]:
    """Word a question by its metadata."""
    return lambda entry: template.format(**entry["metadata"])


def _asked(entry: Entry) -> str:
    """Take the question as it is."""
    return str(entry["question"])


def _plainly(entry: Entry) -> str:
    """Take the question as it is, less its last sentence where that gives orders."""
    return re.sub(_ORDERS, "", str(entry["question"]).strip(), flags=re.S)


def _listed(field: str, template: str) -> Callable[[Entry], str]:
    """Word a question about a list in the metadata."""
    return lambda entry: template.format(**entry["metadata"] | {field: ", ".join(map(str, entry["metadata"][field]))})


def _legs(entry: Entry) -> str:
    animals = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in entry["metadata"]["animals"].items()]
    return f"How many legs do {' and '.join(animals)} have?"


def _filtered(entry: Entry) -> str:
    return re.sub(r"[\[\]']", "", str(entry["question"]).partition("\n")[0])


def _last_line(entry: Entry) -> str:
    return str(entry["question"]).strip().splitlines()[-1]


def _letters(entry: Entry) -> str:
    return f"Which word is made of the letters {entry['metadata']['scrambled_words'][0]}?"


def _spiral(entry: Entry) -> str:
    rows = "\n".join(" ".join(map(str, row)) for row in entry["metadata"]["matrix"])
    return f"What are the numbers of this square, read clockwise from the top left?\n{rows}"


def _items(answer: str) -> str:
    """Turn a Python list into one with commas alone."""
    return ", ".join(str(item).removesuffix(".0") for item in ast.literal_eval(answer))


def _truth(answer: str) -> str:
    return {"True": "yes", "False": "no"}.get(answer, answer.lower())


def _between(**bounds: tuple[Any, Any]) -> dict[str, Any]:
    """Set `min_NAME` and `max_NAME` of a configuration."""
    return {
        f"{end}_{name}": value for name, pair in bounds.items() for end, value in zip(("min", "max"), pair, strict=True)
    }


def _fixed(**sizes: Any) -> dict[str, Any]:
    """Set `min_NAME` and `max_NAME` of a configuration to the same value."""
    return _between(**{name: (size, size) for name, size in sizes.items()})


_PLUS_MINUS_TIMES = {"operators": ("+", "-", "*"), "allow_parentheses": False, "allow_negation": False}
_EQUATIONS = {"operators": ("+", "-"), "operators_weights": (0.5, 0.5)}

GYM_TASKS: tuple[Gym, ...] = (
    Gym(
        "chain-sums",
        "chain_sum",
        "number",
        _of("What is {expression}?"),
        {
            "digits": _fixed(terms=2, digits=1),
            "3-terms": _fixed(terms=3, digits=1),
            "2-digits": _fixed(terms=2, digits=2),
        },
    ),
    Gym(
        "products",
        "products",
        "number",
        lambda entry: f"What is {entry['metadata']['expression']}?",
        {"digits": _fixed(terms=2, digits=1), "2-digits": _fixed(terms=2, digits=2)},
    ),
    Gym(
        "basic-arithmetic",
        "basic_arithmetic",
        "number",
        _of("What is {expression}?"),
        {
            "2-terms": _fixed(terms=2, digits=1) | _PLUS_MINUS_TIMES,
            "3-terms": _fixed(terms=3, digits=1) | _PLUS_MINUS_TIMES,
        },
    ),
    Gym(
        "decimal-sums",
        "decimal_chain_sum",
        "number",
        _of("What is {expression}?"),
        {"1-place": _fixed(terms=2, digits=1, decimal_places=1)},
    ),
    Gym(
        "gcd",
        "gcd",
        "number",
        _listed("numbers", "What is the greatest common divisor of {numbers}?"),
        {
            "to-10": _between(value=(2, 10)),
            "to-20": _between(value=(2, 20)),
            "to-100": _between(value=(2, 100)),
        },
    ),
    Gym(
        "lcm",
        "lcm",
        "number",
        _listed("numbers", "What is the least common multiple of {numbers}?"),
        {"to-9": _between(value=(2, 9)), "to-12": _between(value=(2, 12))},
    ),
    Gym(
        "count-bits",
        "count_bits",
        "number",
        _asked,
        {"to-200": _between(n=(1, 200))},
    ),
    Gym(
        "legs",
        "leg_counting",
        "number",
        _legs,
        {
            "1-animal": _fixed(animals=1) | _between(instances=(2, 5)),
        },
    ),
    Gym(
        "letters",
        "letter_counting",
        "number",
        _asked,
        {"3-words": _fixed(words=3), "5-words": _fixed(words=5)},
    ),
    Gym(
        "equations",
        "simple_equations",
        "number",
        _of("If {equation}, what is {variable}?"),
        {
            "sums": _fixed(terms=2) | _between(value=(1, 9)) | {"operators": ("+",), "operators_weights": (1.0,)},
            "sums-and-differences": _fixed(terms=2) | _between(value=(1, 9)) | _EQUATIONS,
        },
    ),
    Gym(
        "sequences",
        "number_sequence",
        "number",
        lambda entry: f"What is the next number in {str(entry['question']).replace(', ?', '')}?",
        {"1-rule": _between(terms=(4, 6), value=(0, 10)) | {"max_complexity": 1}},
    ),
    Gym(
        "base-conversion",
        "base_conversion",
        "short",
        lambda entry: re.sub("Now, convert (.*) to (.*)", r"What is \1 in \2?", _last_line(entry)),
        {"to-20": _between(base=(8, 12), value=(1, 20))},
    ),
    Gym(
        "triangles",
        "simple_geometry",
        "number",
        lambda entry: "Two angles of a triangle are {:g} and {:g} degrees. What is the third angle?".format(
            *entry["metadata"]["known_angles"]
        ),
        {"triangle": _fixed(sides=3)},
    ),
    Gym(
        "primes",
        "count_primes",
        "number",
        _of("How many prime numbers are there from {start} to {end}?"),
        {"to-20": _between(n=(1, 20))},
    ),
    Gym(
        "larger-number",
        "number_format",
        "number",
        lambda entry: "Which number is {}, {}?".format(
            entry["metadata"]["size"].replace("st", "r"),
            " or ".join(f"{number:.1f}" for number in entry["metadata"]["candidates"]),
        ),
        {
            "2-numbers": _fixed(num_candidates=2) | _between(n=(1, 100)) | {"max_delta": 50.0},
        },
        lambda answer: f"{float(answer):.1f}",
    ),
    Gym(
        "filter-numbers",
        "number_filtering",
        "list",
        _filtered,
        {
            "3-numbers": _fixed(numbers=3, decimals=0) | _between(value=(0, 50)),
            "2-numbers": _fixed(numbers=2, decimals=0) | _between(value=(0, 50)),
        },
        _items,
    ),
    Gym(
        "sort-numbers",
        "number_sorting",
        "list",
        lambda entry: str(entry["question"]).splitlines()[0].replace(".0", ""),
        {
            "2-numbers": _fixed(numbers=2, decimals=0) | _between(value=(0, 99)),
            "3-numbers": _fixed(numbers=3, decimals=0) | _between(value=(0, 99)),
            "5-numbers": _fixed(numbers=5, decimals=0) | _between(value=(0, 99)),
        },
        _items,
    ),
    Gym(
        "sort-words",
        "word_sorting",
        "list",
        _listed("transformed_words", "What are the words {transformed_words} in {direction} order of the alphabet?"),
        {
            "2-words": _fixed(words=2) | {"transformation": "lowercase"},
        },
    ),
    Gym(
        "reverse-words",
        "word_sequence_reversal",
        "list",
        _listed("words", "What is this list in reverse order: {words}?"),
        {"2-words": _fixed(words=2)},
    ),
    Gym(
        "jumbled-word",
        "letter_jumble",
        "short",
        _letters,
        {
            "slightly": _fixed(words=1) | _between(word_len=(4, 7), corruption_level=(0.1, 0.3)),
        },
    ),
    Gym(
        "needle",
        "needle_haystack",
        "short",
        _asked,
        {
            "4-statements": _fixed(num_statements=4),
            "2-statements": _fixed(num_statements=2),
            "8-statements": _fixed(num_statements=8),
        },
    ),
    Gym(
        "palindromes",
        "palindrome_generation",
        "short",
        _listed("letters", "Which palindrome is made of the letters {letters}?"),
        {"3-letters": _fixed(length=3)},
    ),
    Gym(
        "weekday-after",
        "calendar_arithmetic",
        "short",
        _asked,
        {
            "to-3-days": {"tasks": ["weekday_offset"], "offset_upper_bound": 3},
            "next-day": {"tasks": ["weekday_offset"], "offset_upper_bound": 1},
        },
    ),
    Gym(
        "leap-years",
        "calendar_arithmetic",
        "yesno",
        _plainly,
        {"200-years": {"tasks": ["is_leap_year"]}},
        _truth,
    ),
    Gym(
        "siblings",
        "aiw",
        "number",
        _asked,
        {"to-4": {"max_entities": 4, "task_types": ["siblings"], "task_type_weights": [1.0]}},
    ),
    Gym(
        "spiral",
        "spiral_matrix",
        "list",
        _spiral,
        {"2-by-2": _fixed(n=2)},
        lambda answer: ", ".join(answer.split()),
    ),
)
"""All of them."""
