"""What a warm start is trained on."""

import json

import pytest
from workshop import debated, question

from chorus.distill import cast, mix, rows
from chorus.distill.recipe import Sft
from chorus.distill.styles import PROMPTS
from chorus.errors import RecordError
from chorus.types import Message
from personas import Library


def sft(**changes) -> Sft:
    return Sft(steps=1, batch=1, learning_rate=0.1, **changes)


@pytest.fixture
def made(tmp_path):
    records = [debated(tmp_path), debated(tmp_path, question("What is 9 * 9?", "81", "sums/train/2"))]
    spoke = cast.of_records(records, Library.builtin().personas)
    return [row for record in records for row in rows.rows(record, spoke)]


def test_forms_are_seen_as_often_as_the_mix_says_and_wrong_debates_left_out(made):
    examples = mix.mixed(made, sft(mix={"plain": 2, "dialogue": 1}), seed=0)
    assert [text.count("\n") for _, text in examples] == [0, 0, 6]


def test_wrong_debates_are_in_when_asked_for(made):
    assert len(mix.mixed(made, sft(mix={"plain": 1}, keep="all"), seed=0)) == 2


def test_names_are_dealt_anew_for_the_control(made):
    plain, dealt = (
        mix.mixed(made, sft(mix={"dialogue": 1}, shuffle_names=dealt), seed=5)[0][1] for dealt in (False, True)
    )
    assert plain != dealt


def test_nothing_to_train_on_is_said(made):
    wrong = [row for row in made if not row.right]
    with pytest.raises(RecordError, match="ended right"):
        mix.mixed(wrong, sft(), seed=0)


def test_ordinary_chat_makes_up_its_share():
    assert mix.replayed(80, 0.2) == 20
    assert mix.replayed(80, 0.0) == 0
    assert mix.replayed(80, 1.0) == 80, "in the place of all others"


def test_the_same_chat_is_asked_plainly_and_in_every_style_in_turns():
    chat = [((Message(role="user", content=f"Hello {at}"),), f"Hi {at}") for at in range(6)]
    asked = mix.in_styles(chat, {"plain": 1, "compressed": 1, "dialogue": 1})
    systems = [next((line.content for line in prompt if line.role == "system"), None) for prompt, _ in asked]
    assert systems == [None, PROMPTS["answer"], PROMPTS["chorus"]] * 2
    assert [(prompt[-1:], text) for prompt, text in asked] == chat, "questions and replies stay as they were"
    assert len({prompt[0].content for prompt, _ in mix.in_styles(chat, {"plain": 1}) if len(prompt) == 2}) == 1


def test_everyday_prompts_come_with_the_package():
    assert len(mix.everyday()) >= 20


def test_a_users_own_chat(tmp_path):
    lines = [
        {"prompt": "Hello", "completion": "Hi"},
        {"prompt": [{"role": "user", "content": "Hello"}], "completion": [{"role": "assistant", "content": "Hi"}]},
    ]
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    first, second = mix.chats(path)
    assert first == second
    path.write_text(json.dumps({"prompt": "Hello"}))
    with pytest.raises(RecordError, match="line 1: wants `prompt` and `completion`"):
        list(mix.chats(path))
