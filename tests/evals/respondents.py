"""Synthetic respondents: functions that answer multiple-choice prompts in a known way, as engines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from chorus.engines.base import Request
from chorus.engines.script import Reply
from chorus.engines.scripted import ScriptedEngine

Choice = Callable[[str, list[str], Request], "str | dict[str, float]"]
"""(prompt, options, request) -> the option chosen, or the probability of each."""


def respondent(choose: Choice) -> ScriptedEngine:
    """An engine that answers by the letter of the option chosen, wherever it stands."""

    def speak(request: Request) -> str | Reply:
        prompt = "\n".join(message.content for message in request.messages)
        options = re.findall(r"^([A-Z])\) (.+)$", prompt, re.M)
        chosen = choose(prompt, [option for _, option in options], request)
        letters = {option: letter for letter, option in options}
        if isinstance(chosen, str):
            return letters.get(chosen, chosen)
        likely = max(chosen, key=chosen.__getitem__)
        return Reply(text=letters[likely], openings={letters[option]: share for option, share in chosen.items()})

    return ScriptedEngine(speak)


def coin(request: Request, *about: object) -> float:
    """A number in [0, 1) that depends on the call alone."""
    name = f"{request.id}/{request.sampling.seed}/{about}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") / 2**32
