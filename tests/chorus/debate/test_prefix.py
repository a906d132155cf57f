"""What stands before the persona only grows, token by token, so that an engine's prefix cache serves every seat.

By text this is so by construction; by tokens it holds only where the tokenizer never merges across the joint. Two
tokenizers are asked: a byte-level BPE made here, and the packaged model's own (marker `model`).
"""

from __future__ import annotations

import pytest
from debates import LIBRARY, SUM, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.debate.floor import Floor
from chorus.debate.prompts import Prompter
from chorus.types import Position, Turn

SEATS = ("skeptic", "estimator", "formalist")
WHO = "You speak as"

texts = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "I think  so.\n\n",
            "def f(x):\n\treturn x  \n",
            "Answer: 56",
            "`code`\r\n> quoted\n\n\n",
            "  \n ",
            "naïve 🙂🙂 … 你好",
            "[1.skeptic]\n> Answer",
            "</s><|im_end|>",
        ]
    ),
)
rounds = st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=3)


def prompts(said: list[list[str]]) -> list[list[str]]:
    """The prompts of each round and seat, as the ChatML template writes them, for a debate in which this was said."""
    of = plan("complete:visibility=full", SEATS, rounds=len(said) + 1)
    prompter, floor = Prompter(of, SUM, {seat: LIBRARY.get(seat) for seat in SEATS}), Floor(of, SUM)
    written = []
    for number in range(1, len(said) + 2):
        made = [prompter.speech(seat, seat, floor.heard((number, seat))).messages for seat in SEATS]
        written.append(
            ["".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages) for messages in made]
        )
        if number <= len(said):
            for seat, text in zip(SEATS, said[number - 1], strict=True):
                position = Position(answer="56")
                floor.add(
                    Turn(id=f"{number}.{seat}", round=number, seat=seat, persona=seat, text=text, position=position)
                )
    return written


def before_the_persona(tokenizer, text: str) -> list[int]:
    """The tokens that stand wholly before the line that says who is speaking; one must end just there."""
    where = text.rindex(WHO)
    encoding = tokenizer.encode(text)
    ids = [token for token, (_, end) in zip(encoding.ids, encoding.offsets, strict=True) if end <= where]
    assert encoding.offsets[len(ids)][0] == where, "a token reaches across the joint"
    return ids


def only_grows(tokenizer, said: list[list[str]]) -> None:
    earlier: list[int] = []
    for of_round in prompts(said):
        common = [before_the_persona(tokenizer, text) for text in of_round]
        assert all(ids == common[0] for ids in common), "all seats of a round read the same"
        assert common[0][: len(earlier)] == earlier, "the next round's prompt begins with this one's, token by token"
        assert len(common[0]) > len(earlier)
        earlier = common[0]


@pytest.fixture(scope="module")
def byte_level():
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([text for of_round in prompts([["Answer: 56\n\n"] * 3] * 3) for text in of_round], trainer)
    return made


@given(rounds)
@settings(max_examples=50)
def test_with_a_byte_level_tokenizer(byte_level, said):
    only_grows(byte_level, said)


@pytest.mark.model
@given(rounds)
@settings(max_examples=100)
def test_with_the_packaged_models_tokenizer(own, said):
    only_grows(own, said)


@pytest.fixture(scope="module")
def own():
    from tokenizers import Tokenizer

    from chorus import checkpoints

    return Tokenizer.from_file(str(checkpoints.resolve("smollm2-135m") / "tokenizer.json"))


def test_a_seat_knows_its_own_earlier_words():
    last = prompts([["Mine is 54."] * 3])[-1][0]
    assert "[1.skeptic]\n> Mine is 54." in last
    assert "your marks end in .skeptic" in last


def test_a_small_models_one_sentence_grows_up_to_its_end():
    """`brief` prompts tell answers in one sentence; what grows is all of it but its last words."""
    of = plan("complete:visibility=answer", SEATS, rounds=3, detail="brief")
    prompter, floor = Prompter(of, SUM, {seat: LIBRARY.get(seat) for seat in SEATS}), Floor(of, SUM)
    told = []
    for number in (1, 2):
        for seat in SEATS:
            position = Position(answer=str(50 + number))
            floor.add(Turn(id=f"{number}.{seat}", round=number, seat=seat, persona=seat, text="x", position=position))
        told.append(prompter.speech("skeptic", "skeptic", floor.heard((number + 1, "skeptic"))).messages[-1].content)
    grown = told[0].partition(". Some are wrong.")[0]
    assert grown.endswith("51; 51; 51")
    assert told[1].startswith(grown)
