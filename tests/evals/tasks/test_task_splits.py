"""No question is in two splits."""

from itertools import combinations, count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import tasks
from evals.tasks import simple
from evals.tasks.splits import SEEDS, SHARES, SPLITS, deal
from evals.tasks.task import PATIENCE, Item, distinct

OURS = [task.name for task in simple.tasks()]


def items(*texts):
    return [Item(text, "1") for text in texts]


def test_no_seed_is_in_two_splits():
    assert all(set(a).isdisjoint((b.start, b.stop - 1)) for a, b in combinations(map(SEEDS.get, SPLITS), 2))
    assert sorted(SEEDS.values(), key=lambda seeds: seeds.start) == list(SEEDS.values())
    assert all(a.stop <= b.start for a, b in zip(SEEDS.values(), list(SEEDS.values())[1:], strict=False))


def test_the_shares_are_all_there_is():
    assert sum(SHARES.values()) == pytest.approx(1.0)
    dealt = [deal(f"What is {number}?") for number in range(3000)]
    for split in SPLITS:
        assert dealt.count(split) / 3000 == pytest.approx(SHARES[split], abs=0.03)


@given(st.text())
def test_any_text_is_dealt_to_one_split_whatever_its_case_and_spaces(text):
    assert deal(text) in SPLITS
    assert deal(f"  {text}\n") == deal(text)
    assert deal("wHAT  is 3?") == deal("What is 3? ")


def test_a_question_is_dealt_as_it_was_before():
    # Were this to change, every result on dev would be one on train.
    dealt = [deal(f"What is 3 + {number}?") for number in range(4, 9)]
    assert dealt == ["train", "dev", "test", "dev", "train"]


def test_distinct_drops_what_was_seen_and_what_is_of_another_split():
    texts = [f"What is {number}?" for number in range(20)]
    wanted = [text for text in texts if deal(text) == "dev"]
    got = [item.text for item in distinct([*items(*texts), None, *items(*(text.upper() for text in texts))], "dev")]
    assert got == wanted


def test_a_generator_that_repeats_itself_is_given_up():
    drawn = []

    def for_ever():
        for number in count():
            drawn.append(number)
            yield Item(f"What is {number % 10}?", "1")

    assert 0 < len(list(distinct(for_ever(), "train"))) < 10
    assert len(drawn) <= PATIENCE + 10


@pytest.mark.parametrize("name", OURS)
def test_the_splits_of_a_task_share_no_text(name):
    texts = {split: {question.text for question in tasks.load(name, split, 60)} for split in SPLITS}
    assert all(texts.values())
    assert all(a.isdisjoint(b) for a, b in combinations(texts.values(), 2))


def test_the_few_products_of_digits_divide_without_a_rest():
    sizes = {split: len(tasks.load("one-digit-products", split, 1000)) for split in SPLITS}
    assert sum(sizes.values()) == 64
    assert min(sizes.values()) >= 8


def test_seeds_make_the_same_items_whenever_they_are_drawn():
    (task, *_) = simple.tasks()
    assert list(islice(task.items("dev"), 50)) == list(islice(task.items("dev"), 50))
