"""What prompts share, counted in tokens: an engine's prefix cache knows no text, and a tokenizer may join what meets.

For seats that hear everything, what stands before the persona in one round begins what stands there in the next, token by
token. The joint is an empty line, after which a part of the prompt begins with a letter or with `[`: tokenizers that cut
text by a pattern, or never join a line's end to the next line, cut there whichever part follows. That is every byte-level
one in use; one that joined whatever it likes over the ends of lines would lose the last token before the joint.
"""

import functools
import re

import debates
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus import checkpoints
from chorus.debate.floor import Floor
from chorus.debate.prompts import Prompter
from chorus.types import Message, Position, Question, Turn

tokenizers = pytest.importorskip("tokenizers")

ROUNDS = 3
SEATS = (*debates.SEATS, "skeptic-2")
GPT_4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SNIPPETS = (
    "def f(x):\n    return x * 8\n",
    "7 * 8 = 56.",
    "\n\n",
    "  ",
    "\t",
    "\r\n",
    "ἀγορά 🏛️",
    "[2.skeptic]\n> ",
    "You speak as The Skeptic now",
    "Answer: 56",
    "…",
    "?!)",
    "```",
    "<|im_end|>",
    "e\u0301",
    "`code`\r\n> quoted\n\n\n",
    "</s><|im_end|>",
    "你好 🙂🙂",
)
WORDS = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=12), max_size=8).map("".join)
ANSWERS = st.none() | st.sampled_from(["56", "(a)", "x = 1.", "...", "[1, 2]"]) | st.text(min_size=1, max_size=8)
SAYINGS = st.lists(st.tuples(WORDS, ANSWERS), min_size=len(SEATS) * (ROUNDS - 1), max_size=len(SEATS) * (ROUNDS - 1))


# Prompts, as a debate would make them


class Prompts:
    """Every prompt of a debate in which these things were said, and where its persona begins."""

    def __init__(self, sayings, question=debates.SUM, *, visibility="full", **changes) -> None:
        plan = debates.plan(f"complete:visibility={visibility}", SEATS, rounds=ROUNDS, **changes)
        floor, self.prompter = Floor(plan, question), Prompter(plan, question, debates.cast(plan))
        self.messages, sayings = {}, iter(sayings)
        for number in range(1, ROUNDS + 1):
            for seat in plan.seats:
                heard = floor.heard((number, seat.seat))
                self.messages[number, seat.seat] = self.prompter.speech(seat.seat, seat.persona, heard).messages
            for seat in plan.seats if number < ROUNDS else ():
                floor.add(spoken(number, seat, *next(sayings)))

    def text(self, number: int, seat: str) -> str:
        return chat(self.messages[number, seat])

    def split(self, number: int, seat: str) -> tuple[str, str]:
        """Part a prompt at what is the seat's own."""
        text = self.text(number, seat)
        cue = self.prompter.personas[seat.removesuffix("-2")].cue
        before = text[: text.rindex("You speak as " if self.prompter.plan.detail == "full" else cue)]
        before = before.removesuffix(f"The words under .{seat} are yours. ")
        return before, text[len(before) :]


def spoken(number, seat, text, answer) -> Turn:
    position = Position(answer=answer) if answer is not None else None
    return Turn(
        id=f"{number}.{seat.seat}", round=number, seat=seat.seat, persona=seat.persona, text=text, position=position
    )


