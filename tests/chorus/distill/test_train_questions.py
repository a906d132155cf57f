"""What may be trained on, and what is refused."""

import json

import pytest
from workshop import question, write_questions

from chorus import QuestionError
from chorus.distill.questions import tasks_of, to_measure_on, to_train_on


def test_a_train_split_is_taken(tmp_path):
    path = write_questions(tmp_path / "train.jsonl", {"What is 1 + 1?": "2", "What is 1 + 2?": "3"})
    assert [one.id for one in to_train_on(path)] == ["sums/train/1", "sums/train/2"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_another_split_is_refused_whatever_the_user_says(tmp_path, split):
    path = write_questions(tmp_path / "q.jsonl", {"What is 1 + 1?": "2"}, split)
    with pytest.raises(QuestionError, match=f"belongs to the {split} split"):
        to_train_on(path, split="train")


def test_one_question_of_another_split_spoils_the_file(tmp_path):
    path = write_questions(tmp_path / "q.jsonl", {"What is 1 + 1?": "2"})
    with path.open("a") as stream:
        stream.write(json.dumps({"id": "sums/test/1", "question": "What is 2 + 2?"}) + "\n")
    with pytest.raises(QuestionError, match="'sums/test/1' belongs to the test split"):
        to_train_on(path)


def test_a_file_that_does_not_say_its_split_is_taken_on_the_users_word_alone(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"id": "q1", "question": "What is 1 + 1?"}) + "\n")
    with pytest.raises(QuestionError, match="--split train"):
        to_train_on(path)
    assert len(to_train_on(path, split="train")) == 1


@pytest.mark.parametrize("spelt", ["what is  1 + 1?", "What is 1 + 1?", "WHAT IS 1 + 1? "])
def test_a_question_that_a_held_out_file_asks_too_is_refused(tmp_path, spelt):
    train = write_questions(tmp_path / "train.jsonl", {"What is 1 + 1?": "2", "What is 1 + 2?": "3"})
    test = write_questions(tmp_path / "test.jsonl", {spelt: "2"}, "test")
    with pytest.raises(QuestionError, match="'sums/train/1' is its 'sums/test/1'"):
        to_train_on(train, held_out=[test])


def test_a_minus_is_not_a_plus(tmp_path):
    train = write_questions(tmp_path / "train.jsonl", {"What is 7 - 1?": "6"})
    test = write_questions(tmp_path / "test.jsonl", {"What is 7 + 1?": "8"}, "test")
    assert to_train_on(train, held_out=[test])


def test_training_measures_on_dev_and_never_on_test(tmp_path):
    dev = write_questions(tmp_path / "dev.jsonl", {"What is 3 + 3?": "6"}, "dev")
    assert len(to_measure_on(dev, [question()])) == 1
    test = write_questions(tmp_path / "test.jsonl", {"What is 3 + 3?": "6"}, "test")
    with pytest.raises(QuestionError, match="measure on dev"):
        to_measure_on(test, [question()])
    with pytest.raises(QuestionError, match="to train on are in"):
        to_measure_on(dev, [question("What is 3 + 3?", "6")])


def test_the_ids_say_which_tasks_questions_are_of():
    ids = ("sums/train/1", "products/train/1", "sums/train/2", "mine-7", "gym/chain/train/3")
    assert tasks_of(question(name=name) for name in ids) == ["sums", "products", "gym/chain"]
