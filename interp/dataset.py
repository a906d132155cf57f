"""Questions in splits, and the token ids of both sides of a contrast.

What is found on one split is chosen on the second and tested on the third. The splits share neither a
template, a pair of numbers nor a wording of the persona's prompt, so that nothing learnt from words or a whole question
can pass for a persona; single numbers and sums recur.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interp.bridge import Lens
from interp.errors import LensError
from interp.pairs import Pair, Pairs
from personas.contrast import Contrast

Split = Literal["discover", "select", "test"]

TEMPLATES: dict[Split, tuple[str, ...]] = {
    "discover": (
        "What is {a} + {b}?",
        "Add {a} and {b}.",
        "How much is {a} plus {b}?",
        "Find the sum of {a} and {b}.",
        "I have {a} apples and get {b} more. How many have I now?",
        "A train of {a} wagons takes on {b} others. How many wagons has it?",
    ),
    "select": (
        "Compute {a} + {b}.",
        "There are {a} birds on a roof and {b} join them. How many are there?",
        "By how much does a count grow to, if {a} is raised by {b}?",
    ),
    "test": (
        "Tell me the total of {a} and {b}.",
        "Ann reads {a} pages today and {b} tomorrow. How many pages is that?",
        "Which number is {b} above {a}?",
    ),
}
WORDINGS: dict[Split, tuple[int, ...]] = {"discover": (0, 1, 2), "select": (3,), "test": (4,)}
"""Which of a contrast's wordings each split's prompts are put in: what hangs on the words of one is not found in another."""
A_TEMPLATE = 10
"""Questions a template: 120 in all."""

_PADDING = " ."
"""Put behind the shorter of two prompts until both have the same number of tokens."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question."""

    id: str
    question: str
    answer: str
    template: str
    split: Split


def items() -> tuple[Item, ...]:
    """Return all questions. No two add the same pair of numbers."""
    sums = iter([(a, b) for a in range(2, 20) for b in range(a + 1, 20)])
    return tuple(
        Item(f"{split}/{place}/{number}", template.format(a=a, b=b), str(a + b), f"{split}/{place}", split)
        for split, templates in TEMPLATES.items()
        for place, template in enumerate(templates)
        for number, (a, b) in zip(range(A_TEMPLATE), sums, strict=False)
    )


def circuit_pairs(tokenizer: Any, contrast: Contrast, questions: Sequence[Item], wordings: Sequence[int]) -> Pairs:
    """Return pairs for circuits: the persona's text against the neutral one, under prompts of the same length.

    Args:
        tokenizer: of the model, with a chat template.
        contrast: the persona.
        questions: each becomes an item; its group is its template.
        wordings: which of the contrast's, of both prompts. They take turns within each template, so that every template
            is put in all of them as far as there are questions.

    Raises:
        LensError: two prompts can't be brought to one length.
    """
    pairs, turns = [], Counter[str]()
    for place, item in enumerate(questions):
        wording = wordings[(place + turns[item.template]) % len(wordings)]
        turns[item.template] += 1
        on, off = _matched(tokenizer, contrast.prompts[wording], contrast.neutral_prompts[wording], item.question)
        texts = [text.format(answer=item.answer) for text in (contrast.text, contrast.neutral_text)]
        persona, neutral = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
        pairs.append(Pair(on, off, persona, neutral, item.template, str(wording)))
    return Pairs.of(pairs, pad=tokenizer.pad_token_id or 0)


@dataclass(frozen=True)
class Cells:
    """Rows of the two-by-two design, for vectors and probes."""

    ids: Tensor
    """(N, T), prompt and text, padded at the right."""
    pool: Tensor
    """(N, T), 1/n on the n tokens of the text: weights for `activations.pooled`."""
    prompt_on: Tensor
    """(N,), True with the persona's prompt."""
    text_on: Tensor
    """(N,), True with the persona's text."""
    groups: tuple[str, ...]
    """The question's id, one a row."""
    wordings: tuple[str, ...]
    """Which paraphrase of the prompts, one a row."""
    read: Tensor
    """(N, T), 1 on the tokens of prompt and text, 0 behind them."""

    def same_text(self, *, persona: bool = False) -> Tensor:
        """Return the places of rows with one kind of text; the neutral one gives the main cells."""
        return torch.nonzero(self.text_on == persona).flatten()

    def take(self, rows: Tensor) -> Cells:
        """Return the rows at these places."""
        few = rows.tolist()
        return Cells(
            self.ids[rows],
            self.pool[rows],
            self.prompt_on[rows],
            self.text_on[rows],
            tuple(self.groups[row] for row in few),
            tuple(self.wordings[row] for row in few),
            self.read[rows],
        )


def cells(tokenizer: Any, contrast: Contrast, questions: Sequence[Item]) -> Cells:
    """Return all four cells of every question; wordings of the prompt take turns."""
    rows: list[tuple[list[int], int, bool, bool, str, str]] = []
    for number, item in enumerate(questions):
        wording = number % len(contrast.prompts)
        for cell in contrast.cells(item.answer, wording):
            text = tokenizer(cell.text, add_special_tokens=False)["input_ids"]
            prompt = _prompt(tokenizer, cell.prompt, item.question)
            rows.append(([*prompt, *text], len(text), cell.prompt_on, cell.text_on, item.id, str(wording)))
    longest = max(len(ids) for ids, *_ in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id or 0)
    pool, read = torch.zeros(len(rows), longest), torch.zeros(len(rows), longest)
    for place, (row, text_tokens, *_) in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
        pool[place, len(row) - text_tokens : len(row)] = 1 / text_tokens
        read[place, : len(row)] = 1
    on = [torch.tensor([row[column] for row in rows]) for column in (2, 3)]
    return Cells(ids, pool, on[0], on[1], tuple(row[4] for row in rows), tuple(row[5] for row in rows), read)


def surface(cells: Cells, lens: Lens) -> dict[str, Tensor]:
    """Return what the tokens of prompt and text give away before any layer has seen them.

    `words` (N, vocabulary), counts; `embeddings` (N, D), their mean; `length` (N, 1), in tokens.
    """
    words = torch.zeros(len(cells.ids), int(lens.config.vocab_size)).scatter_add_(1, cells.ids, cells.read)
    length = cells.read.sum(1, keepdim=True)
    return {"words": words, "embeddings": words @ lens.embeddings.cpu().float() / length, "length": length}


def _matched(tokenizer: Any, on: str, off: str, question: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    found = [_prompt(tokenizer, prompt, question) for prompt in (on, off)]
    shorter, goal = (0, len(found[1])) if len(found[0]) < len(found[1]) else (1, len(found[0]))
    prompt = (on, off)[shorter]
    for _ in range(goal):
        if len(found[shorter]) >= goal:
            break
        prompt += _PADDING
        found[shorter] = _prompt(tokenizer, prompt, question)
    if len(found[0]) != len(found[1]):
        raise LensError(f"these prompts can't be brought to one length: {on!r} and {off!r}")
    return tuple(found[0]), tuple(found[1])


def _prompt(tokenizer: Any, system: str, question: str) -> list[int]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]  # The template brings its own.
    return ids
