"""What a saved record holds, as its model read and wrote it, in token ids; and whether that model is under the lens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chorus.debate.floor import Floor
from chorus.debate.prompts import Prompter
from chorus.distill.styles import PROMPTS
from chorus.engines.templating import ChatTemplate
from chorus.types import Answer, Message, Turn
from interp.errors import LensError
from personas import Persona


@dataclass(frozen=True)
class Said:
    """A text as it was said, and as a plain voice would have been asked for it."""

    ids: Tensor
    """(T,), the prompt and the text."""
    plain: Tensor
    """(T',), the plain voice's prompt and the same text."""
    tokens: tuple[str, ...]
    """The text, token by token."""


def spoken(record: Answer) -> list[Turn]:
    """Return what was said in an inner dialogue, in the order in which it was.

    A record's turns stand by round and seat; who spoke when is told by how many turns each had heard.
    """
    said = [turn for turn in record.turns if turn.kind == "speech" and turn.status == "done" and turn.text.strip()]
    return sorted(said, key=lambda turn: len(turn.heard))


def check_dialogues(records: Iterable[Answer], weights: str) -> None:
    """Raise LensError unless all are inner dialogues of the model with these weights, asked for as it was trained."""
    for record in records:
        if record.plan.mode != "inner":
            raise LensError(
                f"the record {record.id} is no inner dialogue, its mode is {record.plan.mode}: save the model's own with "
                "`chorus ask --mode inner --save FILE`"
            )
        check_speaker(record, weights)
        if record.plan.trained_prompt != PROMPTS["chorus"]:
            raise LensError(
                f"the record {record.id} was not asked for by the prompt that models are baked with, under which the lens "
                "looks at them: save dialogues of a checkpoint that `chorus distill` exported"
            )


def check_speaker(record: Answer, weights: str) -> None:
    """Raise LensError when other weights spoke. A record from a server doesn't say which did, and passes."""
    spoke = record.plan.checkpoint_sha256
    if spoke and spoke != weights:
        raise LensError(
            f"the record {record.id} was spoken by {record.plan.engine} with the weights {spoke[:12]}…; those under the "
            f"lens are {weights[:12]}…"
        )


def of_record(
    record: Answer, turn: str, personas: Mapping[str, Persona], tokenizer: Any, plain: Persona, weights: str
) -> Said:
    """Return a turn of a saved debate.

    Args:
        record: the debate.
        turn: the turn's id, such as `2.skeptic`.
        personas: the cards of the cast by id.
        tokenizer: of the model that spoke, with a chat template.
        plain: the voice without a method, which takes the seat for the plain prompt.
        weights: fingerprint of the checkpoint under the lens.

    Raises:
        LensError: the record is another model's, or an inner dialogue; there is no such turn, it said nothing, or its
            prompt can't be written again as it was.
    """
    if record.plan.mode == "inner":
        raise LensError(
            f"the record {record.id} is an inner dialogue: its voices were written in one call, and none of them has a "
            "prompt of its own that a plain voice's could be held against"
        )
    check_speaker(record, weights)
    floor = Floor(record.plan, record.question)
    for each in record.turns:
        floor.add(each)
    told = next((each for each in record.turns if each.id == turn and each.kind == "speech" and each.text), None)
    if told is None or told.persona not in personas:
        lack = "turn in which something was said" if told is None else "card at hand for the turn"
        raise LensError(f"the record {record.id} has no {lack}: {turn!r}")

    def messages(card: Persona) -> tuple[tuple[Message, ...], str]:
        prompter = Prompter(record.plan, record.question, {**personas, told.persona: card})
        prompt = prompter.speech(told.seat, told.persona, floor.heard((told.round, told.seat)))
        return prompt.messages, prompt.sha256

    asked, sha256 = messages(personas[told.persona])
    if told.prompt_sha256 and told.prompt_sha256 != sha256:
        raise LensError(f"the prompt of {turn} can't be written again as it was: the cards or the prompts have changed")
    template = ChatTemplate(tokenizer)
    return said(tokenizer, template.encode(asked), template.encode(messages(plain)[0]), told.text)


def said(tokenizer: Any, prompt: list[int], plain: list[int], text: str) -> Said:
    """Return a text with two prompts in token ids. Raises LensError when it has no tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise LensError("nothing was said")
    both = [torch.tensor([*before, *ids]) for before in (prompt, plain)]
    return Said(both[0], both[1], tuple(tokenizer.decode([each]) for each in ids))
