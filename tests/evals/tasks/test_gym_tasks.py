"""The tasks made of reasoning-gym's generators: our grader is as strict as a strict score of theirs."""

import ast
import os
import re
import subprocess
import sys
from itertools import islice

import pytest

from chorus.debate import grade
from evals import tasks
from evals.tasks.gym import LEFT_OUT
from evals.tasks.gym_tasks import GYM_TASKS
from evals.tasks.splits import SPLITS, deal

reasoning_gym = pytest.importorskip("reasoning_gym", reason="needs the `evals` extra")

LEVELS = [(gym, level) for gym in GYM_TASKS for level in gym.levels]
MANY = 10
JUNK = ("", "I don't know.", "Answer", "0 1 2 3 4 5 6 7 8 9", "maybe", "()")


@pytest.mark.parametrize(("gym", "level"), LEVELS, ids=[f"{gym.name}@{level}" for gym, level in LEVELS])
def test_our_grader_agrees_with_a_strict_score(gym, level):
    made, entries = zip(*islice(gym.entries("dev", level), MANY), strict=True)
    answers = [entry["answer"] for entry in entries]
    for entry in entries:
        item = gym.item(entry)
        if item is None:
            continue
        assert made[0].score_answer(entry["answer"], entry) == 1.0
        said = grade.extract(f"Answer: {item.answer}", gym.kind)
        assert said is not None
        assert grade.same(said, item.answer, gym.kind)
        for other in (*answers, *JUNK):
            theirs = made[0].score_answer(other, entry) == 1.0
            ours = bool(other) and grade.same(gym.answer(other) if other in answers else other, item.answer, gym.kind)
            assert ours == theirs, (other, entry["answer"])


@pytest.mark.parametrize("gym", GYM_TASKS, ids=lambda gym: gym.name)
def test_splits_share_no_question_and_questions_are_short(gym):
    texts = {split: [question.text for question in tasks.load(gym.name, split, 8)] for split in SPLITS}
    for split, asked in texts.items():
        assert len(set(asked)) == len(asked) == 8
        assert {deal(text) for text in asked} == {split}
        assert all(len(text) <= 400 for text in asked)


CALCULATIONS = ("chain-sums", "products", "basic-arithmetic", "decimal-sums")


@pytest.mark.parametrize("name", CALCULATIONS)
def test_a_calculation_comes_to_its_answer(name):
    for question in tasks.load(name, "dev", 15):
        worked = ast.parse(question.text.removeprefix("What is ").removesuffix("?"), mode="eval")
        assert eval(compile(worked, "question", "eval"), {}) == pytest.approx(float(question.answer))


DIGEST = """
import hashlib, json
from evals import tasks
from evals.tasks.gym_tasks import GYM_TASKS
asked = [tasks.load(gym.name, "dev", 5) for gym in GYM_TASKS]
print(json.dumps({some[0].id: hashlib.sha256(repr(some).encode()).hexdigest() for some in asked}))
"""


@pytest.mark.slow
def test_another_process_draws_the_same_questions():
    # A generator that draws by the order of a set makes others: Python orders sets anew in each process.
    told = [
        subprocess.run(
            [sys.executable, "-c", DIGEST], env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] != b""


def test_no_task_is_made_of_a_generator_that_was_left_out():
    assert not {gym.dataset for gym in GYM_TASKS} & set(LEFT_OUT)
    assert set(LEFT_OUT) <= set(reasoning_gym.factory.DATASETS)


def test_the_first_level_is_meant_by_the_bare_name():
    gym = next(gym for gym in GYM_TASKS if len(gym.levels) > 1)
    first, second = list(gym.levels)[:2]
    assert [task.name for task in gym.tasks()][:2] == [gym.name, f"{gym.name}@{second}"]
    assert f"({first})" in tasks.find(gym.name).source
    assert tasks.find(f"{gym.name}@{first}") is tasks.find(gym.name)
    assert tasks.load(f"{gym.name}@{first}", "dev", 1)[0].id == f"{gym.name}@{first}/dev/1"
    assert all(re.fullmatch(r"[a-z0-9-]+", word) for gym, level in LEVELS for word in (gym.name, level))


def test_what_was_left_out_for_its_scorer_does_reward_junk():
    halting = reasoning_gym.create_dataset("game_of_life_halting", seed=1, size=1)
    assert halting.score_answer("no idea", halting[0]) == 1.0
