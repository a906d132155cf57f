"""What a saved record holds, as its model read and wrote it, in token ids; and whether that model is under the lens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from chorus.debate import inner
from chorus.debate.floor import Floor
from chorus.debate.prompts import Prompt, Prompter
from chorus.distill.styles import PROMPTS
from chorus.engines.templating import ChatTemplate
from chorus.types import Answer, Turn
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


class Spoken(NamedTuple):
    """A text with what stands before it: the prompt, and what of the text's own message was written before."""

    prompt: Prompt
    plain: Prompt
    """The plain voice's."""
    before: str
    unnamed: str
    """What would have been written before, had the plain voice had every seat."""
    text: str


def audible(record: Answer, personas: Mapping[str, Persona]) -> list[str]:
    """Return the ids of the turns in which something was said that can be put under the lens.

    Of an inner dialogue also that of the ruling, which stands for the answer behind the voices. Raises LensError where
    it was not written, or a voice's card is not at hand.
    """
    if record.plan.mode == "inner":
        return list(_pieces(record, personas))
    return [turn.id for turn in record.turns if turn.kind == "speech" and turn.text.strip()]


def of_record(
    record: Answer, turn: str, personas: Mapping[str, Persona], tokenizer: Any, plain: Persona, weights: str
) -> Said:
    """Return a turn of a saved debate, or of an inner dialogue.

    In a debate the plain prompt is the one that the plain voice would have got in the speaker's seat. The voices of an
    inner dialogue were written in one call and have no prompts of their own; what stands before a turn is the dialogue
    so far, and the plain prompt is the same with the plain voice in every seat: its name, and its card if there are cards.

    Args:
        record: the debate.
        turn: the turn's id, such as `2.skeptic`. An inner dialogue's ruling stands for its closing answer.
        personas: the cards of the cast by id.
        tokenizer: of the model that spoke, with a chat template.
        plain: the voice without a method, which takes the seat for the plain prompt.
        weights: fingerprint of the checkpoint under the lens.

    Raises:
        LensError: the record is another model's; there is no such turn, it said nothing, or its prompt can't be written
            again as it was.
    """
    check_speaker(record, weights)
    find = _of_dialogue if record.plan.mode == "inner" else _of_debate
    found, template = find(record, turn, personas, plain), ChatTemplate(tokenizer)
    own, without = (
        [*template.encode(prompt.messages), *tokenizer(before, add_special_tokens=False)["input_ids"]]
        for prompt, before in ((found.prompt, found.before), (found.plain, found.unnamed))
    )
    return said(tokenizer, own, without, found.text)


def _of_debate(record: Answer, turn: str, personas: Mapping[str, Persona], plain: Persona) -> Spoken:
    floor = Floor(record.plan, record.question)
    for each in record.turns:
        floor.add(each)
    told = next((each for each in record.turns if each.id == turn and each.kind == "speech" and each.text), None)
    if told is None or told.persona not in personas:
        lack = "turn in which something was said" if told is None else "card at hand for the turn"
        raise LensError(f"the record {record.id} has no {lack}: {turn!r}")

    def asked(card: Persona) -> Prompt:
        prompter = Prompter(record.plan, record.question, {**personas, told.persona: card})
        return prompter.speech(told.seat, told.persona, floor.heard((told.round, told.seat)))

    own = asked(personas[told.persona])
    _check_prompt(told, own)
    return Spoken(own, asked(plain), "", "", told.text)


def _of_dialogue(record: Answer, turn: str, personas: Mapping[str, Persona], plain: Persona) -> Spoken:
    pieces, ruling = _pieces(record, personas), _ruling(record)
    if turn not in pieces:
        raise LensError(f"the record {record.id} has no turn in which something was said: {turn!r}")
    seats = record.plan.seats
    own, without = (
        Prompter(record.plan, record.question, {seat.persona: cards[seat.persona] for seat in seats}).inner()
        for cards in (personas, dict.fromkeys(personas, plain))
    )
    _check_prompt(ruling, own)
    names = {name for seat in seats for name in (personas[seat.persona].name, seat.persona, seat.seat)}
    anyone = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    start, end = pieces[turn]
    before = ruling.text[:start].rstrip(" ")  # A space before a word belongs to the word's token.
    unnamed = re.sub(rf"\b(?:{anyone})\b", plain.name, before, flags=re.IGNORECASE)
    return Spoken(own, without, before, unnamed, ruling.text[len(before) : end])


def _ruling(record: Answer) -> Turn:
    """Return the turn that keeps an inner dialogue as it was written. Raises LensError when it was not."""
    found = next((turn for turn in record.turns if turn.kind == "ruling" and turn.text), None)
    if found is None:
        raise LensError(f"the record {record.id} is an inner dialogue of which nothing was written")
    return found


def _pieces(record: Answer, personas: Mapping[str, Persona]) -> dict[str, tuple[int, int]]:
    """Return where in an inner dialogue's text each turn begins and ends; the ruling is what comes behind them all.

    Turns that were put together from several, which a voice has that speaks more often than the plan has rounds, stand
    nowhere as they are, and are left out.
    """
    if lacking := {seat.persona for seat in record.plan.seats} - personas.keys():
        raise LensError(
            f"the record {record.id} has no card at hand for each of its voices: {', '.join(sorted(lacking))}"
        )
    ruling = _ruling(record)
    every = inner.voices(ruling.text, record.plan, personas)
    last = max((voice.end for voice in every), default=0)
    found = {
        f"{voice.round}.{voice.seat.seat}": (voice.start, voice.end)
        for voice in every
        if ruling.text[voice.start : voice.end] == voice.text
    }
    return found | ({ruling.id: (last, len(ruling.text))} if ruling.text[last:].strip() else {})


def _check_prompt(turn: Turn, prompt: Prompt) -> None:
    if turn.prompt_sha256 and turn.prompt_sha256 != prompt.sha256:
        raise LensError(
            f"the prompt of {turn.id} can't be written again as it was: the cards or the prompts have changed"
        )


def said(tokenizer: Any, prompt: list[int], plain: list[int], text: str) -> Said:
    """Return a text with two prompts in token ids. Raises LensError when it has no tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise LensError("nothing was said")
    both = [torch.tensor([*before, *ids]) for before in (prompt, plain)]
    return Said(both[0], both[1], tuple(tokenizer.decode([each]) for each in ids))
