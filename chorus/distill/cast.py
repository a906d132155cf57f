"""The cast that gets baked in: whose names the dialogue bears, whose methods the teacher reads, how it is read again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from chorus.debate import inner
from chorus.debate.prompts import Prompter
from chorus.distill import files
from chorus.errors import RecordError
from chorus.types import Answer, AnswerKind, Frozen, Message, Plan, Question, SeatPlan
from personas.persona import Persona

FILE = "cast.json"


class Cast(Frozen):
    """Personas that speak in one inner dialogue."""

    personas: tuple[Persona, ...]
    rounds: int
    """How often each of them speaks at most."""
    detail: Literal["brief", "full"]
    """How much of a method the teacher reads."""

    def protocol(self, question: Question) -> tuple[Message, ...]:
        """Return what the teacher reads: charter, every card, the rules of the dialogue, the question."""
        prompter = Prompter(self._plan(question.kind or "text"), question, self._by_id)
        return prompter.inner().messages

    def voices(self, text: str) -> list[inner.Voice]:
        """Return who said what in a dialogue, in order."""
        return inner.voices(text, self._plan("text"), self._by_id)

    def shuffled(self, deal: str) -> Cast:
        """Return the cast with its methods dealt anew to the names: the control in which a name says nothing.

        Args:
            deal: decides who gets what; with another one for each question, no name keeps a method.
        """
        moved = list(self.personas)
        random.Random(deal).shuffle(moved)
        swapped = (
            own.model_copy(update={"method": other.method, "cue": other.cue, "summary": other.summary})
            for own, other in zip(self.personas, moved, strict=True)
        )
        return self.model_copy(update={"personas": tuple(swapped)})

    @property
    def _by_id(self) -> dict[str, Persona]:
        return {persona.id: persona for persona in self.personas}

    def _plan(self, kind: AnswerKind) -> Plan:
        seats = (SeatPlan(seat=card.id, persona=card.id, temperature=0.0, top_p=1.0) for card in self.personas)
        return Plan(
            mode="inner",
            kind=kind,
            seats=tuple(seats),
            topology="none",
            edges=(),
            rounds=self.rounds,
            decision="judge",
            layout="shared",
            openness=None,
            detail=self.detail,
            max_tokens=1,
            engine="none",
            routed_by="fixed",
        )


def of_records(records: Iterable[Answer], known: Sequence[Persona]) -> Cast:
    """Return the cast of some debates: everybody who sat in one, in order of first appearance.

    Raises:
        RecordError: there is no record; or a card is not known, or has changed since.
    """
    cards = {card.id: card for card in known}
    cast: dict[str, Persona] = {}
    detail: Literal["brief", "full"] = "full"
    often = [2]
    for record in records:
        detail = record.plan.detail
        often += Counter(turn.persona for turn in record.turns if turn.kind == "speech").values()
        for name, sha256 in record.personas.items():
            if name not in cards or cards[name].sha256 != sha256:
                raise RecordError(
                    f"{record.id}: the card {name!r} is not at hand as it was then; a cast written by the model can't be "
                    "baked: name the personas"
                )
            cast.setdefault(name, cards[name])
    if not cast:
        raise RecordError("there is no debate to take a cast from")
    return Cast(personas=tuple(cast.values()), rounds=max(often), detail=detail)


def read(folder: Path) -> Cast:
    """Return the cast that `collect` left. Raises RecordError."""
    text = files.text_of(folder / FILE)
    try:
        return Cast.model_validate_json(text)
    except ValidationError as error:
        raise RecordError(f"{folder / FILE}: not a cast: {error.errors()[0]['msg']}") from None
