"""For baked models: the speaker's name swapped in its own transcript.

A baked model has no persona prompt to switch on or off; who speaks is what its own dialogue says. So the two sides of a
pair are its dialogue up to where a voice begins, once with that voice's name and once with another's, and the two answers
are what either of them really said in this dialogue. Pairs made so go wherever other pairs go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chorus.distill.styles import messages
from chorus.engines.templating import ChatTemplate
from chorus.types import Answer
from interp.errors import NothingToExplain
from interp.pairs import Pair, Pairs
from interp.said import spoken

MAX_TOKENS = 40
"""Of what a voice said: the rest of a long turn tells little about who speaks."""


def swapped_names(
    tokenizer: Any, records: Sequence[Answer], persona: str, names: Mapping[str, str], *, most: int | None = None
) -> Pairs:
    """Return a pair for each turn of the persona after which another voice speaks that could stand in its place.

    Args:
        tokenizer: of the model, with a chat template.
        records: inner dialogues (`--mode inner`) that the model itself wrote.
        persona: whose name is swapped.
        names: what each persona is called in the dialogue, by its id; one that is not there goes by its id.
        most: pairs, the shortest ones; None means all.

    Raises:
        NothingToExplain: there is no such turn. Names of different length in tokens can't be swapped.
    """
    template = ChatTemplate(tokenizer)

    def called(voice: str) -> str:
        return f"{names.get(voice, voice)}:"

    def encoded(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    pairs = []
    for record in records:
        turns = spoken(record)
        asked = template.encode(messages(record.question, "chorus"))
        for place, turn in enumerate(turns):
            if turn.persona != persona:
                continue
            own = encoded(called(persona))
            # What was said before stands in the prompt, where it could be copied: only what comes after is a rival.
            for rival in turns[place + 1 :]:
                other = encoded(called(rival.persona))
                if rival.persona != persona and len(other) == len(own):
                    before = (*asked, *encoded("".join(f"{called(t.persona)} {t.text}\n" for t in turns[:place])))
                    said, answered = (encoded(f" {each.text}")[:MAX_TOKENS] for each in (turn, rival))
                    pairs.append(Pair((*before, *own), (*before, *other), said, answered, record.question.text))
                    break
    if not pairs:
        raise NothingToExplain(
            f"in {len(records)} dialogues no turn of {persona} is followed by one of another voice whose name is as long"
        )
    pairs = sorted(pairs, key=lambda pair: len(pair.on))[:most]
    return Pairs.of(pairs, pad=tokenizer.pad_token_id or 0)
