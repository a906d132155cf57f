"""A baked model's speakers, swapped by name in its own transcript."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from chorus.types import Question
from interp.errors import LensError
from interp.swaps import MAX_TOKENS, swapped_names

pytestmark = pytest.mark.interp

NAMES = {"skeptic": "The Skeptic", "formalist": "The Formalist", "plain": "The Plain Voice"}


class Words:
    """A tokenizer with a token a word; what follows a word without a space belongs to it."""

    pad_token_id = 0

    def __init__(self):
        self.known = {}

    def apply_chat_template(self, messages, **options):
        text = " ".join(message["content"] for message in messages)
        return self(text)["input_ids"] if options.get("tokenize", True) else text

    def __call__(self, text, **options):
        return {"input_ids": [self.known.setdefault(word, 1 + len(self.known)) for word in text.split()]}

    def words(self, ids):
        back = {number: word for word, number in self.known.items()}
        return [back[number] for number in ids if number]


@dataclass
class Turn:
    persona: str
    text: str
    kind: str = "speech"
    status: str = "done"
    heard: tuple = ()


@dataclass
class Record:
    turns: list
    question: Question = field(default_factory=lambda: Question(question="How much is it?"))


def dialogue(*turns):
    """A record of what was said in this order, whose turns stand in another, as records' do."""
    return Record([Turn(*each, heard=tuple(range(place))) for place, each in enumerate(turns)][::-1])


def test_the_two_sides_differ_in_the_name_alone():
    told = dialogue(("formalist", "By the rule, nine."), ("skeptic", "Is it?"), ("formalist", "It is."))
    words = Words()
    pairs = swapped_names(words, [told], "skeptic", NAMES)
    assert len(pairs) == 1
    differing = (pairs.clean != pairs.corrupt).any(0)
    assert differing.sum() == 1
    assert words.words(pairs.clean[0, differing].tolist()) == ["Skeptic:"]
    assert words.words(pairs.corrupt[0, differing].tolist()) == ["Formalist:"]
    assert words.words(pairs.clean[0].tolist())[-2:] == ["Is", "it?"]
    assert words.words(pairs.clean[1].tolist())[-2:] == ["It", "is."], "what was said before could be copied"
    assert "rule," in words.words(pairs.clean[0].tolist()), "it has heard what came before"


def test_each_turn_of_the_persona_gives_a_pair_and_long_turns_are_cut():
    long = " ".join(f"word{number}" for number in range(100))
    told = dialogue(("skeptic", long), ("skeptic", "Is it?"), ("formalist", "Nine."), ("skeptic", "It is."))
    pairs = swapped_names(Words(), [told, told], "skeptic", NAMES)
    assert len(pairs) == 4
    assert int((pairs.weights > 0).sum(1).max()) == MAX_TOKENS
    assert set(pairs.groups) == {"How much is it?"}


def test_names_of_other_lengths_failed_turns_and_those_before_give_none():
    told = dialogue(("plain", "Nine."), ("skeptic", "Is it?"), ("formalist", "Yes.", "speech", "failed"))
    for record in (told, dialogue(("formalist", "Nine."), ("skeptic", "Is it?"))):
        with pytest.raises(LensError, match="in 1 dialogues no turn of skeptic"):
            swapped_names(Words(), [record], "skeptic", NAMES)
    with pytest.raises(LensError, match="in 0 dialogues"):
        swapped_names(Words(), [], "skeptic", NAMES)
