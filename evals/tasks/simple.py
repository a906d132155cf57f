"""Questions that a very small model can nearly answer, made by rules of ours: they need no package."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from evals.tasks.capitals import CAPITALS
from evals.tasks.splits import SEEDS, Split
from evals.tasks.task import Item, Task

_NAMES = ("Ann", "Ben", "Cora", "Dan", "Eva", "Finn", "Grace", "Hugo", "Ida", "Jon", "Kim", "Leo", "Mia", "Noah")
_THINGS = ("apples", "books", "coins", "eggs", "marbles", "pens", "plums", "shells", "stamps", "stones")


def one_digit_sums(rng: random.Random) -> Item:
    """Add two digits."""
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return Item(f"What is {a} + {b}?", str(a + b))


def one_digit_products(rng: random.Random) -> Item:
    """Multiply two digits."""
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    return Item(f"What is {a} * {b}?", str(a * b))


def two_digit_sums(rng: random.Random) -> Item:
    """Add two numbers of two digits."""
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    return Item(f"What is {a} + {b}?", str(a + b))


def largest_of_three(rng: random.Random) -> Item:
    """Find the largest of three numbers of two or three digits."""
    a, b, c = rng.sample(range(10, 1000), 3)
    return Item(f"Which number is the largest: {a}, {b} or {c}?", str(max(a, b, c)))


def word_problems(rng: random.Random) -> Item:
    """Follow a number through two steps."""
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    has, boxes, each = rng.randint(2, 20), rng.randint(2, 5), rng.randint(2, 9)
    lost = rng.randint(1, has - 1)
    if rng.random() < 0.5:
        story, left = f"buys {boxes} boxes of {each} {thing} each", has + boxes * each
    else:
        story, left = f"gives away {lost} and then finds {each} more", has - lost + each
    return Item(f"{name} has {has} {thing}, {story}. How many {thing} does {name} have now?", str(left))


def _capitals(split: Split) -> Iterator[Item]:
    for country, city in CAPITALS.items():
        yield Item(f"What is the capital of {country}?", city)


def _drawn(make: Callable[[random.Random], Item]) -> Callable[[Split], Iterator[Item]]:
    return lambda split: (make(random.Random(seed)) for seed in SEEDS[split])


def tasks() -> Iterator[Task]:
    """Yield them."""
    made = "evals/tasks/simple.py"
    for make in (one_digit_sums, one_digit_products, two_digit_sums, largest_of_three, word_problems):
        yield Task(make.__name__.replace("_", "-"), "number", made, "Apache-2.0", _drawn(make))
    facts = "capitals are common knowledge, which is what is asked for"
    yield Task("capitals", "short", "evals/tasks/capitals.py", "Apache-2.0", _capitals, seen=facts)