def chat(messages: tuple[Message, ...]) -> str:
    said = "".join(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n" for message in messages)
    return f"{said}<|im_start|>assistant\n"


# Tokenizers


@functools.cache
def trained(cut: str):
    """A byte-level BPE tokenizer that knows prompts like ours by heart, so that it joins all that it may."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    cuts = {
        "GPT-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        "GPT-4": [pre_tokenizers.Split(Regex(GPT_4), "isolated")],
        "lines": [pre_tokenizers.Split(Regex(r"\n+"), "isolated")],
    }[cut]
    tokenizer = Tokenizer(models.BPE())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts if cut == "GPT-2" else [*cuts, whole])
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(known_by_heart(), trainer)
    return tokenizer


def known_by_heart() -> list[str]:
    """Prompts in which each snippet once stands at the end of a turn."""
    known = []
    for detail in ("full", "brief"):
        for visibility in ("full", "answer"):
            said = [(f"So {snippet}", "56") for snippet in SNIPPETS[: len(SEATS) * (ROUNDS - 1)]]
            prompts = Prompts(said, detail=detail, visibility=visibility)
            known += [chat(messages) for messages in prompts.messages.values()]
    return known


@functools.cache
def packaged():
    """The tokenizer of the packaged model."""
    folder = checkpoints.resolve("smollm2-135m", lambda _: None)
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


TOKENIZERS = [
    *(pytest.param(functools.partial(trained, cut), id=cut) for cut in ("GPT-2", "GPT-4", "lines")),
    pytest.param(packaged, id="SmolLM2", marks=pytest.mark.model),
]


def tokens(tokenizer, text: str, until: str) -> list[int]:
    """Return the ids of the tokens before a place in the text, at which no token may lie across."""
    encoded = tokenizer.encode(text, add_special_tokens=False)
    assert all(end <= len(until) or start >= len(until) for start, end in encoded.offsets), "a token lies across"
    return [token for token, (_, end) in zip(encoded.ids, encoded.offsets, strict=True) if end <= len(until)]


def common(tokenizer, one: str, other: str) -> str:
    """Return the text of the tokens with which both begin."""
    first, second = (tokenizer.encode(text, add_special_tokens=False) for text in (one, other))
    number = next((i for i, (a, b) in enumerate(zip(first.ids, second.ids, strict=False)) if a != b), len(first.ids))
    return one[: first.offsets[number - 1][1]]


# Seats that hear everything


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("detail", ["full", "brief"])
@settings(max_examples=30)
@given(sayings=SAYINGS, asked=st.text(min_size=1, max_size=30))
def test_a_rounds_tokens_before_the_persona_begin_those_of_the_next(tokenizer, detail, sayings, asked):
    prompts, tokenizer = Prompts(sayings, Question(text=asked), detail=detail), tokenizer()
    for seat in SEATS:
        for number in range(1, ROUNDS):
            before = tokens(tokenizer, prompts.text(number, seat), prompts.split(number, seat)[0])
            later = tokens(tokenizer, prompts.text(number + 1, seat), prompts.split(number + 1, seat)[0])
            assert len(before) < len(later)
            assert later[: len(before)] == before


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("detail", ["full", "brief"])
@settings(max_examples=30)
@given(sayings=SAYINGS)
def test_all_seats_of_a_round_share_their_tokens_up_to_the_persona(tokenizer, detail, sayings):
    prompts, tokenizer = Prompts(sayings, detail=detail), tokenizer()
    for number in range(1, ROUNDS + 1):
        shared = [tokens(tokenizer, prompts.text(number, seat), prompts.split(number, seat)[0]) for seat in SEATS]
        assert all(one == shared[0] for one in shared)


@pytest.mark.parametrize("visibility", ["answer", "summary"])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@settings(max_examples=20)
@given(sayings=SAYINGS)
def test_so_it_is_where_they_hear_less_of_each_turn(tokenizer, visibility, sayings):
    prompts, tokenizer = Prompts(sayings, visibility=visibility), tokenizer()
    for number in range(1, ROUNDS):
        before = tokens(tokenizer, prompts.text(number, "skeptic"), prompts.split(number, "skeptic")[0])
        later = tokens(tokenizer, prompts.text(number + 1, "estimator"), prompts.split(number + 1, "estimator")[0])
        assert later[: len(before)] == before


# A small model that is told the answers in a sentence

CUT_WORDS = [parameter for parameter in TOKENIZERS if parameter.id != "lines"]
"""A sentence has no joints but its words."""


@pytest.mark.parametrize("tokenizer", CUT_WORDS)
@settings(max_examples=20)
@given(sayings=SAYINGS)
def test_a_sentence_of_answers_is_shared_by_a_round_to_its_last_word(tokenizer, sayings):
    prompts, tokenizer = Prompts(sayings, detail="brief", visibility="answer"), tokenizer()
    for number in range(2, ROUNDS + 1):
        for seat in SEATS[1:]:
            shared = common(tokenizer, prompts.text(number, SEATS[0]), prompts.text(number, seat))
            assert shared.startswith(prompts.split(number, seat)[0].rstrip(" "))


@pytest.mark.parametrize("tokenizer", CUT_WORDS)
def test_the_next_rounds_sentence_goes_on_where_the_answers_ended(tokenizer):
    """`56. Some are wrong.` becomes `56, then 54; …`: only what follows the answers is read anew."""
    said = [("…", str(54 + number)) for number in range(len(SEATS) * (ROUNDS - 1))]
    prompts, tokenizer = Prompts(said, detail="brief", visibility="answer"), tokenizer()
    before = prompts.split(2, "skeptic")[0]
    assert before.endswith("Other voices answered: 54; 55; 56; 57. Some are wrong. ")
    shared = common(tokenizer, before, prompts.text(3, "skeptic"))
    assert shared == before.removesuffix(". Some are wrong. ")


# One's own words


@pytest.mark.parametrize("layout", ["shared", "system"])
@pytest.mark.parametrize(("detail", "told"), [("full", "your marks end in "), ("brief", "The words under ")])
def test_a_seat_is_told_which_words_are_its_own(layout, detail, told):
    said = [(f"These are words number {number}.", "56") for number in range(len(SEATS) * (ROUNDS - 1))]
    prompts = Prompts(said, layout=layout, detail=detail)
    for place, seat in enumerate(SEATS):
        text = prompts.text(3, seat)
        mark = re.match(r"[\w.-]+", text.partition(told)[2])[0]
        turns = [block.partition("]\n> ") for block in text.split("\n\n[")[1:]]
        own = [words.partition("\n")[0] for name, _, words in turns if name.endswith(mark)]
        assert own == [f"These are words number {place}.", f"These are words number {place + len(SEATS)}."]


def test_a_seat_that_has_not_spoken_is_told_of_no_words_of_its_own():
    prompts = Prompts([("Mine.", "56")] * len(SEATS) * (ROUNDS - 1), detail="brief")
    assert "are yours" not in prompts.text(1, "skeptic")
